/** The part of an MLSMessage (RFC 9420 §6) that is not secret, as far as the delivery service needs it. */

const encoder = new TextEncoder();
const VERSION = 1;
/** RFC 9420 §17.2. */
const wireFormats = { public: 1, private: 2, reference: 0xf001 } as const;
const APPLICATION = 1;

export type Sealed =
  | { readonly kind: "message"; readonly group: Uint8Array; readonly epoch: number }
  /** A commit, or another handshake message, that everybody can read. */
  | { readonly kind: "public" }
  /** Stands for a commit that is too large for the log (wire format for private use, RFC 9420 §17.2). */
  | { readonly kind: "reference"; readonly bytes: number; readonly sha256: Uint8Array };

/** @returns what the bytes say of themselves; undefined if that is nothing that a log may hold */
export function readFraming(bytes: Uint8Array): Sealed | undefined {
  if (bytes.byteLength < 4) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint16(0) !== VERSION) return undefined;
  const format = view.getUint16(2);
  if (format === wireFormats.public) return { kind: "public" };
  if (format === wireFormats.private) return readPrivate(bytes, view);
  if (format !== wireFormats.reference || bytes.byteLength !== 40) return undefined;
  return { kind: "reference", bytes: view.getUint32(4), sha256: bytes.subarray(8) };
}

/** A commit, whole or by reference; all else in a log are messages. */
export function isCommit(body: Uint8Array): boolean {
  const kind = readFraming(body)?.kind;
  return kind === "public" || kind === "reference";
}

/** In which epoch a public message was made (RFC 9420 §6.2: it begins with its content, and that with group and epoch). */
export function readEpoch(publicMessage: Uint8Array): number | undefined {
  const { buffer, byteOffset, byteLength } = publicMessage;
  const view = new DataView(buffer, byteOffset, byteLength);
  const group = readVector(publicMessage, view, 4);
  return group && group.end + 8 <= byteLength ? Number(view.getBigUint64(group.end)) : undefined;
}

/** What the log gets for a commit of that size and hash. */
export function encodeReference(byteLength: number, sha256: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(40);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, VERSION);
  view.setUint16(2, wireFormats.reference);
  view.setUint32(4, byteLength);
  bytes.set(sha256, 8);
  return bytes;
}

/** The group of a conversation is named by the conversation's id. */
export function groupIdOf(conversation: string): Uint8Array {
  return encoder.encode(conversation);
}

/** PrivateMessage (RFC 9420 §6.3): group_id<V>, epoch, content_type. Handshake messages are public here, so those are refused. */
function readPrivate(bytes: Uint8Array, view: DataView): Sealed | undefined {
  const group = readVector(bytes, view, 4);
  if (!group || group.end + 9 > bytes.byteLength) return undefined;
  const epoch = view.getBigUint64(group.end);
  const isApplication = view.getUint8(group.end + 8) === APPLICATION;
  if (!isApplication || epoch > BigInt(Number.MAX_SAFE_INTEGER)) return undefined;
  return { kind: "message", group: bytes.subarray(group.start, group.end), epoch: Number(epoch) };
}

/** A variable-size vector (RFC 9420 §2.1.2); as short as the id of a conversation, its length takes one or two bytes. */
function readVector(bytes: Uint8Array, view: DataView, at: number): { start: number; end: number } | undefined {
  if (at >= bytes.byteLength) return undefined;
  const first = view.getUint8(at);
  const isShort = first >> 6 === 0;
  if (!isShort && (first >> 6 !== 1 || at + 2 > bytes.byteLength)) return undefined;
  const length = isShort ? first : view.getUint16(at) & 0x3fff;
  const start = at + (isShort ? 1 : 2);
  return start + length <= bytes.byteLength ? { start, end: start + length } : undefined;
}
