import * as v from "valibot";
import { ConversationId, Seq, UserId } from "../../shared/ids.ts";
import { beginArchive, decodeArchiveState, encodeArchiveState } from "../backup/archive.ts";
import type { TransferOptions } from "../backup/transfer.ts";
import { type Upload, uploadArchive } from "../backup/upload.ts";
import { decodeRecord, encodeRecord } from "../encryption/record.ts";
import { type HistoryDevice, putRecord } from "./device.ts";
import { type HistoryPosition, measureHistory, readHistory } from "./read-history.ts";

/** An archive of this device's history on its way to the server, as the store keeps it. */
export interface StoredUpload {
  readonly upload: Upload<HistoryPosition>;
  readonly archiveKey: Uint8Array;
  /** What will open it, where that is new too. */
  readonly envelope: Uint8Array | undefined;
}

const Fields = v.object({
  position: v.optional(v.union([v.object({ user: UserId }), v.object({ conversation: ConversationId, seq: Seq })])),
  hasChunk: v.boolean(),
  hasEnvelope: v.boolean(),
});

/** @param now ms since 1970 */
export function newUpload(archiveKey: Uint8Array, envelope: Uint8Array | undefined, now: number): StoredUpload {
  const upload = { state: beginArchive(now), position: undefined, chunk: undefined };
  return { upload, archiveKey, envelope };
}

export async function loadUpload({ store }: HistoryDevice, key: string): Promise<StoredUpload | undefined> {
  const record = await store.record(key);
  if (!record) return undefined;
  const { fields, blobs } = decodeRecord(Fields, record);
  const [archiveKey, state, ...rest] = blobs;
  if (!archiveKey || !state) throw new TypeError("no upload");
  const chunk = fields.hasChunk ? rest.shift() : undefined;
  const upload = { state: decodeArchiveState(state), position: fields.position, chunk: chunk && new Uint8Array(chunk) };
  return { upload, archiveKey, envelope: fields.hasEnvelope ? rest.shift() : undefined };
}

export function storeUpload(device: HistoryDevice, key: string, stored: StoredUpload): Promise<void> {
  const { upload, archiveKey, envelope } = stored;
  const { state, position, chunk } = upload;
  const fields = { ...(position && { position }), hasChunk: chunk !== undefined, hasEnvelope: envelope !== undefined };
  const blobs = [archiveKey, encodeArchiveState(state), chunk, envelope].filter((blob) => blob !== undefined);
  return putRecord(device, key, encodeRecord(fields, blobs));
}

/** All that this device can read, from where an earlier try has stopped. @throws ChatError as {@link uploadArchive} */
export async function uploadHistory(
  device: HistoryDevice,
  key: string,
  stored: StoredUpload,
  { onProgress, signal }: TransferOptions,
): Promise<void> {
  const { archives: service, accountKey, owner, store } = device;
  const measure = await measureHistory(store);
  onProgress?.(measure(stored.upload.position));
  await uploadArchive<HistoryPosition>({
    ...{ service, accountKey, user: owner.user, archiveKey: stored.archiveKey, from: stored.upload, signal },
    records: (after) => readHistory(store, after),
    keep: (upload) => storeUpload(device, key, { ...stored, upload }),
    uploaded: (position) => onProgress?.(measure(position)),
  });
  const { total } = measure(undefined);
  onProgress?.({ done: total, total });
}
