import { FILE_RETRY_MAX_MS, FILE_RETRY_MS, MAX_FILES_PER_DELETE } from "../../shared/limits.ts";
import type { Storage } from "../runtime/storage.ts";

/**
 * Files that are to be deleted, each from some time on: at once what nothing refers to any more, after a while what a request
 * is about to put there and may never hand in. Their table is there as long as there are any, in an object that holds nothing
 * else too.
 */
export class FileDebts {
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  owe(names: readonly string[], since: number): void {
    if (names.length === 0) return;
    this.#storage.run(
      "CREATE TABLE IF NOT EXISTS file_debt (name TEXT PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID",
    );
    const insert = "INSERT OR REPLACE INTO file_debt (name, since) SELECT value, ? FROM json_each(?)";
    this.#storage.run(insert, since, JSON.stringify(names));
  }

  /** They are deleted, or needed. */
  settle(names: readonly string[]): void {
    if (names.length === 0 || !this.#isThere) return;
    this.#storage.run("DELETE FROM file_debt WHERE name IN (SELECT value FROM json_each(?))", JSON.stringify(names));
    if (this.#oldest() === undefined) this.#storage.run("DROP TABLE file_debt");
  }

  /** What may be deleted by now, as much as goes at once. */
  due(now: number): string[] {
    if (!this.#isThere) return [];
    const oldestFirst = "SELECT name FROM file_debt WHERE since <= ? ORDER BY since LIMIT ?";
    return this.#storage.all<{ name: string }>(oldestFirst, now, MAX_FILES_PER_DELETE).map(({ name }) => name);
  }

  /** What has failed for long is tried more seldom: each pause is as long as all before. Undefined: nothing is owed. */
  nextLookAt(now: number): number | undefined {
    const since = this.#isThere ? this.#oldest() : undefined;
    if (since === undefined || since > now) return since;
    return now + Math.min(Math.max(FILE_RETRY_MS, now - since), FILE_RETRY_MAX_MS);
  }

  #oldest(): number | undefined {
    return this.#storage.all<{ since: number }>("SELECT since FROM file_debt ORDER BY since LIMIT 1")[0]?.since;
  }

  get #isThere(): boolean {
    return this.#storage.all("SELECT 1 FROM sqlite_master WHERE name = 'file_debt'").length > 0;
  }
}
