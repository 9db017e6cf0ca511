import type { UserId } from "../../shared/ids.ts";
import { ARCHIVE_CHUNK_BYTES, ARCHIVE_TAG_BYTES, MAX_ARCHIVE_CHUNKS } from "../../shared/limits.ts";
import { ChatError } from "../chat-error.ts";
import { type AccountKey, signStatement, verifyStatement } from "../identity/account-key.ts";
import { type Bytes, isSameKey, SIGNATURE_BYTES } from "../identity/ed25519.ts";
import type { Identity } from "../identity/pins.ts";
import { joinBytes } from "../link-cipher.ts";
import { deriveKey } from "./derive-key.ts";
import { refuse } from "./errors.ts";

/**
 * A history as it lies on a server that cannot read it: records, whatever they hold, in chunks that are encrypted one by
 * one, and a manifest with which the account vouches for all of them. A person has one archive key for all their archives;
 * each archive encrypts under a key of its own, derived with the archive's id, so no nonce is ever used for two of them.
 *
 * A chunk's number is its nonce. So a chunk that has left the device stays as it is: store what `writeArchive` yields, the
 * chunk and the state, in one write before uploading it, and go on from the stored state after a crash. Whoever has lost
 * the state begins a new archive.
 *
 *     manifest: version (1) | user (26) | state (65) | signature (64)
 *     state: id (16) | createdAt (8) | chunks (4) | records (4) | digest (32) | is complete (1)
 *     chunk: AES-256-GCM of the records, each as length (4) | bytes; numbers are big-endian
 */

export const ARCHIVE_KEY_BYTES = 32;
const ID_BYTES = 16;
const DIGEST_BYTES = 32;
const STATE_BYTES = ID_BYTES + 8 + 4 + 4 + DIGEST_BYTES + 1;
const VERSION = 1;
const HEAD_BYTES = 1 + 26;
const NONCE_BYTES = 12;
const LENGTH_BYTES = 4;

/** How far an archive has got. Reading goes through the same states as writing has, up to the one in the manifest. */
export interface ArchiveState {
  readonly id: Bytes;
  /** Ms since 1970. */
  readonly createdAt: number;
  readonly chunks: number;
  readonly records: number;
  /** SHA-256 of the digest before and the last chunk's SHA-256; zeros before the first. */
  readonly digest: Bytes;
  readonly isComplete: boolean;
}

export function makeArchiveKey(): Bytes {
  return crypto.getRandomValues(new Uint8Array(ARCHIVE_KEY_BYTES));
}

export function beginArchive(createdAt: number): ArchiveState {
  return stateAtStart({ id: crypto.getRandomValues(new Uint8Array(ID_BYTES)), createdAt });
}

export interface WrittenChunk {
  readonly chunk: Bytes;
  /** After this chunk, which has the number `state.chunks - 1`. */
  readonly state: ArchiveState;
}

/**
 * @param from where the archive stands: as it was begun, or after a chunk that is stored
 * @param records those that follow `from.records`; each up to `ARCHIVE_CHUNK_BYTES` less 4
 * @throws ChatError too_large
 */
export async function* writeArchive(
  archiveKey: Uint8Array,
  from: ArchiveState,
  records: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<WrittenChunk, void> {
  if (from.isComplete) return;
  const key = await keyOf(archiveKey, from);
  let state = from;
  for await (const { framed, isLast } of packRecords(records)) {
    if (state.chunks === MAX_ARCHIVE_CHUNKS) throw new ChatError("too_large");
    const sealed = await crypto.subtle.encrypt(chunkCipher(state, isLast), key, joinBytes(...framed));
    const chunk = new Uint8Array(sealed);
    state = await advance(state, chunk, framed.length, isLast);
    yield { chunk, state };
  }
}

/** The archive is complete, and this account's. */
export async function signManifest(accountKey: AccountKey, user: UserId, state: ArchiveState): Promise<Bytes> {
  if (!state.isComplete) throw new RangeError("an archive that is not complete");
  const statement = joinBytes(headOf(user), encodeArchiveState(state));
  return joinBytes(statement, await signStatement(accountKey, "archive manifest v1", statement));
}

/**
 * Whether it is the person's last archive, no signature can say: `createdAt` is for them to judge by.
 * @param owner with the account key that the envelope held, or that the device has already
 * @throws ChatError backup_unsigned, if the account has not signed this; tampered
 */
export async function readManifest(manifest: Uint8Array, owner: Identity): Promise<ArchiveState> {
  if (manifest.byteLength !== HEAD_BYTES + STATE_BYTES + SIGNATURE_BYTES) refuse("tampered");
  const statement = joinBytes(manifest.subarray(0, -SIGNATURE_BYTES));
  const signature = manifest.subarray(-SIGNATURE_BYTES);
  const isSigned = await verifyStatement(owner.accountKey, "archive manifest v1", statement, signature);
  const isTheirs = isSameKey(statement.subarray(0, HEAD_BYTES), headOf(owner.user));
  return isSigned && isTheirs ? decodeArchiveState(statement.subarray(HEAD_BYTES)) : refuse("backup_unsigned");
}

export interface ReadChunk {
  readonly records: readonly Bytes[];
  /** After this chunk; `state.chunks` of the manifest's `chunks` are read. */
  readonly state: ArchiveState;
}

/**
 * Each chunk is checked before its records are given out: they are this archive's, and none before them is missing.
 * @param manifest what {@link readManifest} has returned
 * @param fetchChunk 0 is the first
 * @param from the state after the last chunk that was dealt with, to go on where reading has stopped
 * @throws ChatError tampered, if the chunks are not those that were written under this key; and what `fetchChunk` throws
 */
export async function* readArchive(
  archiveKey: Uint8Array,
  manifest: ArchiveState,
  fetchChunk: (number: number) => Promise<Uint8Array>,
  from: ArchiveState = stateAtStart(manifest),
): AsyncGenerator<ReadChunk, void> {
  const key = await keyOf(archiveKey, manifest);
  let state = from;
  while (!state.isComplete) {
    const chunk = joinBytes(await fetchChunk(state.chunks));
    if (chunk.byteLength > ARCHIVE_CHUNK_BYTES + ARCHIVE_TAG_BYTES) refuse("tampered");
    const isLast = state.chunks + 1 === manifest.chunks;
    const opened = crypto.subtle.decrypt(chunkCipher(state, isLast), key, chunk);
    const records = unpackRecords(new Uint8Array(await opened.catch((cause) => refuse("tampered", cause))));
    state = await advance(state, chunk, records.length, isLast);
    if (isLast && !isSameState(state, manifest)) refuse("tampered");
    yield { records, state };
  }
}

/** For a store, so that writing or reading can go on after a crash. */
export function encodeArchiveState(state: ArchiveState): Bytes {
  const numbers = new DataView(new ArrayBuffer(16));
  numbers.setBigUint64(0, BigInt(state.createdAt));
  numbers.setUint32(8, state.chunks);
  numbers.setUint32(12, state.records);
  return joinBytes(state.id, new Uint8Array(numbers.buffer), state.digest, Uint8Array.of(Number(state.isComplete)));
}

/** @throws ChatError store_failed, if these are not the bytes of a state */
export function decodeArchiveState(bytes: Uint8Array): ArchiveState {
  if (bytes.byteLength !== STATE_BYTES) throw new ChatError("store_failed");
  const copy = joinBytes(bytes);
  const numbers = new DataView(copy.buffer, ID_BYTES);
  return {
    id: copy.slice(0, ID_BYTES),
    createdAt: Number(numbers.getBigUint64(0)),
    chunks: numbers.getUint32(8),
    records: numbers.getUint32(12),
    digest: copy.slice(ID_BYTES + 16, -1),
    isComplete: copy.at(-1) === 1,
  };
}

function stateAtStart({ id, createdAt }: Pick<ArchiveState, "id" | "createdAt">): ArchiveState {
  return { id, createdAt, chunks: 0, records: 0, digest: new Uint8Array(DIGEST_BYTES), isComplete: false };
}

async function advance(state: ArchiveState, chunk: Bytes, records: number, isLast: boolean): Promise<ArchiveState> {
  return {
    ...state,
    chunks: state.chunks + 1,
    records: state.records + records,
    digest: await sha256(joinBytes(state.digest, await sha256(chunk))),
    isComplete: isLast,
  };
}

function isSameState(a: ArchiveState, b: ArchiveState): boolean {
  return isSameKey(encodeArchiveState(a), encodeArchiveState(b));
}

function headOf(user: UserId): Bytes {
  return joinBytes(Uint8Array.of(VERSION), new TextEncoder().encode(user));
}

function keyOf(archiveKey: Uint8Array, { id }: ArchiveState): Promise<CryptoKey> {
  return deriveKey(archiveKey, id, "sandpiper archive v1");
}

/** Of the chunk that follows this state. */
function chunkCipher({ id, chunks }: ArchiveState, isLast: boolean): AesGcmParams {
  const iv = new Uint8Array(NONCE_BYTES);
  new DataView(iv.buffer).setUint32(NONCE_BYTES - 4, chunks);
  return { name: "AES-GCM", iv, additionalData: joinBytes(id, iv, Uint8Array.of(Number(isLast))) };
}

interface Pack {
  /** Records with their lengths. */
  readonly framed: readonly Bytes[];
  readonly isLast: boolean;
}

/** As many records to a chunk as fit; the last one may be empty, for there is always one. */
async function* packRecords(records: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<Pack, void> {
  let framed: Bytes[] = [];
  let size = 0;
  for await (const record of records) {
    const next = frame(record);
    if (next.byteLength > ARCHIVE_CHUNK_BYTES) throw new ChatError("too_large");
    if (size + next.byteLength > ARCHIVE_CHUNK_BYTES) {
      yield { framed, isLast: false };
      framed = [];
      size = 0;
    }
    framed.push(next);
    size += next.byteLength;
  }
  yield { framed, isLast: true };
}

function frame(record: Uint8Array): Bytes {
  const length = new DataView(new ArrayBuffer(LENGTH_BYTES));
  length.setUint32(0, record.byteLength);
  return joinBytes(new Uint8Array(length.buffer), record);
}

function unpackRecords(plaintext: Bytes): Bytes[] {
  const view = new DataView(plaintext.buffer);
  const records: Bytes[] = [];
  let at = 0;
  while (at < plaintext.byteLength) {
    const start = at + LENGTH_BYTES;
    const end = start + (start <= plaintext.byteLength ? view.getUint32(at) : 0);
    if (end > plaintext.byteLength) refuse("tampered");
    records.push(plaintext.slice(start, end));
    at = end;
  }
  return records;
}

async function sha256(bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}
