import type { UserId } from "../../shared/ids.ts";
import type { SqlRow, Storage } from "../runtime/storage.ts";
import type { BucketState } from "../runtime/token-bucket.ts";

/** How much somebody may still ask for. */
interface Requester extends BucketState {
  /** What they asked for last; null: that is not kept. */
  readonly last: string | null;
}

/** The SQL of what others may still ask for. The tables are the person's store's. */
export class RequesterStore {
  readonly #storage: Storage;
  readonly #table: "claimant" | "adder";

  constructor(storage: Storage, table: "claimant" | "adder") {
    this.#storage = storage;
    this.#table = table;
  }

  find(id: UserId): Requester | undefined {
    const query = `SELECT level, at, last FROM ${this.#table} WHERE no = ?`;
    return this.#storage.all<{ level: number; at: number; last: string | null }>(query, numberOf(id))[0];
  }

  save(id: UserId, { level, at }: BucketState, last: string | null): void {
    const query = `INSERT OR REPLACE INTO ${this.#table} (no, level, at, last) VALUES (?, ?, ?, ?)`;
    this.#storage.run(query, numberOf(id), level, at, last);
  }

  remove(id: UserId): void {
    this.#storage.run(`DELETE FROM ${this.#table} WHERE no = ?`, numberOf(id));
  }

  /** Those whose bucket has filled up to `full` go. @returns how many are left */
  sweep(full: number, now: number): number {
    this.#storage.run(`DELETE FROM ${this.#table} WHERE level + ? - at >= ?`, now, full);
    return this.#storage.all<SqlRow>(`SELECT 1 FROM ${this.#table}`).length;
  }

  removeQuietest(): void {
    this.#storage.run(`DELETE FROM ${this.#table} WHERE no = (SELECT no FROM ${this.#table} ORDER BY at LIMIT 1)`);
  }
}

const CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** The last 50 bits of an id: they tell people apart, cost one row, and name nobody when the person is gone (R14). */
function numberOf(id: UserId): number {
  return [...id.slice(-10)].reduce((number, character) => number * 32 + CROCKFORD.indexOf(character), 0);
}
