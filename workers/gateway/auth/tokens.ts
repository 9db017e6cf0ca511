import { errors, jwtVerify, SignJWT } from "jose";
import { ulid } from "ulid";
import * as v from "valibot";
import { Refusal } from "../../../shared/errors.ts";
import { DeviceId, UserId } from "../../../shared/ids.ts";
import { ACCESS_TOKEN_TTL_MS, CONNECT_TICKET_TTL_MS, MAX_TOKEN_CHARS } from "../../../shared/limits.ts";
import { keyRing, TOKEN_ALGORITHM } from "./keys.ts";

const ISSUER = "sandpiper";

/** Type and audience both differ between the kinds: one can never be used as the other. */
const kinds = {
  access: { typ: "at+jwt", audience: "sandpiper:api", ttlMs: ACCESS_TOKEN_TTL_MS },
  ticket: { typ: "sandpiper-ticket+jwt", audience: "sandpiper:connect", ttlMs: CONNECT_TICKET_TTL_MS },
} as const;
export type TokenKind = keyof typeof kinds;

const Claims = v.object({ sub: UserId, device: DeviceId, jti: v.string(), exp: v.number() });

/** A person on a device: what every token speaks for. */
export interface Caller {
  readonly user: UserId;
  readonly device: DeviceId;
}
export interface VerifiedToken extends Caller {
  readonly jti: string;
  readonly expiresAt: number;
}
export interface IssuedToken {
  readonly token: string;
  readonly expiresAt: number;
}

export async function issueToken(secret: string, kind: TokenKind, caller: Caller): Promise<IssuedToken> {
  const { typ, audience, ttlMs } = kinds[kind];
  const { signing } = await keyRing(secret);
  const issuedAtSeconds = Math.floor(Date.now() / 1_000);
  const expiresAtSeconds = issuedAtSeconds + ttlMs / 1_000;
  const token = await new SignJWT({ device: caller.device })
    .setProtectedHeader({ alg: TOKEN_ALGORITHM, kid: signing.kid, typ })
    .setIssuer(ISSUER)
    .setAudience(audience)
    .setSubject(caller.user)
    .setJti(ulid())
    .setIssuedAt(issuedAtSeconds)
    .setExpirationTime(expiresAtSeconds)
    .sign(signing.key);
  return { token, expiresAt: expiresAtSeconds * 1_000 };
}

/** @throws Refusal unauthenticated, whatever is wrong with it: the bearer learns nothing from the reason */
export async function verifyToken(secret: string, kind: TokenKind, token: string): Promise<VerifiedToken> {
  if (token.length > MAX_TOKEN_CHARS) throw new Refusal("unauthenticated");
  const claims = v.safeParse(Claims, await verifySignature(secret, kind, token));
  if (!claims.success) throw new Refusal("unauthenticated");
  const { sub, device, jti, exp } = claims.output;
  return { user: sub, device, jti, expiresAt: exp * 1_000 };
}

/** The key is chosen by `kid` among ours alone; a key or an address of one in the token's own header is not looked at. */
async function verifySignature(secret: string, kind: TokenKind, token: string): Promise<unknown> {
  const { typ, audience } = kinds[kind];
  const { verifying } = await keyRing(secret);
  try {
    const { payload } = await jwtVerify(
      token,
      ({ kid }) => {
        const key = verifying.get(kid ?? "");
        if (!key) throw new Refusal("unauthenticated");
        return key;
      },
      { algorithms: [TOKEN_ALGORITHM], issuer: ISSUER, audience, typ, requiredClaims: ["iat", "exp"] },
    );
    return payload;
  } catch (error) {
    if (error instanceof errors.JOSEError) throw new Refusal("unauthenticated");
    throw error;
  }
}
