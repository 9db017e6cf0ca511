import type { ArchiveId } from "../../shared/api/archives.ts";

/**
 * Where a person's archives are kept, by whoever it may be: what lies there is encrypted and signed, and is believed only
 * after it has been opened and verified. Every method rejects with a `ChatError`; `not_found`, where there is no such thing.
 */
export interface ArchiveService {
  /** Makes room for so many chunks, or more room. Codes `too_many`, if the person has too much already. */
  begin(archive: ArchiveId, chunks: number): Promise<void>;
  /** The numbers of the chunks that are there, and whether the manifest is. */
  chunks(archive: ArchiveId): Promise<{ readonly chunks: readonly number[]; readonly isComplete: boolean }>;
  /** The same one again is the same. */
  putChunk(archive: ArchiveId, number: number, chunk: Uint8Array<ArrayBuffer>): Promise<void>;
  chunk(archive: ArchiveId, number: number): Promise<Uint8Array>;
  putManifest(archive: ArchiveId, manifest: Uint8Array<ArrayBuffer>): Promise<void>;
  manifest(archive: ArchiveId): Promise<Uint8Array>;
  remove(archive: ArchiveId): Promise<void>;
  backup(): Promise<StoredBackup>;
  /** One alone takes the place of what is there. Code `taken`, if what is there has another key. */
  setBackup(backup: Pick<StoredBackup, "keyId"> & Partial<Pick<StoredBackup, "archive" | "envelope">>): Promise<void>;
  removeBackup(): Promise<void>;
}

export interface StoredBackup {
  readonly archive: ArchiveId;
  /** Of the archive key that the envelope holds and the archive is encrypted with. */
  readonly keyId: string;
  readonly envelope: Uint8Array;
  /** Ms since 1970, by the server's clock. */
  readonly updatedAt: number;
}
