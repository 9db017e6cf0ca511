import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { SqlRow, SqlValue, Storage } from "./storage.ts";

/** The SQL port on `node:sqlite`, so that simulation runs the objects' real SQL. */
export class NodeStorage implements Storage {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #alarmAt: number | null = null;

  /** @param path a file, or ":memory:" */
  constructor(path = ":memory:") {
    this.#database = new DatabaseSync(path);
  }

  all<Row extends SqlRow>(query: string, ...params: SqlValue[]): Row[] {
    return this.#prepare(query).all(...params) as Row[];
  }

  run(query: string, ...params: SqlValue[]): void {
    this.#prepare(query).run(...params);
  }

  alarmAt(): number | null {
    return this.#alarmAt;
  }

  setAlarm(at: number): void {
    this.#alarmAt = at;
  }

  alarmFired(): void {
    this.#alarmAt = null;
  }

  /** Everything goes, the alarm too. */
  wipe(): void {
    const tables = this.all<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'");
    for (const { name } of tables) this.#database.exec(`DROP TABLE ${name}`);
    this.#statements.clear();
    this.#alarmAt = null;
  }

  /** Runs one event: all of its writes, the alarm included, happen or none. */
  transaction<T>(work: () => T): T {
    const alarmAt = this.#alarmAt;
    this.#database.exec("BEGIN");
    try {
      const result = work();
      this.#database.exec("COMMIT");
      return result;
    } catch (error) {
      this.#database.exec("ROLLBACK");
      this.#alarmAt = alarmAt;
      throw error;
    }
  }

  close(): void {
    this.#database.close();
  }

  #prepare(query: string): StatementSync {
    const known = this.#statements.get(query);
    if (known) return known;
    const statement = this.#database.prepare(query);
    this.#statements.set(query, statement);
    return statement;
  }
}
