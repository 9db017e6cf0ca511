import { describe, expect, test } from "vitest";
import type { Suite } from "../../client/mls/mls.ts";
import { Random } from "../sim/random.ts";
import { Conversation } from "./conversation.ts";

const STEPS = 150;
const RUNS = 20;
/** The hybrid suite is slower by far, and its trees are the same. */
const suiteOf = (seed: number): Suite => (seed % 10 === 0 ? 83 : 1);

/** `MLS_SEED=<n>` runs that one alone. */
const only = process.env.MLS_SEED;
const seeds = only ? [Number(only)] : Array.from({ length: RUNS }, (_, at) => at + 1);

describe(`${STEPS} steps as chance has them, all of one mind after each`, () => {
  const taken = new Map<string, number>();

  test.each(seeds)("seed %i", { timeout: 60_000 }, async (seed) => {
    const conversation = await Conversation.found(new Random(seed), suiteOf(seed), `seed ${seed}`);
    for (let step = 1; step <= STEPS; step++) {
      const what = await conversation.step().catch((cause: unknown) => {
        const again = `MLS_SEED=${seed} npm run vitest -- --project node test/mls/stress.test.ts`;
        throw new Error(`step ${step} of seed ${seed}: ${cause}; to repeat it: ${again}`, { cause });
      });
      taken.set(what, (taken.get(what) ?? 0) + 1);
    }
  });

  if (only) return;
  test("every kind of step was among them, again and again", () => {
    expect(taken.size).toBe(10);
    for (const count of taken.values()) expect(count).toBeGreaterThan(RUNS);
  });
});
