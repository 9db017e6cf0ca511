import { importJWK, type JWK } from "jose";
import * as v from "valibot";

export const TOKEN_ALGORITHM = "ES256";

const PrivateKey = v.object({
  kty: v.literal("EC"),
  crv: v.literal("P-256"),
  kid: v.pipe(v.string(), v.minLength(1)),
  x: v.string(),
  y: v.string(),
  d: v.string(),
});
const PrivateKeySet = v.object({ keys: v.pipe(v.array(PrivateKey), v.minLength(1)) });

/** Elliptic curves alone (RFC 7518 §6.2, RFC 8037 §2). What is not named here, a private part above all, is left out. */
const ReportKey = v.object({
  kty: v.picklist(["EC", "OKP"]),
  crv: v.string(),
  x: v.string(),
  y: v.exactOptional(v.string()),
  kid: v.exactOptional(v.string()),
});

export interface KeyRing {
  readonly signing: { readonly kid: string; readonly key: CryptoKey };
  /** By `kid`: every key whose tokens are accepted. */
  readonly verifying: ReadonlyMap<string, CryptoKey>;
  readonly publicKeys: readonly JWK[];
}

/** Importing keys costs more than using them; the secret does not change while an isolate lives. */
const rings = new Map<string, Promise<KeyRing>>();

export function keyRing(secret: string): Promise<KeyRing> {
  const known = rings.get(secret);
  if (known) return known;
  const ring = openKeyRing(secret);
  rings.set(secret, ring);
  return ring;
}

/** The key that reports are sealed for, as it is published; none if none is set. */
export function reportKeyOf(setting: string | undefined): JWK[] {
  if (!setting) return [];
  return [{ ...v.parse(ReportKey, JSON.parse(setting)), use: "enc" }];
}

async function openKeyRing(secret: string): Promise<KeyRing> {
  const { keys } = v.parse(PrivateKeySet, JSON.parse(secret));
  const publicKeys = keys.map(({ d: _, ...key }) => ({ ...key, alg: TOKEN_ALGORITHM, use: "sig" }));
  const verifying = await Promise.all(publicKeys.map(async (key) => [key.kid, await importKey(key)] as const));
  const [first] = keys as [(typeof keys)[number]];
  return {
    signing: { kid: first.kid, key: await importKey(first) },
    verifying: new Map(verifying),
    publicKeys,
  };
}

async function importKey(key: JWK): Promise<CryptoKey> {
  return (await importJWK(key, TOKEN_ALGORITHM)) as CryptoKey;
}
