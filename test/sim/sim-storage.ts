import { NodeStorage } from "../../durable-objects/runtime/node-storage.ts";
import type { SqlRow, SqlValue, Storage } from "../../durable-objects/runtime/storage.ts";

/** Sees every write before it is made. @returns what to write; undefined for nothing */
export type WriteWatch = (query: string, params: SqlValue[]) => SqlValue[] | undefined;

/** An object's disk: it outlives every crash of the object. */
export class SimStorage implements Storage {
  readonly #inner = new NodeStorage(":memory:");
  readonly #watch: WriteWatch;

  constructor(watch: WriteWatch) {
    this.#watch = watch;
  }

  all<Row extends SqlRow>(query: string, ...params: SqlValue[]): Row[] {
    return this.#inner.all<Row>(query, ...params);
  }

  run(query: string, ...params: SqlValue[]): void {
    const written = this.#watch(query, params);
    if (written) this.#inner.run(query, ...written);
  }

  alarmAt(): number | null {
    return this.#inner.alarmAt();
  }

  setAlarm(at: number): void {
    this.#inner.setAlarm(at);
  }

  alarmFired(): void {
    this.#inner.alarmFired();
  }

  get isEmpty(): boolean {
    return this.alarmAt() === null && this.all("SELECT 1 FROM sqlite_master").length === 0;
  }

  /** Whether the text stands anywhere in it. */
  mentions(text: string): boolean {
    const tables = this.all<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'");
    return tables.some(({ name }) =>
      this.all(`SELECT * FROM ${name}`).some((row) => Object.values(row).some((value) => String(value).includes(text))),
    );
  }

  wipe(): void {
    this.#inner.wipe();
  }

  transaction<T>(work: () => T): T {
    return this.#inner.transaction(work);
  }

  close(): void {
    this.#inner.close();
  }
}
