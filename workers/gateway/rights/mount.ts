import type { Hono } from "hono";
import * as rights from "../../../shared/api/rights.ts";
import type { GatewayTypes } from "../context.ts";
import { serve } from "../serve.ts";
import { deleteAccount } from "./delete-account.ts";
import { exportAccount } from "./export-account.ts";

export function mountRights(gateway: Hono<GatewayTypes>): void {
  serve(gateway, rights.exportAccount, exportAccount);
  serve(gateway, rights.deleteAccount, deleteAccount);
}
