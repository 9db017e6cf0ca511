import type { Context } from "hono";
import { Refusal } from "../../../shared/errors.ts";
import type { GatewayTypes } from "../context.ts";
import { type VerifiedToken, verifyToken } from "./tokens.ts";

/** Who is calling, by the access token in the request's Authorization header. @throws Refusal unauthenticated */
export function authenticate(c: Context<GatewayTypes>): Promise<VerifiedToken> {
  const [scheme, token, ...rest] = c.req.header("authorization")?.split(" ") ?? [];
  if (scheme?.toLowerCase() !== "bearer" || !token || rest.length > 0) throw new Refusal("unauthenticated");
  return verifyToken(c.env.TOKEN_KEYS, "access", token);
}
