import type { DeviceId } from "../../shared/ids.ts";
import type { Suite } from "../../shared/rpc.ts";
import type { Storage } from "../runtime/storage.ts";

/** Where the last resort lies; one-time key packages lie in the slots after it. */
export const LAST_RESORT = 0;

/** A slot that holds a key package; or held one, which stays known until another takes its place. */
export interface KeySlot {
  readonly slot: number;
  /** KeyPackageRef (RFC 9420 §5.2), hex. */
  readonly ref: string;
  /** Ms since 1970. */
  readonly notAfter: number;
  readonly isGiven: boolean;
}

/** What fills a slot. */
export interface KeptKeyPackage {
  readonly ref: string;
  readonly notAfter: number;
  readonly keyPackage: Uint8Array;
}

/** The slots of one device and suite are a range of the table's key: that takes the place of an index. */
const SLOTS_PER_RANGE = 2 ** 20;

/** The SQL of a person's key packages. The table and the devices are the person's store's. */
export class KeyPackageStore {
  readonly #storage: Storage;
  readonly #rowOf: (device: DeviceId) => number;

  /** @param rowOf a device's number, which no other device has as long as this one is there */
  constructor(storage: Storage, rowOf: (device: DeviceId) => number) {
    this.#storage = storage;
    this.#rowOf = rowOf;
  }

  /** In their order. */
  slots(device: DeviceId, suite: Suite): KeySlot[] {
    const [first, last] = this.#range(device, suite);
    const rows = this.#storage.all<{ no: number; ref: string; notAfter: number; given: number }>(
      "SELECT no, ref, not_after AS notAfter, bytes IS NULL AS given FROM key_package WHERE no BETWEEN ? AND ?",
      ...[first, last],
    );
    return rows.map(({ no, ref, notAfter, given }) => ({ slot: no - first, ref, notAfter, isGiven: given === 1 }));
  }

  /** Whether so many one-time key packages can be given out; no more than those are looked at. */
  hasOneTime(count: number, device: DeviceId, suite: Suite, now: number): boolean {
    const [first, last] = this.#range(device, suite);
    const query = "SELECT 1 FROM key_package WHERE no BETWEEN ? AND ? AND not_after > ? AND bytes IS NOT NULL LIMIT ?";
    return this.#storage.all(query, first + LAST_RESORT + 1, last, now, count).length === count;
  }

  /** Takes the place of what was in the slot. */
  fill(device: DeviceId, suite: Suite, slot: number, { ref, notAfter, keyPackage }: KeptKeyPackage): void {
    const query = "INSERT OR REPLACE INTO key_package (no, ref, not_after, bytes) VALUES (?, ?, ?, ?)";
    this.#storage.run(query, this.#range(device, suite)[0] + slot, ref, notAfter, keyPackage);
  }

  /** @throws if the slot is empty */
  read(device: DeviceId, suite: Suite, slot: number): Uint8Array {
    const query = "SELECT bytes FROM key_package WHERE no = ?";
    const [row] = this.#storage.all<{ bytes: Uint8Array | null }>(query, this.#range(device, suite)[0] + slot);
    if (!row?.bytes) throw new Error("an empty slot");
    return row.bytes;
  }

  /** The bytes go; that they were there stays known, at no more rows than if all of it went. */
  empty(device: DeviceId, suite: Suite, slot: number): void {
    this.#storage.run("UPDATE key_package SET bytes = NULL WHERE no = ?", this.#range(device, suite)[0] + slot);
  }

  removeExpired(device: DeviceId, suite: Suite, now: number): void {
    const query = "DELETE FROM key_package WHERE no BETWEEN ? AND ? AND not_after <= ?";
    this.#storage.run(query, ...this.#range(device, suite), now);
  }

  removeAll(device: DeviceId): void {
    const [first] = this.#range(device, 1);
    this.#storage.run("DELETE FROM key_package WHERE no BETWEEN ? AND ?", first, this.#range(device, 83)[1]);
  }

  #range(device: DeviceId, suite: Suite): readonly [first: number, last: number] {
    const first = (2 * this.#rowOf(device) + (suite === 1 ? 0 : 1)) * SLOTS_PER_RANGE;
    return [first, first + SLOTS_PER_RANGE - 1];
  }
}
