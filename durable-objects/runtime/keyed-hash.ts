/**
 * Keyed hashes of what could be guessed. Each use has a name of its own, so that no two can be compared with each other.
 */
export type HashUse = "phone" | "address" | "prefix" | "code" | "proof" | "pin" | "username";

const keys = new Map<string, Promise<CryptoKey>>();
const encoder = new TextEncoder();

/** HMAC-SHA-256 over use and text, base64url. */
export async function keyedHash(pepper: string, use: HashUse, text: string): Promise<string> {
  const mac = await crypto.subtle.sign("HMAC", await keyOf(pepper), encoder.encode(`${use}\0${text}`));
  return base64url(new Uint8Array(mac));
}

function keyOf(pepper: string): Promise<CryptoKey> {
  const known = keys.get(pepper);
  if (known) return known;
  const key = crypto.subtle.importKey("raw", encoder.encode(pepper), { name: "HMAC", hash: "SHA-256" }, false, [
    "sign",
  ]);
  keys.set(pepper, key);
  return key;
}

export function base64url(bytes: Uint8Array): string {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
