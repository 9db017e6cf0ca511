/**
 * A token bucket: so much may be spent at once, and one comes back in each `refillMs`. Pure arithmetic, for whoever
 * stores the state.
 */
export interface BucketSize {
  /** What may be spent at once. */
  readonly capacity: number;
  /** The time in which one comes back. */
  readonly refillMs: number;
}

/** Whoever has no state has spent nothing. */
export interface BucketState {
  /** What may be spent, in the milliseconds that it takes to come back: whole numbers, so that no fraction is lost. */
  readonly level: number;
  /** When that was so, ms since 1970. */
  readonly at: number;
}

export type Taken = { ok: true; state: BucketState } | { ok: false; retryMs: number };

/** Spends the cost, or says after how long there is enough for it. A refusal costs nothing, so it changes no state. */
export function take(size: BucketSize, state: BucketState | undefined, cost: number, now: number): Taken {
  // A clock that was set back gives nothing and takes nothing.
  const at = Math.max(now, state?.at ?? now);
  const full = size.capacity * size.refillMs;
  const left = (state ? Math.min(full, state.level + at - state.at) : full) - cost * size.refillMs;
  return left < 0 ? { ok: false, retryMs: Math.ceil(at - now - left) } : { ok: true, state: { level: left, at } };
}

/** When nothing is missing any more, ms since 1970: from then on the state says no more than none. */
export function fullAt({ capacity, refillMs }: BucketSize, { level, at }: BucketState): number {
  return at + Math.ceil(Math.max(0, capacity * refillMs - level));
}
