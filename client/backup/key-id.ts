import { toBase64url } from "../../shared/base64url.ts";
import { joinBytes } from "../link-cipher.ts";

const KEY_ID_BITS = 128;

/** Tells one archive key from another, for the server to see: nothing of the key can be computed from it. */
export async function keyIdOf(archiveKey: Uint8Array): Promise<string> {
  const from = await crypto.subtle.importKey("raw", joinBytes(archiveKey), "HKDF", false, ["deriveBits"]);
  const info = new TextEncoder().encode("sandpiper archive key id v1");
  const derivation = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info };
  return toBase64url(new Uint8Array(await crypto.subtle.deriveBits(derivation, from, KEY_ID_BITS)));
}
