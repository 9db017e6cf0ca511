import type { DeviceId, MessageId } from "../../shared/ids.ts";
import type { HistoryRecord } from "../history/record.ts";
import { Strikes } from "../history/strikes.ts";
import type { Timeline } from "./timeline.ts";

/** The run's history as it comes about. */
export class History {
  readonly records: HistoryRecord[] = [];
  readonly strikes = new Strikes();
  readonly #acked = new Set<string>();
  readonly #timeline: Timeline;

  constructor(timeline: Timeline) {
    this.#timeline = timeline;
  }

  add(what: Omit<HistoryRecord, "t">): void {
    const record = { t: this.#timeline.now, ...what };
    this.records.push(record);
    this.strikes.follow(record);
    if (record.op === "send" && record.type === "ok") this.promised(record.device!, record.messageId!);
    this.#timeline.note(`  ${textOf(record)}`);
  }

  get now(): number {
    return this.#timeline.now;
  }

  /** This device was told that its message, or its commit, is placed. */
  promised(device: DeviceId, id: MessageId): void {
    this.#acked.add(`${device} ${id}`);
  }

  isPromised({ device, id }: { readonly device: DeviceId; readonly id: MessageId }): boolean {
    return this.#acked.has(`${device} ${id}`);
  }
}

function textOf({ t: _, type, op, ...details }: HistoryRecord): string {
  return `${op} ${type} ${Object.entries(details)
    .map(([name, value]) => `${name}=${typeof value === "string" ? value.replace(/0000+/g, "") : value}`)
    .join(" ")}`;
}
