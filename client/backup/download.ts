import type { ArchiveId } from "../../shared/api/archives.ts";
import type { Bytes } from "../identity/ed25519.ts";
import type { Identity } from "../identity/pins.ts";
import { type ArchiveState, readArchive, readManifest } from "./archive.ts";
import type { ArchiveService } from "./archive-service.ts";
import { refuse } from "./errors.ts";
import { persevere, type TransferOptions } from "./transfer.ts";
import { archiveIdOf } from "./upload.ts";

export interface DownloadOptions extends TransferOptions {
  readonly service: ArchiveService;
  readonly archive: ArchiveId;
  readonly archiveKey: Uint8Array;
  /** Who has to have signed it. */
  readonly owner: Identity;
  /** Where an earlier download has stopped. */
  readonly from?: ArchiveState | undefined;
  /** Stores the records of a chunk together with how far the download is then. */
  readonly take: (records: readonly Bytes[], state: ArchiveState) => Promise<void>;
}

/**
 * Takes an archive in, chunk by chunk; nothing that is not its owner's is given out.
 * @throws ChatError `not_found`, if it is not there, or not complete; `backup_unsigned`, `tampered`; `closed`
 */
export async function downloadArchive(options: DownloadOptions): Promise<void> {
  const { service, archive, archiveKey, owner, from, take, onProgress, signal } = options;
  const signed = await persevere(() => service.manifest(archive), signal);
  const manifest = await readManifest(signed, owner);
  if (archiveIdOf(manifest) !== archive) refuse("tampered");
  const start = from && archiveIdOf(from) === archive ? from : undefined;
  const fetchChunk = (number: number) => persevere(() => service.chunk(archive, number), signal);
  onProgress?.({ done: start?.chunks ?? 0, total: manifest.chunks });
  for await (const { records, state } of readArchive(archiveKey, manifest, fetchChunk, start)) {
    await take(records, state);
    onProgress?.({ done: state.chunks, total: manifest.chunks });
  }
}
