import * as v from "valibot";
import { fromBase64url, toBase64url } from "../../shared/base64url.ts";
import { UserId } from "../../shared/ids.ts";
import { ChatError } from "../chat-error.ts";
import { joinBytes } from "../link-cipher.ts";
import { type Bytes, isSameKey } from "./ed25519.ts";
import type { Identity } from "./pins.ts";

/** How two people see that no server stands between them: both devices show the same number exactly if both have the same two keys. */

/** Makes a key whose number resembles another's cost that much more to search for. */
const ITERATIONS = 5_200;
const VERSION = 0;
const CHUNK_BYTES = 5;
const CHUNK_DIGITS = 5;
const CHUNKS_PER_SIDE = 6;

/** @returns 60 digits in groups of five, the same for both. Takes some tenths of a second. */
export async function safetyNumber(own: Identity, other: Identity): Promise<string> {
  const identifier = ({ user }: Identity) => new TextEncoder().encode(user);
  const sides = [
    await fingerprint(own.accountKey, identifier(own)),
    await fingerprint(other.accountKey, identifier(other)),
  ];
  return sides.sort().join(" ");
}

/**
 * One side's 30 digits in groups of five: Signal's numeric fingerprint, version 0.
 * @param identifier names the person for good
 */
export async function fingerprint(publicKey: Uint8Array, identifier: Uint8Array): Promise<string> {
  let hash: Bytes = joinBytes(Uint8Array.of(0, VERSION), publicKey, identifier);
  for (let iteration = 0; iteration < ITERATIONS; iteration++) {
    hash = new Uint8Array(await crypto.subtle.digest("SHA-512", joinBytes(hash, publicKey)));
  }
  return Array.from({ length: CHUNKS_PER_SIDE }, (_, chunk) => digits(hash, chunk * CHUNK_BYTES)).join(" ");
}

/** Five bytes as a number, of which the last five digits remain. */
function digits(hash: Bytes, at: number): string {
  const number = hash.subarray(at, at + CHUNK_BYTES).reduce((high, byte) => high * 256 + byte, 0);
  return String(number % 10 ** CHUNK_DIGITS).padStart(CHUNK_DIGITS, "0");
}

/** What a scanned safety code shows. */
export type SafetyCheck =
  /** Both devices have the same two keys. */
  | "match"
  /** At least one device has a wrong key. */
  | "mismatch"
  /** The code is about other people than these two. */
  | "other_people";

const SAFETY_CODE = /^sandpiper:safety\?from=([^&]+)&key=([^&]+)&to=([^&]+)&key=([^&]+)$/;

/** For a QR code. It holds the two keys themselves, as this device has them: nothing is secret, and nothing is cut off. */
export function writeSafetyCode(own: Identity, other: Identity): string {
  const part = ({ user, accountKey }: Identity) => `${user}&key=${toBase64url(accountKey)}`;
  return `sandpiper:safety?from=${part(own)}&to=${part(other)}`;
}

/** @param text as it was scanned from the other person's device. @throws ChatError code_malformed */
export function checkSafetyCode(text: string, own: Identity, other: Identity): SafetyCheck {
  const [, from, theirKey, to, ownKey] = SAFETY_CODE.exec(text) ?? [];
  const [theirs, mine] = [readIdentity(from, theirKey), readIdentity(to, ownKey)];
  if (theirs.user !== other.user || mine.user !== own.user) return "other_people";
  const isSame = isSameKey(theirs.accountKey, other.accountKey) && isSameKey(mine.accountKey, own.accountKey);
  return isSame ? "match" : "mismatch";
}

function readIdentity(id: string | undefined, key = ""): Identity {
  const user = v.safeParse(UserId, id);
  const accountKey = fromBase64url(key);
  if (!user.success || !accountKey) throw new ChatError("code_malformed");
  return { user: user.output, accountKey };
}
