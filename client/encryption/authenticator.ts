import { type Certificate, decodeCertificate, verifyCertificate } from "../../shared/certificate.ts";
import type { UserId } from "../../shared/ids.ts";
import { MAX_VERIFIED_CERTIFICATES } from "../../shared/limits.ts";
import { isSameKey, verify } from "../identity/ed25519.ts";
import { decodePin, encodePin, type Identity, judge, type KeyChange, type Pin } from "../identity/pins.ts";
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
  #learned: Learned = { changes: [], keyChanges: [] };

  constructor(own: OwnIdentity, pins: ReadonlyMap<UserId, Pin>) {
    this.own = own;
    this.#pins = new Map(pins);
  }

  static async load(own: OwnIdentity, store: Store): Promise<Authenticator> {
    const pins = await store.records(PREFIX);
    return new Authenticator(own, new Map(pins.map(([key, value]) => [key.slice(PREFIX.length), decodePin(value)])));
  }

  /** For the MLS module: whether this credential may vouch for this key. */
  readonly authenticate = async (credential: Uint8Array, publicKey: Uint8Array): Promise<boolean> => {
    const certificate = decodeCertificate(credential);
    if (!(await this.#isSigned(certificate, credential, publicKey))) return false;
    if (this.#isGivenUp(certificate)) return true;
    const { own } = this;
    const expected = { policy: "follow", now: Date.now() } as const;
    const others = { get: (user: UserId) => this.pin(user) };
    const { ok, pin, change } = judge({ own, others }, certificate, expected);
    if (ok && pin) this.set(certificate.user, pin);
    if (change) this.#learned.keyChanges.push(change);
    return ok;
  };

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

interface OwnIdentity extends Identity {
  /** Account keys of this person's that were given up. */
  readonly former: readonly Uint8Array[];
}

interface Learned {
  readonly changes: StoreChange[];
  readonly keyChanges: KeyChange[];
}
