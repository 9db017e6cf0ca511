import * as v from "valibot";
import { Time } from "../../shared/ids.ts";
import { PRESENCE_NOTED_MS, RETENTION_MS } from "../../shared/limits.ts";
import type { Store, StoreChange } from "../store/store.ts";
import { decodeRecord, encodeRecord } from "./record.ts";

const KEY = "present";
const Fields = v.object({ at: Time });

/**
 * When this device last had everything that there was, by its own clock: what it has missed since can have left the log only if
 * that is as long ago as the log is kept.
 */
export class Presence {
  /** Undefined if it never had. */
  #at: number | undefined;

  private constructor(at: number | undefined) {
    this.#at = at;
  }

  static async load(store: Pick<Store, "record">): Promise<Presence> {
    const record = await store.record(KEY);
    return new Presence(record && decodeRecord(Fields, record).fields.at);
  }

  wasAwayForRetention(now: number): boolean {
    return this.#at !== undefined && now - this.#at >= RETENTION_MS;
  }

  /** It has everything now. @returns what is to be written of that, now and then */
  note(now: number): StoreChange[] {
    if (this.#at !== undefined && Math.abs(now - this.#at) < PRESENCE_NOTED_MS) return [];
    this.#at = now;
    return [{ type: "record", key: KEY, value: encodeRecord({ at: now }) }];
  }
}
