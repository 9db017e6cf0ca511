import type { UserId } from "../../shared/ids.ts";
import { MAX_REQUESTERS_PER_USER } from "../../shared/limits.ts";
import { type BucketSize, take } from "../runtime/token-bucket.ts";
import type { Person } from "./person.ts";
import type { RequesterStore } from "./requester-store.ts";

/** Others who ask this person's object for something, each out of a bucket of their own. */
export class Requesters {
  readonly #person: Person;
  readonly #store: RequesterStore;
  readonly #bucket: BucketSize;
  /** The level of a full bucket, which is also how long an empty one takes to fill (ms). */
  readonly #full: number;

  constructor(person: Person, store: RequesterStore, bucket: BucketSize) {
    this.#person = person;
    this.#store = store;
    this.#bucket = bucket;
    this.#full = bucket.capacity * bucket.refillMs;
  }

  /**
   * @param what the same thing again, asked for because an answer was lost, costs nothing; null: it costs every time
   * @returns when to try again (ms), if they have asked too often
   */
  take(requester: UserId, what: string | null): number | undefined {
    const { store, now } = this.#person;
    const known = this.#store.find(requester);
    if (what !== null && known?.last === what) return undefined;
    const taken = take(this.#bucket, known, 1, now);
    if (!taken.ok) return Math.max(1, taken.retryMs);
    if (!known && this.#store.sweep(this.#full, now) >= MAX_REQUESTERS_PER_USER) this.#store.removeQuietest();
    this.#store.save(requester, taken.state, what);
    store.armBy(now + this.#full);
    return undefined;
  }

  /** Forgets who has asked so long ago that nothing is held against them any more. */
  sweep(): void {
    const { store, now } = this.#person;
    if (store.exists && this.#store.sweep(this.#full, now) > 0) store.armBy(now + this.#full);
  }
}
