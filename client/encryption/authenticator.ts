import { type Certificate, decodeCertificate, verifyCertificate } from "../../shared/certificate.ts";
import type { UserId } from "../../shared/ids.ts";
import { MAX_VERIFIED_CERTIFICATES } from "../../shared/limits.ts";
import { isSameKey, verify } from "../identity/ed25519.ts";
import {
  acceptKey,
  decodePin,
  encodePin,
  type Identity,
  judge,
  type KeyChange,
  maySealFor,
  type Pin,
} from "../identity/pins.ts";
import { recall } from "../identity/recall.ts";
import { Listeners } from "../listeners.ts";
import type { Group } from "../mls/mls.ts";
import type { Store, StoreChange } from "../store/store.ts";

const PREFIX = "pin/";

/**
 * This device's authentication service (RFC 9750 §6): a leaf is somebody's if their account key says so, and an account key is
 * theirs as long as it is the one that was pinned. What it learns is kept with the write in which it learned it.
 */
export class Authenticator {
  readonly own: OwnIdentity;
  readonly listeners = new Listeners<{ readonly pinned: { readonly user: UserId } }>();
  readonly #pins: Map<UserId, Pin>;
  /** Learned in the write under way: they hold if it does. */
  readonly #fresh = new Map<UserId, Pin>();
  /** Certificates whose signature was right, by certificate and key. */
  readonly #verified = new Set<string>();
  readonly #certificates = new WeakMap<Group["members"], readonly Certificate[]>();
  #learned: Learned = { changes: [], keyChanges: [] };

  constructor(own: OwnIdentity, pins: ReadonlyMap<UserId, Pin>) {
    this.own = own;
    this.#pins = new Map(pins);
  }

  static async load(own: OwnIdentity, store: Store): Promise<Authenticator> {
    return new Authenticator(own, await loadPins(store));
  }

  /** For the MLS module: whether this credential may vouch for this key. */
  readonly authenticate = async (credential: Uint8Array, publicKey: Uint8Array): Promise<boolean> => {
    const certificate = decodeCertificate(credential);
    if (!(await this.#isSigned(certificate, credential, publicKey))) return false;
    if (this.#isGivenUp(certificate)) return true;
    const { own } = this;
    const { ok, pin, change } = judge({ own, others: this.#others }, certificate, { now: Date.now() });
    if (ok && pin) this.set(certificate.user, pin);
    if (change) this.#learned.keyChanges.push(change);
    return ok;
  };

  readonly #others = { get: (user: UserId) => this.pin(user) };

  pin(user: UserId): Pin | undefined {
    return this.#fresh.get(user) ?? this.#pins.get(user);
  }

  /** Whether this is the account key that somebody has now: devices of another one may be in groups still, and are added to none. */
  isCurrent(user: UserId, accountKey: Uint8Array): boolean {
    const current = user === this.own.user ? this.own.accountKey : this.pin(user)?.accountKey;
    return current !== undefined && isSameKey(current, accountKey);
  }

  /** All that are stored. */
  get pins(): ReadonlyMap<UserId, Pin> {
    return this.#pins;
  }

  set(user: UserId, pin: Pin): void {
    this.#fresh.set(user, pin);
    this.#learned.changes.push({ type: "record", key: PREFIX + user, value: encodePin(pin) });
  }

  /** What an archive of this person's says of somebody. */
  recall(user: UserId, known: Pin): void {
    const { pin, change } = recall({ own: this.own, others: this.#others }, user, known, Date.now());
    if (pin) this.set(user, pin);
    if (change) this.#learned.keyChanges.push(change);
  }

  /** Their key is taken for theirs though it was not compared. @returns false for somebody whom this device has not met */
  accept(user: UserId): boolean {
    const pin = this.pin(user);
    if (pin) this.set(user, acceptKey(pin));
    return pin !== undefined;
  }

  /**
   * Whose devices in this group nothing may be said to: a safety number was compared with them, and this key was not. It is
   * the leaves that are looked at, for those are what something is sealed for.
   */
  unconfirmedIn({ members }: Group): UserId[] {
    const now = Date.now();
    const found = new Set<UserId>();
    for (const { user, accountKey } of this.#certificatesOf(members)) {
      const pin = user === this.own.user ? undefined : this.pin(user);
      if (pin && !maySealFor(pin, accountKey, now)) found.add(user);
    }
    return [...found];
  }

  /** What is to be written, and shown, since this was last asked. */
  takeLearned(): Learned {
    const learned = this.#learned;
    this.#learned = { changes: [], keyChanges: [] };
    return learned;
  }

  /** Whether another device of an identity that this person has given up is in it still: to that one nothing is said. */
  hasGivenUp({ members, ownLeaf }: Group): boolean {
    if (this.own.former.length === 0) return false;
    return members.some(({ leaf, credential }) => leaf !== ownLeaf && this.#isGivenUp(decodeCertificate(credential)));
  }

  /** This person's own device of before: it is left where it is until it can be removed. */
  #isGivenUp({ user, accountKey }: Certificate): boolean {
    return user === this.own.user && this.own.former.some((key) => isSameKey(key, accountKey));
  }

  /** Asked with every message, and the same for a whole epoch. */
  #certificatesOf(members: Group["members"]): readonly Certificate[] {
    const known = this.#certificates.get(members);
    if (known) return known;
    const certificates = members.map(({ credential }) => decodeCertificate(credential));
    this.#certificates.set(members, certificates);
    return certificates;
  }

  /** What was learned is stored. */
  settle(): void {
    const learned = [...this.#fresh];
    for (const [user, pin] of learned) this.#pins.set(user, pin);
    this.#fresh.clear();
    for (const [user] of learned) this.listeners.tell("pinned", { user });
  }

  /** What was learned is not: it will be learned again. */
  discard(): void {
    this.#fresh.clear();
    this.takeLearned();
  }

  async #isSigned(certificate: Certificate, credential: Uint8Array, publicKey: Uint8Array): Promise<boolean> {
    const key = `${credential.join()} ${publicKey.join()}`;
    if (this.#verified.has(key)) return true;
    if (!(await verifyCertificate(certificate, publicKey, verify))) return false;
    if (this.#verified.size >= MAX_VERIFIED_CERTIFICATES) this.#verified.clear();
    this.#verified.add(key);
    return true;
  }
}

/** As they are stored. */
export async function loadPins(store: Pick<Store, "records">): Promise<Map<UserId, Pin>> {
  const records = await store.records(PREFIX);
  return new Map(records.map(([key, value]) => [key.slice(PREFIX.length), decodePin(value)]));
}

interface OwnIdentity extends Identity {
  /** Account keys of this person's that were given up. */
  readonly former: readonly Uint8Array[];
}

interface Learned {
  readonly changes: StoreChange[];
  readonly keyChanges: KeyChange[];
}
