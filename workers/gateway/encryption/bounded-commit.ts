import { MAX_KEY_PACKAGE_BYTES, MAX_LEAVES_PER_GROUP, MAX_PROPOSALS_BYTES } from "../../../shared/limits.ts";

/**
 * Whether a commit (RFC 9420 §6.2, §12.4) has no more parts than a group can need. Nothing but lengths is read: decoded, three
 * megabytes of parts without content would take all of the memory that there is, of all who ask at that moment. Whether it
 * makes sense is for whoever decodes it.
 * @param message an MLSMessage
 */
export function isBounded(message: Uint8Array): boolean {
  try {
    return isBoundedCommit(new Lengths(message));
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

const COMMIT = 3;
/** Of a sender with an index. */
const senders = { member: 1, external: 2 };
/** Where a leaf comes from (§7.2). */
const sources = { keyPackage: 1, commit: 3 };

function isBoundedCommit(lengths: Lengths): boolean {
  lengths.skip(4);
  lengths.vector();
  lengths.skip(8);
  const sender = lengths.byte();
  if (sender === senders.member || sender === senders.external) lengths.skip(4);
  lengths.vector();
  if (lengths.byte() !== COMMIT || lengths.vector() > MAX_PROPOSALS_BYTES) return false;
  const hasPath = lengths.byte() === 1;
  return !hasPath || (leafBytes(lengths) <= MAX_KEY_PACKAGE_BYTES && isBoundedPath(lengths));
}

/** Keys, credential, capabilities, source, extensions and signature (§7.2). */
function leafBytes(lengths: Lengths): number {
  const from = lengths.at;
  lengths.vectors(2);
  lengths.skip(2);
  lengths.vectors(1 + 5);
  const source = lengths.byte();
  if (source === sources.keyPackage) lengths.skip(16);
  if (source === sources.commit) lengths.vector();
  lengths.vectors(2);
  return lengths.at - from;
}

/** Each node has a key, and a ciphertext for everybody below it (§7.6). */
function isBoundedPath(lengths: Lengths): boolean {
  let left = MAX_LEAVES_PER_GROUP;
  const end = lengths.enter();
  while (lengths.at < end && left-- > 0) {
    lengths.vector();
    const last = lengths.enter();
    while (lengths.at < last && left-- > 0) lengths.vectors(2);
  }
  return left >= 0;
}

/** Goes through bytes. @throws RangeError at their end */
class Lengths {
  at = 0;
  readonly #view: DataView;

  constructor({ buffer, byteOffset, byteLength }: Uint8Array) {
    this.#view = new DataView(buffer, byteOffset, byteLength);
  }

  byte(): number {
    return this.#view.getUint8(this.at++);
  }

  skip(bytes: number): void {
    this.at += bytes;
    if (this.at > this.#view.byteLength) throw new RangeError("the end");
  }

  /** A variable-size vector (§2.1.2), whole. @returns its length */
  vector(): number {
    const from = this.at;
    this.skip(this.enter() - this.at);
    return this.at - from;
  }

  vectors(count: number): void {
    for (let passed = 0; passed < count; passed++) this.vector();
  }

  /** @returns where the vector ends that begins here */
  enter(): number {
    const first = this.byte();
    const bytes = [1, 2, 4][first >> 6];
    if (bytes === undefined) throw new RangeError("no length");
    let length = first & 0x3f;
    for (let read = 1; read < bytes; read++) length = length * 256 + this.byte();
    return this.at + length;
  }
}
