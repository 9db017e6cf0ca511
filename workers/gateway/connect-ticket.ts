import type { Handler } from "hono";
import { authenticate } from "./auth/bearer.ts";
import { issueToken } from "./auth/tokens.ts";
import type { GatewayTypes } from "./context.ts";

/** Exchanges the access token for a ticket that opens one socket: browsers can send no header with an upgrade. */
export const connectTicket: Handler<GatewayTypes> = async (c) => {
  const caller = await authenticate(c);
  const { token, expiresAt } = await issueToken(c.env.TOKEN_KEYS, "ticket", caller);
  return c.json({ ticket: token, expiresAt });
};
