import type { DeviceId } from "../../shared/ids.ts";
import { claimBucket, KEY_PACKAGES_LOW, MAX_KEY_PACKAGES_PER_DEVICE } from "../../shared/limits.ts";
import {
  type AskKeys,
  type AskKeysReply,
  type ClaimKeyPackages,
  type ClaimKeyPackagesReply,
  type KeysLeft,
  type PutKeys,
  type PutKeysReply,
  Suite,
} from "../../shared/rpc.ts";
import type { Devices } from "./devices.ts";
import { type KeySlot, LAST_RESORT } from "./key-package-store.ts";
import type { Person } from "./person.ts";
import { Requesters } from "./requesters.ts";
import type { Socket } from "./socket.ts";
import type { Device } from "./store.ts";

const suites = Suite.options;

const oneTimeSlots = Array.from({ length: MAX_KEY_PACKAGES_PER_DEVICE }, (_, index) => LAST_RESORT + 1 + index);

type Offered = PutKeys["packages"][number];
type Places = ReadonlyMap<number, Offered>;

/**
 * What others need to add this person's devices to their groups (RFC 9420 §10). A one-time key package is given out once
 * (docs/protocol.md R15); the last resort, where there is no other, as often as it is asked for.
 */
export class KeyPackages {
  readonly #person: Person;
  readonly #devices: Devices;
  readonly #claimants: Requesters;

  constructor(person: Person, devices: Devices) {
    this.#person = person;
    this.#devices = devices;
    this.#claimants = new Requesters(person, person.store.claimants, claimBucket);
  }

  /** All that is refused is refused before anything is written. */
  put({ device: id, accountKey, isReset, packages }: PutKeys): PutKeysReply {
    const { account, devices, store } = this.#person;
    const device = devices.get(id);
    if (!device) return { ok: false, code: "not_found" };
    const isOther = account.accountKey !== undefined && account.accountKey !== accountKey;
    if (isOther && !isReset) return { ok: false, code: "taken" };
    const placed = suites.map((suite) => {
      const offered = packages.filter((offer) => offer.suite === suite);
      return placesFor(isOther ? [] : store.keys.slots(id, suite), offered, this.#person.now);
    });
    if (!placed.every((places) => places !== undefined)) return { ok: false, code: "too_many" };
    if (isOther) this.#beginAnew(device);
    if (account.accountKey !== accountKey) this.#setAccountKey(accountKey);
    this.#keep(device, placed);
    return { ok: true, left: this.#left(id) };
  }

  ask({ device }: AskKeys): AskKeysReply {
    return { accountKey: this.#person.account.accountKey, left: this.#left(device) };
  }

  claim({ requester, suite, except }: ClaimKeyPackages): ClaimKeyPackagesReply {
    const { account, devices, id } = this.#person;
    if (account.accountKey === undefined || account.removal) return { ok: false, code: "not_found", retry: "never" };
    const retry = requester === id ? undefined : this.#claimants.take(requester, null);
    if (retry !== undefined) return { ok: false, code: "rate_limited", retry };
    const asked = [...devices.values()].filter((device) => !except.includes(device.id));
    const given = asked.map((device) => ({ device: device.id, keyPackage: this.#give(device, suite) }));
    for (const device of asked) this.#remind(device, [suite]);
    return {
      ok: true,
      accountKey: account.accountKey,
      packages: given.flatMap(({ device, keyPackage }) => (keyPackage ? [{ device, keyPackage }] : [])),
      missing: given.filter(({ keyPackage }) => !keyPackage).map(({ device }) => device),
    };
  }

  /** A device that has just said hello is asked for what it could not be asked for while it was away. */
  greet(socket: Socket): void {
    const device = this.#person.devices.get(socket.device);
    if (device) this.#remind(device, suites);
  }

  sweep(): void {
    this.#claimants.sweep();
  }

  // ── what a device has ─────────────────────────────────────────────────────────────────────────────────────────────

  #left(device: DeviceId): KeysLeft[] {
    const { devices, store, now } = this.#person;
    return suites.map((suite) => {
      const slots = devices.has(device) ? store.keys.slots(device, suite) : [];
      const usable = slots.filter((slot) => isUsable(slot, now));
      const oneTime = usable.filter(isOneTime).length;
      return { suite, oneTime, hasLastResort: usable.length > oneTime };
    });
  }

  /** Asks for more where few are left. A device that has never uploaded any has a reason for it. */
  #remind(device: Device, of: readonly Suite[]): void {
    const { store, now } = this.#person;
    const socket = this.#person.socketOf(device.id);
    if (!device.hasKeys || !socket?.greeted) return;
    const isLow = of.some((suite) => !store.keys.hasOneTime(KEY_PACKAGES_LOW, device.id, suite, now));
    if (isLow) this.#person.send(socket, { type: "refill" });
  }

  // ── upload ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** What was certified by the former account key is worth nothing any more, on whatever device. */
  #beginAnew(by: Device): void {
    for (const device of this.#person.devices.values()) {
      this.#person.store.keys.removeAll(device.id);
      device.hasKeys = false;
    }
    // Saves the other devices.
    this.#devices.alert("identity_reset", by);
  }

  #setAccountKey(accountKey: string): void {
    this.#person.account.accountKey = accountKey;
    this.#person.store.saveAccount(this.#person.account);
  }

  #keep(device: Device, placed: readonly Places[]): void {
    const { store } = this.#person;
    for (const [slot, offer] of placed.flatMap((places) => [...places])) {
      store.keys.fill(device.id, offer.suite, slot, offer);
    }
    if (device.hasKeys) return;
    device.hasKeys = true;
    store.save(device);
  }

  // ── claim ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The one that expires first; the last resort where there is no other. */
  #give({ id }: Device, suite: Suite): Uint8Array | undefined {
    const { keys } = this.#person.store;
    keys.removeExpired(id, suite, this.#person.now);
    const usable = keys.slots(id, suite).filter(({ isGiven }) => !isGiven);
    const [next] = usable.filter(isOneTime).toSorted((a, b) => a.notAfter - b.notAfter);
    const given = next ?? usable[0];
    const keyPackage = given && keys.read(id, suite, given.slot);
    if (next) keys.empty(id, suite, next.slot);
    return keyPackage;
  }
}

/**
 * Where what is new goes, by slot: a last resort to its own place, the others where one was given out or has expired.
 * Undefined: there is no room.
 */
function placesFor(slots: readonly KeySlot[], offered: readonly Offered[], now: number): Places | undefined {
  const known = new Set(slots.map(({ ref }) => ref));
  const fresh = new Map(offered.filter(({ ref }) => !known.has(ref)).map((offer) => [offer.ref, offer]));
  const full = new Set(slots.filter((slot) => isUsable(slot, now)).map(({ slot }) => slot));
  // What was given out is known again as long as there is other room.
  const used = new Set(slots.map(({ slot }) => slot));
  const free = oneTimeSlots
    .filter((slot) => !full.has(slot))
    .toSorted((a, b) => Number(used.has(a)) - Number(used.has(b)));
  const places = new Map<number, Offered>();
  for (const offer of fresh.values()) {
    const slot = offer.isLastResort ? LAST_RESORT : free.shift();
    if (slot === undefined) return undefined;
    places.set(slot, offer);
  }
  return places;
}

function isUsable({ isGiven, notAfter }: KeySlot, now: number): boolean {
  return !isGiven && notAfter > now;
}

function isOneTime({ slot }: KeySlot): boolean {
  return slot !== LAST_RESORT;
}
