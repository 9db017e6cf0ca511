import { fromBase64url } from "../../shared/base64url.ts";
import { joinBytes } from "../link-cipher.ts";

/** Ed25519 (RFC 8032) by WebCrypto, with its keys as bytes: they are stored, and passed on to a person's other devices. */

export type Bytes = Uint8Array<ArrayBuffer>;

export const SEED_BYTES = 32;
export const SIGNATURE_BYTES = 64;
/** PrivateKeyInfo of an Ed25519 key without the key itself, which comes last (RFC 8410 §7). */
const PKCS8_PREFIX = Uint8Array.of(48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32);

export interface KeyPair {
  readonly publicKey: Bytes;
  /** The private key (RFC 8032 §5.1.5): 32 random bytes. */
  readonly seed: Bytes;
}

export function makeKeyPair(): Promise<KeyPair> {
  return keyPairOf(crypto.getRandomValues(new Uint8Array(SEED_BYTES)));
}

/** @throws RangeError if `seed` has not 32 bytes */
export async function keyPairOf(seed: Uint8Array): Promise<KeyPair> {
  const { x = "" } = await crypto.subtle.exportKey("jwk", await importSeed(seed, true));
  const publicKey = fromBase64url(x);
  if (publicKey === undefined) throw new TypeError("this WebCrypto tells no public key");
  return { publicKey, seed: joinBytes(seed) };
}

export async function sign(seed: Uint8Array, message: Uint8Array): Promise<Bytes> {
  const key = await importSeed(seed, false);
  return new Uint8Array(await crypto.subtle.sign("Ed25519", key, joinBytes(message)));
}

/** False also for what is no key at all. */
export async function verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  const key = await crypto.subtle
    .importKey("raw", joinBytes(publicKey), "Ed25519", false, ["verify"])
    .catch(() => undefined);
  return key !== undefined && crypto.subtle.verify("Ed25519", key, joinBytes(signature), joinBytes(message));
}

export function isSameKey(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, index) => byte === b[index]);
}

/** Some WebCrypto takes longer keys and drops what is too much. */
async function importSeed(seed: Uint8Array, isExtractable: boolean): Promise<CryptoKey> {
  if (seed.byteLength !== SEED_BYTES) throw new RangeError("not an Ed25519 private key");
  return crypto.subtle.importKey("pkcs8", joinBytes(PKCS8_PREFIX, seed), "Ed25519", isExtractable, ["sign"]);
}
