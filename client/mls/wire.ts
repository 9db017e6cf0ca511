import type { Decoder } from "ts-mls/codec/tlsDecoder.js";
import type { Encoder } from "ts-mls/codec/tlsEncoder.js";
import { decodeMlsMessage, encodeMlsMessage, type MlsMessageContent } from "ts-mls/message.js";
import { decodeRatchetTree, encodeRatchetTree, type RatchetTree } from "ts-mls/ratchetTree.js";
import { MAX_LEAVES_PER_GROUP } from "../../shared/limits.ts";
import { MlsError } from "./mls.ts";

type Format = MlsMessageContent["wireformat"];
type Message<F extends Format> = Extract<MlsMessageContent, { wireformat: F }>;

const MAX_NODES_PER_TREE = 2 * MAX_LEAVES_PER_GROUP - 1;

export function writeMessage(content: MlsMessageContent): Uint8Array {
  return encodeMlsMessage({ version: "mls10", ...content });
}

/** @throws MlsError malformed, also if it is a message of another format */
export function readMessage<F extends Format>(bytes: Uint8Array, ...formats: readonly F[]): Message<F> {
  const message = readWhole(bytes, decodeMlsMessage, encodeMlsMessage);
  if (!isOneOf(message, formats)) throw new MlsError("malformed");
  return message;
}

/**
 * The tree of the extension ratchet_tree (RFC 9420 §12.4.3.3).
 * @throws MlsError malformed; unsupported, if it is larger than any group here
 */
export function readTree(bytes: Uint8Array): RatchetTree {
  const tree = readWhole(bytes, decodeRatchetTree, encodeRatchetTree);
  if (tree.length > MAX_NODES_PER_TREE) throw new MlsError("unsupported");
  return tree;
}

/**
 * All the bytes, and nothing but what would be written for the same content: lengths in their shortest form (RFC 9420
 * §2.1.2), nothing left over. What is read holds on to no bytes of the caller's.
 * @throws MlsError malformed
 */
export function readWhole<T>(bytes: Uint8Array, decode: Decoder<T>, encode: Encoder<T>): T {
  try {
    const own = bytes.slice();
    const [content] = decode(own, 0) ?? [];
    if (content !== undefined && areEqual(encode(content), own)) return content;
  } catch (cause) {
    throw new MlsError("malformed", { cause });
  }
  throw new MlsError("malformed");
}

export function areEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, at) => byte === b[at]);
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function isOneOf<F extends Format>(message: MlsMessageContent, formats: readonly F[]): message is Message<F> {
  return (formats as readonly Format[]).includes(message.wireformat);
}
