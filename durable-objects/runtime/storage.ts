/**
 * The small port between an object's decisions and its SQLite file. Two drivers: `workers-storage.ts` for the platform,
 * `node-storage.ts` for simulation and tests. Everything is synchronous, and everything done while one event is
 * handled commits together or not at all.
 */
export type SqlValue = string | number | null | Uint8Array;
export type SqlRow = Record<string, SqlValue>;

export interface Storage {
  /** Runs one statement. Blobs come back as bytes. */
  all<Row extends SqlRow>(query: string, ...params: SqlValue[]): Row[];
  run(query: string, ...params: SqlValue[]): void;
  /** The object's single alarm, ms since 1970; null when none is set. */
  alarmAt(): number | null;
  setAlarm(at: number): void;
}
