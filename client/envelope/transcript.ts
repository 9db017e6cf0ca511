import type { DeviceId, MessageId, UserId } from "../../shared/ids.ts";
import { TRANSCRIPT_BLOCK_PLACES } from "../../shared/limits.ts";
import { ContentError } from "../content/content-error.ts";
import { joinBytes } from "../link-cipher.ts";

/**
 * By which members notice a server that withholds, reorders or replaces entries, or shows different histories to different
 * people. Each device digests the log in blocks of 64 places: H is zero before a block's first entry, and after an entry
 *
 *     H = SHA-256(H before | seq (8, big-endian) | id (26) | user (26) | device (26) | SHA-256(body))
 *
 * With every message a device claims what its H is at the last place that it has; whoever receives it compares that with
 * their own. Who lacks an entry of a block knows no more of it, and begins again with the next.
 *
 * One of these is one conversation's, on one device. It never changes: every step returns another.
 */
export interface Transcript {
  /** Everything up to here is applied, or is not to be had. */
  readonly place: number;
  /** H at `place`; undefined if it is not known. */
  readonly digest: Digest | undefined;
  /** Of the block in which `place` lies, and of the one before: the first 8 bytes of each H, as far as they are known. */
  readonly current: Uint8Array;
  readonly previous: Uint8Array;
}

/** What a device says it has seen. */
export interface Claim {
  readonly seq: number;
  /** The first 8 bytes of H at `seq`. */
  readonly digest: Uint8Array;
}

/** An entry as the server has it, its body as it came: sealed. */
export interface LogEntry {
  readonly seq: number;
  readonly id: MessageId;
  readonly user: UserId;
  readonly device: DeviceId;
  readonly body: Uint8Array;
}

export type Verdict =
  | "agrees"
  /** The two have been shown different histories, or the one who claims it lies. */
  | "differs"
  /** There was no claim, or this device does not know. */
  | "unknown";

type Digest = Uint8Array<ArrayBuffer>;

export const CLAIM_DIGEST_BYTES = 8;
const DIGEST_BYTES = 32;
const ID_BYTES = 26;
const nothing: Digest = new Uint8Array(0);
const zero: Digest = new Uint8Array(DIGEST_BYTES);
const encoder = new TextEncoder();

export const emptyTranscript: Transcript = { place: 0, digest: undefined, current: nothing, previous: nothing };

/** One that has come up again changes nothing. Places between `place` and this entry are a hole. */
export async function appendEntry(transcript: Transcript, entry: LogEntry): Promise<Transcript> {
  const { seq } = entry;
  if (seq <= transcript.place) return transcript;
  const { current, previous } = skipTo(transcript, seq);
  const before = (seq - 1) % TRANSCRIPT_BLOCK_PLACES === 0 ? zero : digestBefore(transcript, seq);
  if (!before) return { place: seq, digest: undefined, current, previous };
  const digest = await digestAfter(before, entry);
  return { place: seq, digest, current: joinBytes(current, digest.subarray(0, CLAIM_DIGEST_BYTES)), previous };
}

/** Everything up to `place` that has not been appended is not to be had: expired, or not for this device. */
export function skipTo(transcript: Transcript, place: number): Transcript {
  if (place <= transcript.place) return transcript;
  const blocks = blockOf(place) - blockOf(transcript.place);
  const { current, previous } = transcript;
  if (blocks === 0) return { place, digest: undefined, current, previous };
  return { place, digest: undefined, current: nothing, previous: blocks === 1 ? current : nothing };
}

/** What to claim in a message that is sealed now; undefined if this device does not know. */
export function claimOf({ place, digest }: Transcript): Claim | undefined {
  return digest && { seq: place, digest: digest.slice(0, CLAIM_DIGEST_BYTES) };
}

/**
 * Compares what the sender of the message at `seq` claims. To be asked before that message is appended itself: everything
 * that its sender had seen stands before it.
 */
export function checkClaim(transcript: Transcript, claim: Claim | undefined, seq: number): Verdict {
  if (!claim) return "unknown";
  if (claim.seq >= seq) return "differs";
  const known = marksOf(transcript, blockOf(claim.seq));
  const at = ((claim.seq - 1) % TRANSCRIPT_BLOCK_PLACES) * CLAIM_DIGEST_BYTES;
  if (at >= known.byteLength) return "unknown";
  return claim.digest.every((byte, index) => byte === known[at + index]) ? "agrees" : "differs";
}

/** For the store: place (8) | marks of the previous block (1, number) | of the current one (1) | both | H, if it is known. */
export function encodeTranscript({ place, digest, current, previous }: Transcript): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(10);
  new DataView(header.buffer).setBigUint64(0, BigInt(place));
  header[8] = previous.byteLength / CLAIM_DIGEST_BYTES;
  header[9] = current.byteLength / CLAIM_DIGEST_BYTES;
  return joinBytes(header, previous, current, digest ?? nothing);
}

/** @throws ContentError malformed */
export function decodeTranscript(bytes: Uint8Array): Transcript {
  const [previousMarks, currentMarks] = bytes.subarray(8, 10);
  if (previousMarks === undefined || currentMarks === undefined) throw new ContentError("malformed");
  const currentAt = 10 + previousMarks * CLAIM_DIGEST_BYTES;
  const digestAt = currentAt + currentMarks * CLAIM_DIGEST_BYTES;
  const digestBytes = bytes.byteLength - digestAt;
  const place = Number(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(0));
  if (!Number.isSafeInteger(place) || (digestBytes !== 0 && digestBytes !== DIGEST_BYTES)) {
    throw new ContentError("malformed");
  }
  return {
    place,
    digest: digestBytes === 0 ? undefined : bytes.slice(digestAt),
    current: bytes.slice(currentAt, digestAt),
    previous: bytes.slice(10, currentAt),
  };
}

function digestBefore({ place, digest }: Transcript, seq: number): Digest | undefined {
  return place === seq - 1 ? digest : undefined;
}

async function digestAfter(before: Digest, { seq, id, user, device, body }: LogEntry): Promise<Digest> {
  const place = new Uint8Array(8);
  new DataView(place.buffer).setBigUint64(0, BigInt(seq));
  const ids = encoder.encode(id + user + device);
  if (ids.byteLength !== 3 * ID_BYTES) throw new ContentError("malformed");
  return sha256(joinBytes(before, place, ids, await sha256(joinBytes(body))));
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<Digest> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

/** The place before the first of its block. */
export function blockStart(place: number): number {
  return blockOf(place) * TRANSCRIPT_BLOCK_PLACES;
}

/** The block in which a place lies; before the first place there is none. */
function blockOf(place: number): number {
  return Math.floor((place - 1) / TRANSCRIPT_BLOCK_PLACES);
}

function marksOf({ place, current, previous }: Transcript, block: number): Uint8Array {
  const age = blockOf(place) - block;
  if (age === 0) return current;
  return age === 1 ? previous : nothing;
}
