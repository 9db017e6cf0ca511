import type { Handler } from "hono";
import { keyRing } from "./auth/keys.ts";
import type { GatewayTypes } from "./context.ts";

/** The public keys, for whoever verifies our tokens. A new key stands here before it signs. */
export const jwks: Handler<GatewayTypes> = async (c) => {
  const { publicKeys } = await keyRing(c.env.TOKEN_KEYS);
  return c.json({ keys: publicKeys }, 200, { "cache-control": "public, max-age=300" });
};
