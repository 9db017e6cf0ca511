import type { Cursor, UserId } from "../../shared/ids.ts";
import { ACKED_GRACE_MS, FAN_OUT_HOLD_MEMBERS, RETENTION_MS } from "../../shared/limits.ts";
import type { State } from "./state.ts";
import type { ConversationStore, Segment } from "./store.ts";

/** A segment's age at which it is looked at: when its grace is over, once more within the month, and at its end. */
const LOOK_AT_MS = [ACKED_GRACE_MS, 7 * ACKED_GRACE_MS, RETENTION_MS] as const;

interface Closed {
  readonly segment: Segment;
  readonly last: Cursor;
  /** When its newest entry was stored. */
  readonly lastAt: number;
}

/** Which tables of the log may go (docs/protocol.md R10): when every device has all of it, or when its time is over. */
export class Retention {
  readonly #store: ConversationStore;
  readonly #state: State;

  /** Answers of this round. */
  readonly #told = new Map<UserId, Cursor>();
  #askedAt: number | undefined;

  constructor(store: ConversationStore, state: State) {
    this.#store = store;
    this.#state = state;
  }

  get nothingDropped(): boolean {
    return (this.#store.segments[0]?.first ?? this.#state.head + 1) === 1;
  }

  /** The segments that may be dropped now, oldest first. */
  expired(now: number): Segment[] {
    const kept = this.#keptByAll();
    const closed = this.#closed();
    const standing = closed.findIndex(
      ({ last, lastAt }) => now - lastAt < RETENTION_MS && (last > kept || now - lastAt < ACKED_GRACE_MS),
    );
    return (standing === -1 ? closed : closed.slice(0, standing)).map(({ segment }) => segment);
  }

  /** Whoever was removed is not asked, so what they may still fetch stays its month. */
  #keptByAll(): Cursor {
    const told = [...this.#state.members].map(([user, { kept }]) => Math.min(kept, this.#told.get(user) ?? 0));
    const unasked = [...this.#state.former.values()].flatMap((spans) => (spans[0]?.joined ?? 0) - 1);
    return Math.min(...told, ...unasked);
  }

  /**
   * Whom to ask whether anything may go before its month is over: everybody, and anew each time. A watermark that was
   * learned can have become too high: a device was marked since for a message whose ✓ came late. Members of large
   * conversations are not asked, so their log stays its month.
   */
  ask(now: number): UserId[] {
    const isDue = this.#closed().some(({ lastAt }) => now - lastAt >= ACKED_GRACE_MS);
    const isSoon = this.#askedAt !== undefined && now - this.#askedAt < ACKED_GRACE_MS;
    if (!isDue || isSoon || this.#state.members.size > FAN_OUT_HOLD_MEMBERS) return [];
    this.#askedAt = now;
    this.#told.clear();
    return [...this.#state.members.keys()];
  }

  /** @param missingAbove one of the member's devices may lack what lies above; answers count while they are fresh */
  told(user: UserId, missingAbove: Cursor): void {
    this.#told.set(user, missingAbove);
  }

  /** When the log wants looking at next; undefined while it is empty. */
  nextLookAt(now: number): number | undefined {
    const times = this.#closed().flatMap(({ lastAt }) => LOOK_AT_MS.map((age) => lastAt + age));
    const next = Math.min(...times.filter((at) => at > now));
    return Number.isFinite(next) ? next : undefined;
  }

  /** A segment ends where the next one begins; the newest one ends, for now, with the last entry. */
  #closed(): Closed[] {
    return this.#store.segments.map((segment, index) => {
      const last = (this.#store.segments[index + 1]?.first ?? this.#state.head + 1) - 1;
      return { segment, last, lastAt: this.#store.newestAt(segment) ?? segment.startedAt };
    });
  }
}
