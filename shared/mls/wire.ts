import type { Decoder } from "ts-mls/codec/tlsDecoder.js";
import type { Encoder } from "ts-mls/codec/tlsEncoder.js";
import { decodeMlsMessage, encodeMlsMessage, type MlsMessageContent } from "ts-mls/message.js";
import { decodeRatchetTree, encodeRatchetTree, type RatchetTree } from "ts-mls/ratchetTree.js";

export type Format = MlsMessageContent["wireformat"];
export type Message<F extends Format> = Extract<MlsMessageContent, { wireformat: F }>;

/** An MLSMessage (RFC 9420 §6) of one of these formats, as `decodeWhole` takes it. @throws whatever the library throws */
export function decodeMessage<F extends Format>(bytes: Uint8Array, formats: readonly F[]): Message<F> | undefined {
  const message = decodeWhole(bytes, decodeMlsMessage, encodeMlsMessage);
  return message && isOneOf(message, formats) ? message : undefined;
}

/** The tree of the extension ratchet_tree (RFC 9420 §12.4.3.3), as `decodeWhole` takes it. @throws whatever the library throws */
export function decodeTree(bytes: Uint8Array): RatchetTree | undefined {
  return decodeWhole(bytes, decodeRatchetTree, encodeRatchetTree);
}

/**
 * All the bytes, and nothing but what would be written for the same content: lengths in their shortest form (RFC 9420
 * §2.1.2), nothing left over; others might read it otherwise. What is read holds on to no bytes of the caller's.
 * @returns undefined for anything else @throws whatever the library throws where it makes no sense
 */
export function decodeWhole<T>(bytes: Uint8Array, decode: Decoder<T>, encode: Encoder<T>): T | undefined {
  const own = bytes.slice();
  const [content] = decode(own, 0) ?? [];
  return content !== undefined && areEqual(encode(content), own) ? content : undefined;
}

export function areEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, at) => byte === b[at]);
}

function isOneOf<F extends Format>(message: MlsMessageContent, formats: readonly F[]): message is Message<F> {
  return (formats as readonly Format[]).includes(message.wireformat);
}
