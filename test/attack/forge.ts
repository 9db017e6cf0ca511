import { createHmac, createPrivateKey, generateKeyPairSync, type JsonWebKey, randomUUID, sign } from "node:crypto";

/** Tokens as somebody makes them who knows how ours look. Written by hand: a library would refuse to. */

type Json = Record<string, unknown>;
export type Sign = (signed: string) => Uint8Array;

export interface Changes {
  /** Fields of the header; undefined leaves one out. */
  readonly header?: Json;
  readonly claims?: Json;
  readonly sign?: Sign;
}

const secondsNow = (): number => Math.floor(Date.now() / 1_000);

/** A token like the model, issued now, but for the changes. */
export function forge(model: string, signWith: Sign, { header, claims, sign: by = signWith }: Changes = {}): string {
  const parts = partsOf(model);
  const lifeSeconds = Number(parts.claims.exp) - Number(parts.claims.iat);
  const fresh = { jti: randomUUID(), iat: secondsNow(), exp: secondsNow() + lifeSeconds };
  return compose({ ...parts.header, ...header }, { ...parts.claims, ...fresh, ...claims }, by);
}

export function partsOf(token: string): { header: Json; claims: Json; signature: string } {
  const [header = "", claims = "", signature = ""] = token.split(".");
  const parse = (part: string): Json => JSON.parse(Buffer.from(part, "base64url").toString());
  return { header: parse(header), claims: parse(claims), signature };
}

function compose(header: Json, claims: Json, by: Sign): string {
  const signed = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${signed}.${Buffer.from(by(signed)).toString("base64url")}`;
}

export function es256(key: JsonWebKey, dsaEncoding: "ieee-p1363" | "der" = "ieee-p1363"): Sign {
  const privateKey = createPrivateKey({ key, format: "jwk" });
  return (signed) => sign("sha256", Buffer.from(signed), { key: privateKey, dsaEncoding });
}

export function hs256(secret: string | Uint8Array): Sign {
  return (signed) => createHmac("sha256", secret).update(signed).digest();
}

export const unsigned: Sign = () => new Uint8Array(0);

/** A key of one's own. */
export function foreignKey(): { privateKey: JsonWebKey; publicKey: JsonWebKey } {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { privateKey: privateKey.export({ format: "jwk" }), publicKey: publicKey.export({ format: "jwk" }) };
}
