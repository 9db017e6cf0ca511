import { parsePhoneNumberFromString } from "libphonenumber-js/max";
import type { Env } from "../../../durable-objects/runtime/env.ts";
import { base64url, keyedHash } from "../../../durable-objects/runtime/keyed-hash.ts";
import { Refusal } from "../../../shared/errors.ts";

export interface PhoneNumber {
  /** "+" and digits (ITU-T E.164), the same however it was written. Neither stored nor logged, anywhere. */
  readonly e164: string;
  /** The last four digits, for its owner to recognise it. */
  readonly end: string;
  /** Country code and the first three digits after it: numbers that are sold in one piece begin alike. */
  readonly prefix: string;
}

/** What people put between digits (RFC 3966 §5.1.1), blanks of any kind among it. */
const SEPARATORS = /[\s.\-()[\]]/g;
/** Messages to these cost whoever sends or gets them more than others, which is what they are abused for. */
const COSTLY: ReadonlySet<string | undefined> = new Set(["PREMIUM_RATE", "SHARED_COST", "UAN"]);

/**
 * A number in international format. The whole metadata, 73 kB more than the smallest, tells numbers that exist from those
 * that only have the right length: each of these would cost a message.
 * @throws Refusal phone_invalid
 */
export function parsePhone(text: string): PhoneNumber {
  const digits = text.replace(SEPARATORS, "");
  const number = /^\+\d+$/.test(digits) ? parsePhoneNumberFromString(digits, { extract: false }) : undefined;
  if (!number?.isValid() || COSTLY.has(number.getType())) throw new Refusal("phone_invalid");
  const { number: e164, countryCallingCode, nationalNumber } = number;
  return { e164, end: e164.slice(-4), prefix: `${countryCallingCode}${nationalNumber.slice(0, 3)}` };
}

/** What a number is known by: the keyed hash of its digest, base64url. */
export async function phoneHashOf(env: Env, e164: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(e164));
  return hashOfDigest(env, base64url(new Uint8Array(digest)));
}

/** The same from the digest alone, which is all that contact discovery gives away of a number. */
export function hashOfDigest(env: Env, digest: string): Promise<string> {
  return keyedHash(env.PEPPER, "phone", digest);
}
