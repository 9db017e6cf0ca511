import type { ArchiveId } from "../../shared/api/archives.ts";
import { type ArchiveState, decodeArchiveState, encodeArchiveState } from "../backup/archive.ts";
import { downloadArchive } from "../backup/download.ts";
import type { TransferOptions } from "../backup/transfer.ts";
import type { Bytes } from "../identity/ed25519.ts";
import { type HistoryDevice, putRecord } from "./device.ts";
import { importPage } from "./import-page.ts";
import { decodePage } from "./page.ts";
import { decodePins } from "./pins-page.ts";

export interface ArchiveToTake {
  readonly archive: ArchiveId;
  readonly archiveKey: Uint8Array;
}

const progressOf = (archive: ArchiveId) => `taken/${archive}`;

/**
 * Brings an archive's history into the store, from where an earlier try has stopped. Each chunk is one write, with how far
 * it has got then.
 * @throws ChatError as {@link downloadArchive}
 */
export async function takeArchive(
  device: HistoryDevice,
  { archive, archiveKey }: ArchiveToTake,
  options: TransferOptions,
): Promise<void> {
  const { archives: service, accountKey, owner, store } = device;
  const stored = await store.record(progressOf(archive));
  await downloadArchive({
    ...{ ...options, service, archive, archiveKey, owner: { user: owner.user, accountKey: accountKey.publicKey } },
    from: stored && decodeArchiveState(stored),
    take: (records, state) => takeChunk(device, archive, records, state),
  });
}

/** How far it has got is not needed any more. */
export function forgetArchive(device: HistoryDevice, archive: ArchiveId): Promise<void> {
  return putRecord(device, progressOf(archive), undefined);
}

async function takeChunk(
  device: HistoryDevice,
  archive: ArchiveId,
  records: readonly Bytes[],
  state: ArchiveState,
): Promise<void> {
  const pages = records.map(decodePage).filter((page) => page !== undefined);
  const pins = records.flatMap((record) => decodePins(record) ?? []);
  await device.change(async ({ changes }) => {
    for (const [user, pin] of pins) device.people.recall(user, pin);
    for (const page of pages) changes.push(...(await importPage(page, device)));
    changes.push({ type: "record", key: progressOf(archive), value: encodeArchiveState(state) });
  });
  for (const { conversation, messages } of pages) device.changed(conversation, messages[0]?.seq ?? 1);
}
