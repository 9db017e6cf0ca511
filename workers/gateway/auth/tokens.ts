import { errors, jwtVerify, SignJWT } from "jose";
import { ulid } from "ulid";
import * as v from "valibot";
import { Refusal } from "../../../shared/errors.ts";
import { DeviceId, DeviceLinkId, UserId } from "../../../shared/ids.ts";
import {
  ACCESS_TOKEN_TTL_MS,
  CONNECT_TICKET_TTL_MS,
  DEVICE_LINK_TTL_MS,
  MAX_TOKEN_CHARS,
  PROOF_TTL_MS,
  REFRESH_TOKEN_TTL_MS,
} from "../../../shared/limits.ts";
import { SessionRef } from "../../../shared/rpc.ts";
import { keyRing, TOKEN_ALGORITHM } from "./keys.ts";

const ISSUER = "sandpiper";

const device = { sub: UserId, device: DeviceId };
/** `family`: of the session that the token belongs to, with which it ends. */
const caller = { ...device, family: v.string() };

/** Type and audience both differ between the kinds: one can never be used as another. */
const kinds = {
  access: { typ: "at+jwt", audience: "sandpiper:api", ttlMs: ACCESS_TOKEN_TTL_MS, claims: v.object(caller) },
  ticket: {
    typ: "sandpiper-ticket+jwt",
    audience: "sandpiper:connect",
    ttlMs: CONNECT_TICKET_TTL_MS,
    claims: v.object(caller),
  },
  refresh: {
    typ: "sandpiper-refresh+jwt",
    audience: "sandpiper:refresh",
    ttlMs: REFRESH_TOKEN_TTL_MS,
    claims: v.object({ ...device, session: SessionRef }),
  },
  /** A new device's, in the place where it meets the one that links it. */
  link: {
    typ: "sandpiper-link+jwt",
    audience: "sandpiper:link",
    ttlMs: DEVICE_LINK_TTL_MS,
    claims: v.object({ sub: DeviceLinkId }),
  },
  /** Shows that a code was right; its subject is the hash of the number. */
  proof: {
    typ: "sandpiper-proof+jwt",
    audience: "sandpiper:sign-in",
    ttlMs: PROOF_TTL_MS,
    claims: v.object({ sub: v.string(), proof: v.string(), phoneEnd: v.string() }),
  },
} as const;
export type TokenKind = keyof typeof kinds;
export type ClaimsOf<Kind extends TokenKind> = v.InferOutput<(typeof kinds)[Kind]["claims"]>;
export type Verified<Kind extends TokenKind> = ClaimsOf<Kind> & { readonly jti: string; readonly expiresAt: number };

/** A person on a device. */
export interface Caller {
  readonly user: UserId;
  readonly device: DeviceId;
  /** Of the session that the device asks in. */
  readonly family: string;
}
/** A device that is being linked. */
export interface LinkCaller {
  readonly link: DeviceLinkId;
}
export interface IssuedToken {
  readonly token: string;
  /** ms since 1970 */
  readonly expiresAt: number;
}

export async function issueToken<Kind extends TokenKind>(
  secret: string,
  kind: Kind,
  { sub, ...claims }: ClaimsOf<Kind>,
): Promise<IssuedToken> {
  const { typ, audience, ttlMs } = kinds[kind];
  const { signing } = await keyRing(secret);
  const issuedAtSeconds = Math.floor(Date.now() / 1_000);
  const expiresAtSeconds = issuedAtSeconds + ttlMs / 1_000;
  const token = await new SignJWT(claims)
    .setProtectedHeader({ alg: TOKEN_ALGORITHM, kid: signing.kid, typ })
    .setIssuer(ISSUER)
    .setAudience(audience)
    .setSubject(sub)
    .setJti(ulid())
    .setIssuedAt(issuedAtSeconds)
    .setExpirationTime(expiresAtSeconds)
    .sign(signing.key);
  return { token, expiresAt: expiresAtSeconds * 1_000 };
}

const Common = v.object({ jti: v.string(), exp: v.number() });

/** @throws Refusal unauthenticated, whatever is wrong with it: the bearer learns nothing from the reason */
export async function verifyToken<Kind extends TokenKind>(
  secret: string,
  kind: Kind,
  token: string,
): Promise<Verified<Kind>> {
  if (token.length > MAX_TOKEN_CHARS) throw new Refusal("unauthenticated");
  const payload = await verifySignature(secret, kind, token);
  const common = v.safeParse(Common, payload);
  const claims = v.safeParse(kinds[kind].claims, payload);
  if (!common.success || !claims.success) throw new Refusal("unauthenticated");
  const { jti, exp } = common.output;
  return { ...(claims.output as ClaimsOf<Kind>), jti, expiresAt: exp * 1_000 };
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
