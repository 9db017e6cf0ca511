import type { Hono } from "hono";
import { health, keySet } from "../../shared/api/service.ts";
import type { GatewayTypes } from "./context.ts";
import { answerHealth } from "./health.ts";
import { answerKeySet } from "./jwks.ts";
import { serve } from "./serve.ts";

export function mountService(gateway: Hono<GatewayTypes>): void {
  serve(gateway, health, answerHealth);
  serve(gateway, keySet, answerKeySet);
}
