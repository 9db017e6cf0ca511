import type { Hono } from "hono";
import * as encryption from "../../../shared/api/encryption.ts";
import type { GatewayTypes } from "../context.ts";
import { serve } from "../serve.ts";
import { mountCommits } from "./commits.ts";
import { claimKeyPackages, uploadKeys, viewKeys } from "./keys.ts";

export function mountEncryption(gateway: Hono<GatewayTypes>): void {
  serve(gateway, encryption.uploadKeys, uploadKeys);
  serve(gateway, encryption.viewKeys, viewKeys);
  serve(gateway, encryption.claimKeyPackages, claimKeyPackages);
  mountCommits(gateway);
}
