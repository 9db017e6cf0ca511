import type { Env } from "../../../durable-objects/runtime/env.ts";
import { base64url, keyedHash } from "../../../durable-objects/runtime/keyed-hash.ts";
import { Refusal } from "../../../shared/errors.ts";
import type { UserId } from "../../../shared/ids.ts";
import { PIN_ITERATIONS } from "../../../shared/limits.ts";
import type { Caller } from "../auth/tokens.ts";
import type { Call } from "../serve.ts";

const VERIFIER_BITS = 256;

type CallerCall = Pick<Call, "c"> & { readonly caller: Caller };

/**
 * Asks for the caller's PIN, if there is one: whoever holds a device for a moment must not be able to end the account or
 * to lock its owner out. Wrong PINs count as in signing in.
 * @throws Refusal pin_required, pin_wrong, rate_limited
 */
export async function requirePin({ c, caller }: CallerCall, pin: string | undefined): Promise<void> {
  const stub = c.env.USER.getByName(caller.user);
  if (!(await stub.overview()).hasPin) return;
  const verifier = pin === undefined ? {} : { verifier: await pinVerifier(c.env, caller.user, pin) };
  // As if all other devices were to go: how many there are does not matter here.
  const reply = await stub.assessSignIn({ ...verifier, revokeOthers: true });
  if (!reply.ok) throw new Refusal(reply.code, reply.retry);
}

/**
 * What a PIN is compared by: PBKDF2-SHA-256 (RFC 8018 §5.2) over its keyed hash, salted with the person's id; base64url.
 * What really keeps a stolen verifier shut is the key, which is stored elsewhere.
 */
export async function pinVerifier(env: Env, user: UserId, pin: string): Promise<string> {
  const encoder = new TextEncoder();
  const hash = encoder.encode(await keyedHash(env.PEPPER, "pin", pin));
  const key = await crypto.subtle.importKey("raw", hash, "PBKDF2", false, ["deriveBits"]);
  const stretching = { name: "PBKDF2", hash: "SHA-256", salt: encoder.encode(user), iterations: PIN_ITERATIONS };
  return base64url(new Uint8Array(await crypto.subtle.deriveBits(stretching, key, VERIFIER_BITS)));
}
