import type { Env } from "../../../durable-objects/runtime/env.ts";
import { base64url, keyedHash } from "../../../durable-objects/runtime/keyed-hash.ts";
import type { UserId } from "../../../shared/ids.ts";

/** As many as the platform allows; what really keeps a stolen verifier shut is the key, which is stored elsewhere. */
const ITERATIONS = 100_000;
const VERIFIER_BITS = 256;

/** What a PIN is compared by: PBKDF2-SHA-256 (RFC 8018 §5.2) over its keyed hash, salted with the person's id; base64url. */
export async function pinVerifier(env: Env, user: UserId, pin: string): Promise<string> {
  const encoder = new TextEncoder();
  const hash = encoder.encode(await keyedHash(env.PEPPER, "pin", pin));
  const key = await crypto.subtle.importKey("raw", hash, "PBKDF2", false, ["deriveBits"]);
  const stretching = { name: "PBKDF2", hash: "SHA-256", salt: encoder.encode(user), iterations: ITERATIONS };
  return base64url(new Uint8Array(await crypto.subtle.deriveBits(stretching, key, VERIFIER_BITS)));
}
