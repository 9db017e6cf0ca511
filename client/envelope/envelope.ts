import { ENVELOPE_SIZES_BYTES, MAX_CONTENT_BYTES } from "../../shared/limits.ts";
import { ContentError } from "../content/content-error.ts";
import { CLAIM_DIGEST_BYTES, type Claim } from "./transcript.ts";

/**
 * What is sealed as one message:
 *
 *     version (1) | claimed place (8, big-endian; 0: no claim) | claimed digest (8) | length (2) | content | zeros
 *
 * The zeros fill one of a few sizes, so that the ciphertext tells no more than that: texts up to some 200 characters all
 * look alike. Sizes are powers of two rather than steps of 1 KiB or Padmé (Nikitin et al., PETS 2019): nine instead of 62
 * or 127 that an observer can tell apart, for an eighth to a sixth more bytes over a usual mix of texts and thumbnails.
 */
export interface Envelope {
  readonly content: Uint8Array;
  readonly claim: Claim | undefined;
}

const VERSION = 1;
const PLACE_AT = 1;
const DIGEST_AT = PLACE_AT + 8;
const LENGTH_AT = DIGEST_AT + CLAIM_DIGEST_BYTES;
const CONTENT_AT = LENGTH_AT + 2;

/** @throws ContentError too_large */
export function encodeEnvelope({ content, claim }: Envelope): Uint8Array<ArrayBuffer> {
  if (content.byteLength > MAX_CONTENT_BYTES) throw new ContentError("too_large");
  const bytes = new Uint8Array(sizeFor(content.byteLength));
  const view = new DataView(bytes.buffer);
  bytes[0] = VERSION;
  if (claim) {
    view.setBigUint64(PLACE_AT, BigInt(claim.seq));
    bytes.set(claim.digest, DIGEST_AT);
  }
  view.setUint16(LENGTH_AT, content.byteLength);
  bytes.set(content, CONTENT_AT);
  return bytes;
}

/** There is one envelope for a content and a claim: anything else is refused. @throws ContentError malformed | unsupported */
export function decodeEnvelope(bytes: Uint8Array): Envelope {
  if (bytes[0] !== undefined && bytes[0] > VERSION) throw new ContentError("unsupported");
  if (bytes[0] !== VERSION || bytes.byteLength < CONTENT_AT) throw new ContentError("malformed");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint16(LENGTH_AT);
  if (length > MAX_CONTENT_BYTES || bytes.byteLength !== sizeFor(length)) throw new ContentError("malformed");
  const end = CONTENT_AT + length;
  if (!isZero(bytes.subarray(end))) throw new ContentError("malformed");
  const claim = decodeClaim(view.getBigUint64(PLACE_AT), bytes.slice(DIGEST_AT, LENGTH_AT));
  return { content: bytes.slice(CONTENT_AT, end), claim };
}

function decodeClaim(place: bigint, digest: Uint8Array): Claim | undefined {
  const seq = Number(place);
  if (!Number.isSafeInteger(seq) || (seq === 0 && !isZero(digest))) throw new ContentError("malformed");
  return seq === 0 ? undefined : { seq, digest };
}

function sizeFor(contentBytes: number): number {
  const size = ENVELOPE_SIZES_BYTES.find((candidate) => candidate >= CONTENT_AT + contentBytes);
  if (size === undefined) throw new ContentError("too_large");
  return size;
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
