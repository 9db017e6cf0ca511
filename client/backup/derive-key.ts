import { joinBytes } from "../link-cipher.ts";

/**
 * HKDF-SHA-256 (RFC 5869) of a key that nobody can guess, to one for AES-256-GCM.
 * @param info what the key is for
 */
export async function deriveKey(secret: Uint8Array, salt: Uint8Array, info: string): Promise<CryptoKey> {
  const from = await crypto.subtle.importKey("raw", joinBytes(secret), "HKDF", false, ["deriveKey"]);
  const derivation = { name: "HKDF", hash: "SHA-256", salt: joinBytes(salt), info: new TextEncoder().encode(info) };
  const key = { name: "AES-GCM", length: 256 };
  return crypto.subtle.deriveKey(derivation, from, key, false, ["encrypt", "decrypt"]);
}
