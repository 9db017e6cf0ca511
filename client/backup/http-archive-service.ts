import * as api from "../../shared/api/archives.ts";
import { fromBase64url, toBase64url } from "../../shared/base64url.ts";
import { TRANSFER_TIMEOUT_MS } from "../../shared/limits.ts";
import { ChatError } from "../chat-error.ts";
import type { DeviceSession } from "../device-session.ts";
import type { ArchiveService, StoredBackup } from "./archive-service.ts";

/** Chunks are large, and networks may be slow. */
const timeoutMs = TRANSFER_TIMEOUT_MS;

/** The archives behind the server's HTTP surface (shared/api/archives.ts). */
export class HttpArchiveService implements ArchiveService {
  readonly #session: Pick<DeviceSession, "call">;

  constructor(session: Pick<DeviceSession, "call">) {
    this.#session = session;
  }

  begin(archive: string, chunks: number): Promise<void> {
    return this.#session.call(api.beginArchive, { params: { archive }, body: { chunks } });
  }

  chunks(archive: string): ReturnType<ArchiveService["chunks"]> {
    return this.#session.call(api.listArchiveChunks, { params: { archive } });
  }

  putChunk(archive: string, number: number, body: Uint8Array<ArrayBuffer>): Promise<void> {
    return this.#session.call(api.putArchiveChunk, { params: { archive, number }, body, timeoutMs });
  }

  chunk(archive: string, number: number): Promise<Uint8Array> {
    return this.#session.call(api.getArchiveChunk, { params: { archive, number }, timeoutMs });
  }

  putManifest(archive: string, body: Uint8Array<ArrayBuffer>): Promise<void> {
    return this.#session.call(api.putArchiveManifest, { params: { archive }, body });
  }

  manifest(archive: string): Promise<Uint8Array> {
    return this.#session.call(api.getArchiveManifest, { params: { archive } });
  }

  remove(archive: string): Promise<void> {
    return this.#session.call(api.removeArchive, { params: { archive } });
  }

  async backup(): Promise<StoredBackup> {
    const { envelope: text, ...backup } = await this.#session.call(api.viewBackup);
    const envelope = fromBase64url(text);
    if (!envelope) throw new ChatError("tampered");
    return { ...backup, envelope };
  }

  setBackup({ keyId, archive, envelope }: Parameters<ArchiveService["setBackup"]>[0]): Promise<void> {
    const sealed = envelope && { envelope: toBase64url(envelope) };
    return this.#session.call(api.setBackup, { body: { keyId, ...(archive !== undefined && { archive }), ...sealed } });
  }

  removeBackup(): Promise<void> {
    return this.#session.call(api.removeBackup);
  }
}
