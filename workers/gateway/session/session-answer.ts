import type { Context } from "hono";
import type { Session } from "../../../shared/api/sign-in.ts";
import type { DeviceId, UserId } from "../../../shared/ids.ts";
import type { SessionRef } from "../../../shared/rpc.ts";
import { issueToken } from "../auth/tokens.ts";
import type { GatewayTypes } from "../context.ts";
import { setRefreshCookie } from "./refresh-cookie.ts";

interface SignedIn {
  readonly user: UserId;
  readonly device: DeviceId;
  /** Where the device's refresh tokens have got. */
  readonly session: SessionRef;
  readonly isNew: boolean;
  /** The refresh token is set as a cookie, and the answer, which scripts can read, has none. */
  readonly cookie: boolean;
}

/** What a device is given when it has signed in. */
export async function sessionAnswer(c: Context<GatewayTypes>, { isNew, ...signedIn }: SignedIn): Promise<Session> {
  const { user, device } = signedIn;
  return { user, device, ...(await sessionTokens(c, signedIn)), isNew };
}

export type SessionTokens = Omit<Session, "user" | "device" | "isNew">;

export async function sessionTokens(
  c: Context<GatewayTypes>,
  { user, device, session, cookie }: Omit<SignedIn, "isNew">,
): Promise<SessionTokens> {
  const access = await issueToken(c.env.TOKEN_KEYS, "access", { sub: user, device, family: session.family });
  const refresh = await issueToken(c.env.TOKEN_KEYS, "refresh", { sub: user, device, session });
  if (cookie) setRefreshCookie(c, refresh.token);
  return {
    accessToken: access.token,
    accessExpiresAt: access.expiresAt,
    ...(!cookie && { refreshToken: refresh.token }),
    refreshExpiresAt: refresh.expiresAt,
  };
}
