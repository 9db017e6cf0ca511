import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { Handler } from "hono";
import { SUBPROTOCOL } from "../../shared/protocol/version.ts";
import type { GatewayTypes } from "./context.ts";

export const health: Handler<GatewayTypes> = async (c) => {
  await drizzle(c.env.DB).run(sql`SELECT 1`);
  return c.json({ ok: true, protocol: SUBPROTOCOL, environment: c.env.ENVIRONMENT });
};
