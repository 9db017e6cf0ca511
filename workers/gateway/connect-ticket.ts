import type { connectTicket } from "../../shared/api/session.ts";
import { issueToken } from "./auth/tokens.ts";
import type { Serve } from "./serve.ts";

/** Whether the device is still the person's is asked when it connects, with the ticket. */
export const issueTicket: Serve<typeof connectTicket> = async ({ c, caller }) => {
  const { user, device } = caller;
  const { token, expiresAt } = await issueToken(c.env.TOKEN_KEYS, "ticket", { sub: user, device });
  return { ticket: token, expiresAt };
};
