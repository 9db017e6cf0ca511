import type { Decoder } from "ts-mls/codec/tlsDecoder.js";
import type { Encoder } from "ts-mls/codec/tlsEncoder.js";
import { encodeMlsMessage, type MlsMessageContent } from "ts-mls/message.js";
import type { RatchetTree } from "ts-mls/ratchetTree.js";
import { MAX_LEAVES_PER_GROUP } from "../../shared/limits.ts";
import { decodeMessage, decodeTree, decodeWhole, type Format, type Message } from "../../shared/mls/wire.ts";
import { MlsError } from "./mls.ts";

const MAX_NODES_PER_TREE = 2 * MAX_LEAVES_PER_GROUP - 1;

export function writeMessage(content: MlsMessageContent): Uint8Array {
  return encodeMlsMessage({ version: "mls10", ...content });
}

/** @throws MlsError malformed, also if it is a message of another format */
export function readMessage<F extends Format>(bytes: Uint8Array, ...formats: readonly F[]): Message<F> {
  return orMalformed(() => decodeMessage(bytes, formats));
}

/**
 * The tree of the extension ratchet_tree (RFC 9420 §12.4.3.3).
 * @throws MlsError malformed; unsupported, if it is larger than any group here
 */
export function readTree(bytes: Uint8Array): RatchetTree {
  const tree = orMalformed(() => decodeTree(bytes));
  if (tree.length > MAX_NODES_PER_TREE) throw new MlsError("unsupported");
  return tree;
}

/** @throws MlsError malformed */
export function readWhole<T>(bytes: Uint8Array, decode: Decoder<T>, encode: Encoder<T>): T {
  return orMalformed(() => decodeWhole(bytes, decode, encode));
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function orMalformed<T>(read: () => T | undefined): T {
  try {
    const content = read();
    if (content !== undefined) return content;
  } catch (cause) {
    throw new MlsError("malformed", { cause });
  }
  throw new MlsError("malformed");
}
