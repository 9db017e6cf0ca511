import type { Context } from "hono";
import { Refusal } from "../../../shared/errors.ts";
import type { GatewayTypes } from "../context.ts";
import { type Caller, type LinkCaller, verifyToken } from "./tokens.ts";

/** Who is calling, by the access token in the request's Authorization header. @throws Refusal unauthenticated */
export async function authenticate(c: Context<GatewayTypes>): Promise<Caller> {
  const { sub, device, family } = await verifyToken(c.env.TOKEN_KEYS, "access", bearerOf(c));
  return { user: sub, device, family };
}

/** Which device is being linked, by the token it was given when it opened the link. @throws Refusal unauthenticated */
export async function authenticateLink(c: Context<GatewayTypes>): Promise<LinkCaller> {
  const { sub } = await verifyToken(c.env.TOKEN_KEYS, "link", bearerOf(c));
  return { link: sub };
}

function bearerOf(c: Context<GatewayTypes>): string {
  const [scheme, token, ...rest] = c.req.header("authorization")?.split(" ") ?? [];
  if (scheme?.toLowerCase() !== "bearer" || !token || rest.length > 0) throw new Refusal("unauthenticated");
  return token;
}
