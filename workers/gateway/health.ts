import { sql } from "drizzle-orm";
import type { health } from "../../shared/api/service.ts";
import { SUBPROTOCOL } from "../../shared/protocol/version.ts";
import type { Serve } from "./serve.ts";

export const answerHealth: Serve<typeof health> = async ({ c, db }) => {
  await db.run(sql`SELECT 1`);
  return { ok: true, protocol: SUBPROTOCOL, environment: c.env.ENVIRONMENT };
};
