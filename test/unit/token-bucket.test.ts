import { describe, expect, it } from "vitest";
import { type BucketState, fullAt, take } from "../../durable-objects/runtime/token-bucket.ts";

const size = { capacity: 10, refillMs: 72 };
const START = 1_800_000_000_000;

/** Takes what must be there. */
function taken(state: BucketState | undefined, cost: number, now: number): BucketState {
  const result = take(size, state, cost, now);
  if (!result.ok) throw new Error(`refused for ${result.retryMs} ms`);
  return result.state;
}

describe("a token bucket", () => {
  it("starts full", () => {
    const empty = taken(undefined, 10, START);
    expect(take(size, empty, 1, START)).toEqual({ ok: false, retryMs: 72 });
    expect(take(size, undefined, 11, START)).toEqual({ ok: false, retryMs: 72 });
  });

  it("never holds more than its capacity", () => {
    const state = taken(undefined, 1, START);
    expect(take(size, state, 11, START + 1_000_000)).toMatchObject({ ok: false });
    expect(taken(state, 10, START + 1_000_000)).toEqual(taken(undefined, 10, START + 1_000_000));
  });

  it("takes nothing for a refusal", () => {
    const empty = taken(undefined, 10, START);
    expect(take(size, empty, 2, START + 72)).toEqual({ ok: false, retryMs: 72 });
    expect(take(size, empty, 1, START + 72)).toMatchObject({ ok: true });
  });

  it("loses no fraction: what was refused is let through exactly when it said", () => {
    let state: BucketState | undefined;
    let now = START;
    for (let step = 0; step < 2_000; step++) {
      now += (step * 37) % 101;
      const cost = 1 + (step % 3);
      const result = take(size, state, cost, now);
      if (!result.ok) {
        expect(take(size, state, cost, now + result.retryMs - 1)).toEqual({ ok: false, retryMs: 1 });
        now += result.retryMs;
      }
      state = taken(state, cost, now);
    }
  });

  it("lets no more through over time than comes back", () => {
    let state: BucketState | undefined;
    let spent = 0;
    for (let now = START; now <= START + 7_200; now++) {
      const result = take(size, state, 1, now);
      if (!result.ok) continue;
      state = result.state;
      spent++;
    }
    expect(spent).toBe(10 + 100);
  });

  it("says when it is full", () => {
    const state = taken(undefined, 3, START);
    expect(fullAt(size, state)).toBe(START + 3 * 72);
    expect(take(size, state, 10, fullAt(size, state) - 1)).toEqual({ ok: false, retryMs: 1 });
    expect(take(size, state, 10, fullAt(size, state))).toMatchObject({ ok: true });
  });

  it("gives nothing when the clock is set back, and nothing when it is set right again", () => {
    const empty = taken(undefined, 10, START);
    expect(take(size, empty, 1, START - 1_000)).toEqual({ ok: false, retryMs: 1_072 });
    const back = taken(taken(undefined, 5, START), 5, START - 1_000);
    expect(take(size, back, 1, START)).toEqual({ ok: false, retryMs: 72 });
  });

  it("costs nothing to ask", () => {
    expect(take(size, undefined, 0, START)).toMatchObject({ ok: true });
    expect(take(size, taken(undefined, 10, START), 0, START)).toMatchObject({ ok: true });
  });

  it("is no fuller for a state from a time when it was larger", () => {
    const large = { capacity: 1_000, refillMs: 72 };
    const result = take(large, undefined, 1, START);
    expect(take(size, result.ok ? result.state : undefined, 11, START)).toMatchObject({ ok: false });
  });
});
