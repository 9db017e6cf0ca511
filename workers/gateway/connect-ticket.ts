import type { connectTicket } from "../../shared/api/session.ts";
import { issueToken } from "./auth/tokens.ts";
import type { Serve } from "./serve.ts";

/** Whether the session goes on is asked when the device connects, with the ticket. */
export const issueTicket: Serve<typeof connectTicket> = async ({ c, caller }) => {
  const { user, device, family } = caller;
  const { token, expiresAt } = await issueToken(c.env.TOKEN_KEYS, "ticket", { sub: user, device, family });
  return { ticket: token, expiresAt };
};
