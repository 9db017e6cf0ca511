import type { ArchiveService, StoredBackup } from "../../client/backup/archive-service.ts";
import { ChatError } from "../../client/chat-error.ts";

interface Archive {
  room: number;
  readonly chunks: Map<number, Uint8Array>;
  manifest?: Uint8Array;
}

/** One person's archives, in memory. Whoever runs it may do to them whatever they like. */
export class FakeArchives implements ArchiveService {
  readonly archives = new Map<string, Archive>();
  stored: StoredBackup | undefined;
  /** What was asked for, in order. */
  readonly asked: string[] = [];
  /** Every chunk that was ever put, under its name. */
  readonly put = new Map<string, Uint8Array[]>();
  /** Throws where something is to fail; asked before and after everything, for an answer may be lost too. */
  fail: (what: string, when: "before" | "after") => void = () => {};

  begin(archive: string, chunks: number): Promise<void> {
    return this.#answer(`begin ${chunks}`, () => {
      const known = this.archives.get(archive) ?? { room: 0, chunks: new Map() };
      known.room = Math.max(known.room, chunks);
      this.archives.set(archive, known);
    });
  }

  chunks(archive: string) {
    return this.#answer("chunks", () => {
      const { chunks, manifest } = this.#archive(archive);
      return { chunks: [...chunks.keys()].toSorted((a, b) => a - b), isComplete: manifest !== undefined };
    });
  }

  putChunk(archive: string, number: number, chunk: Uint8Array): Promise<void> {
    return this.#answer(`put ${number}`, () => {
      const { room, chunks } = this.#archive(archive);
      if (number >= room) throw new ChatError("too_many");
      chunks.set(number, chunk.slice());
      const name = `${archive} ${number}`;
      this.put.set(name, [...(this.put.get(name) ?? []), chunk.slice()]);
    });
  }

  chunk(archive: string, number: number): Promise<Uint8Array> {
    return this.#answer(`get ${number}`, () => found(this.#archive(archive).chunks.get(number)).slice());
  }

  putManifest(archive: string, manifest: Uint8Array): Promise<void> {
    return this.#answer("put manifest", () => {
      this.#archive(archive).manifest = manifest.slice();
    });
  }

  manifest(archive: string): Promise<Uint8Array> {
    return this.#answer("get manifest", () => found(this.#archive(archive).manifest));
  }

  remove(archive: string): Promise<void> {
    return this.#answer("remove", () => {
      this.#archive(archive);
      this.archives.delete(archive);
    });
  }

  backup(): Promise<StoredBackup> {
    return this.#answer("backup", () => found(this.stored));
  }

  setBackup({ keyId, archive, envelope }: Parameters<ArchiveService["setBackup"]>[0]): Promise<void> {
    return this.#answer("set backup", () => {
      if (archive !== undefined) found(this.#archive(archive).manifest);
      if ((archive === undefined || !envelope) && found(this.stored).keyId !== keyId) throw new ChatError("taken");
      const before = this.stored;
      this.stored = {
        ...{ keyId, updatedAt: Date.now() },
        archive: archive ?? found(before).archive,
        envelope: envelope ?? found(before).envelope,
      };
      if (before && before.archive !== this.stored.archive) this.archives.delete(before.archive);
    });
  }

  removeBackup(): Promise<void> {
    return this.#answer("remove backup", () => {
      this.archives.delete(found(this.stored).archive);
      this.stored = undefined;
    });
  }

  #archive(archive: string): Archive {
    return found(this.archives.get(archive));
  }

  async #answer<T>(what: string, answer: () => T): Promise<T> {
    this.asked.push(what);
    this.fail(what, "before");
    const answered = answer();
    this.fail(what, "after");
    return answered;
  }
}

function found<T>(thing: T | undefined): T {
  if (thing === undefined) throw new ChatError("not_found");
  return thing;
}
