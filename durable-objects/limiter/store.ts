import { isInitialised, type Migration, migrate } from "../runtime/migrations.ts";
import type { Storage } from "../runtime/storage.ts";
import type { BucketState } from "../runtime/token-bucket.ts";

const migrations: readonly Migration[] = [
  {
    floor: 1,
    apply: (storage) =>
      storage.run("CREATE TABLE bucket (id INTEGER PRIMARY KEY, level REAL NOT NULL, at INTEGER NOT NULL)"),
  },
];

/** A bucket's SQL: one row, from when something is missing until nothing is. */
export class LimiterStore {
  readonly #storage: Storage;
  #exists: boolean;

  constructor(storage: Storage) {
    this.#storage = storage;
    this.#exists = isInitialised(storage);
    if (this.#exists) migrate(storage, migrations);
  }

  load(): BucketState | undefined {
    if (!this.#exists) return undefined;
    return this.#storage.all<{ level: number; at: number }>("SELECT level, at FROM bucket")[0];
  }

  /** @param fullAt when the alarm is due that wipes the object */
  save({ level, at }: BucketState, fullAt: number): void {
    if (!this.#exists) migrate(this.#storage, migrations);
    this.#exists = true;
    this.#storage.run("INSERT OR REPLACE INTO bucket (id, level, at) VALUES (1, ?, ?)", level, at);
    this.#storage.setAlarm(fullAt);
  }
}
