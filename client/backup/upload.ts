import { toBase64url } from "../../shared/base64url.ts";
import type { UserId } from "../../shared/ids.ts";
import { FIRST_ARCHIVE_ROOM_CHUNKS } from "../../shared/limits.ts";
import { ChatError } from "../chat-error.ts";
import type { AccountKey } from "../identity/account-key.ts";
import type { Bytes } from "../identity/ed25519.ts";
import { type ArchiveState, signManifest, writeArchive } from "./archive.ts";
import type { ArchiveService } from "./archive-service.ts";
import { persevere } from "./transfer.ts";

/** How far an upload has got. It is stored before the chunk leaves: after a crash the same chunk leaves again. */
export interface Upload<Position> {
  readonly state: ArchiveState;
  /** Of the last record that is in a chunk; undefined before the first. */
  readonly position: Position | undefined;
  /** The last one, which may not have arrived. */
  readonly chunk: Bytes | undefined;
}

export interface PlacedRecord<Position> {
  readonly record: Uint8Array;
  readonly position: Position;
}

export interface UploadOptions<Position> {
  readonly service: ArchiveService;
  readonly archiveKey: Uint8Array;
  readonly accountKey: AccountKey;
  readonly user: UserId;
  readonly from: Upload<Position>;
  /** What is to be archived beyond a position, in an order that stays the same. */
  readonly records: (after: Position | undefined) => AsyncIterable<PlacedRecord<Position>>;
  readonly keep: (upload: Upload<Position>) => Promise<void>;
  readonly uploaded: (position: Position | undefined) => void;
  readonly signal?: AbortSignal | undefined;
}

/** What an archive is called on the server. */
export function archiveIdOf({ id }: Pick<ArchiveState, "id">): string {
  return toBase64url(id);
}

/**
 * Brings the records to the server as an archive, from where an earlier upload of it has stopped, and completes it.
 * @throws ChatError `not_found`, if the server does not have any more what was uploaded before: another archive has to be
 *   begun; `too_many`, `too_large`, `closed`
 */
export async function uploadArchive<Position>(options: UploadOptions<Position>): Promise<void> {
  const { service, archiveKey, accountKey, user, from, keep, uploaded, signal } = options;
  const archive = archiveIdOf(from.state);
  let { state } = from;
  await persevere(() => service.begin(archive, roomFor(state.chunks)), signal);
  if (from.chunk) await resume(options, archive, from.chunk);
  const records = new TrackedRecords(options);
  for await (const { chunk, state: next } of writeArchive(archiveKey, state, records)) {
    const number = state.chunks;
    if (number > 0 && number === roomFor(number - 1)) {
      await persevere(() => service.begin(archive, roomFor(number)), signal);
    }
    state = next;
    const position = records.positionAt(state);
    await keep({ state, position, chunk });
    await persevere(() => service.putChunk(archive, number, chunk), signal);
    uploaded(position);
  }
  const manifest = await signManifest(accountKey, user, state);
  await persevere(() => service.putManifest(archive, manifest), signal);
  // An archive whose time was over while it paused may have lost chunks behind our back.
  await mustHave(options, archive, state.chunks);
}

/** The last chunk before the pause is put once more; the others have to be there. */
async function resume<P>(options: UploadOptions<P>, archive: string, chunk: Bytes): Promise<void> {
  const { service, from, signal } = options;
  const number = from.state.chunks - 1;
  await mustHave(options, archive, number);
  await persevere(() => service.putChunk(archive, number, chunk), signal);
}

/** All chunks below this number. */
async function mustHave<P>({ service, signal }: UploadOptions<P>, archive: string, number: number): Promise<void> {
  const { chunks } = await persevere(() => service.chunks(archive), signal);
  const there = new Set(chunks);
  for (let each = 0; each < number; each++) if (!there.has(each)) throw new ChatError("not_found");
}

/** For chunk `number` and all before it: nobody knows how many there will be. */
function roomFor(number: number): number {
  let room = FIRST_ARCHIVE_ROOM_CHUNKS;
  while (room <= number) room *= 2;
  return room;
}

/** An archive takes more records than are in its last chunk: what does not fit into that one begins the next. */
class TrackedRecords<Position> implements AsyncIterable<Uint8Array> {
  readonly #options: UploadOptions<Position>;
  readonly #positions: Position[] = [];

  constructor(options: UploadOptions<Position>) {
    this.#options = options;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    const { records, from } = this.#options;
    for await (const { record, position } of records(from.position)) {
      this.#positions.push(position);
      yield record;
    }
  }

  /** Of the last record that is in the archive then. */
  positionAt({ records }: ArchiveState): Position | undefined {
    const { from } = this.#options;
    return this.#positions[records - from.state.records - 1] ?? from.position;
  }
}
