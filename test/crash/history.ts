import type { HistoryRecord } from "../history/record.ts";

/** The run's history as it comes about. */
export class History {
  readonly records: HistoryRecord[] = [];
  readonly #began = performance.now();

  /** Ms since the run began; unlike the time of day it never falls. */
  get now(): number {
    return performance.now() - this.#began;
  }

  /** How many messages are ✓. */
  get acked(): number {
    return new Set(this.records.filter(({ op, type }) => op === "send" && type === "ok").map(({ hash }) => hash)).size;
  }

  add(what: Omit<HistoryRecord, "t">): void {
    this.records.push({ t: this.now, ...what });
  }
}
