import { meter } from "./meter.ts";
import type { SqlRow, SqlValue, Storage } from "./storage.ts";

/** The platform's driver of the SQL port: an object's own SQLite file and its alarm. */
export class WorkersStorage implements Storage {
  readonly #storage: DurableObjectStorage;
  #alarmAt: number | null;

  /** @param alarmAt the alarm that stands, read by the caller: the platform tells it only asynchronously */
  constructor(storage: DurableObjectStorage, alarmAt: number | null) {
    this.#storage = storage;
    this.#alarmAt = alarmAt;
  }

  all<Row extends SqlRow>(query: string, ...params: SqlValue[]): Row[] {
    const cursor = this.#storage.sql.exec<Record<string, SqlStorageValue>>(query, ...params);
    const rows = cursor.toArray();
    meter.rowsWritten += cursor.rowsWritten;
    meter.rowsRead += cursor.rowsRead;
    return rows.map(withBytes) as Row[];
  }

  run(query: string, ...params: SqlValue[]): void {
    const cursor = this.#storage.sql.exec(query, ...params);
    meter.rowsWritten += cursor.rowsWritten;
    meter.rowsRead += cursor.rowsRead;
  }

  alarmAt(): number | null {
    return this.#alarmAt;
  }

  /** Part of the transaction it is called in. The platform bills it as a row. */
  setAlarm(at: number): void {
    this.#alarmAt = at;
    meter.rowsWritten++;
    void this.#storage.setAlarm(at);
  }

  /** The alarm has gone off: none stands any more. */
  alarmFired(): void {
    this.#alarmAt = null;
  }
}

/** The platform hands blobs out as buffers. */
function withBytes(row: Record<string, SqlStorageValue>): SqlRow {
  for (const [column, value] of Object.entries(row)) {
    if (value instanceof ArrayBuffer) Object.assign(row, { [column]: new Uint8Array(value) });
  }
  return row as SqlRow;
}
