import type { Context } from "hono";
import type { refreshSession } from "../../../shared/api/session.ts";
import { Refusal } from "../../../shared/errors.ts";
import { issueToken, verifyToken } from "../auth/tokens.ts";
import type { GatewayTypes } from "../context.ts";
import type { Call, Serve } from "../serve.ts";
import { clearRefreshCookie, refreshCookieOf } from "./refresh-cookie.ts";
import { sessionTokens } from "./session-answer.ts";

/** The new token goes where the old one came from: into the answer or the cookie. A cookie that is no good is removed. */
export const refresh: Serve<typeof refreshSession> = async (call) => {
  const { c, body } = call;
  if (body.refreshToken !== undefined) return exchange(call, body.refreshToken, false);
  return exchange(call, tokenInCookie(c), true).catch((error: unknown) => {
    if (error instanceof Refusal && error.code === "unauthenticated") clearRefreshCookie(c);
    throw error;
  });
};

/** The person's object decides whether the token is still good, and which one comes after it. */
async function exchange({ c, body }: Call<typeof refreshSession>, token: string, cookie: boolean) {
  const { sub, device, session } = await verifyToken(c.env.TOKEN_KEYS, "refresh", token);
  const { ticket: connects, attempt } = body;
  const used = await c.env.USER.getByName(sub).refresh({ device, session, connects, attempt });
  if (!used.ok) throw new Refusal(used.code, used.retry);
  const tokens = await sessionTokens(c, { user: sub, device, session: used.session, cookie });
  if (!connects) return tokens;
  const { family } = used.session;
  return { ...tokens, ticket: (await issueToken(c.env.TOKEN_KEYS, "ticket", { sub, device, family })).token };
}

/**
 * A browser sends its cookies whoever asks; only the origin beside them, which `cors` has checked, shows that it is one
 * of our pages. @throws Refusal unauthenticated, forbidden_origin
 */
function tokenInCookie(c: Context<GatewayTypes>): string {
  const token = refreshCookieOf(c);
  if (token === undefined) throw new Refusal("unauthenticated");
  if (c.req.header("origin") === undefined) throw new Refusal("forbidden_origin");
  return token;
}
