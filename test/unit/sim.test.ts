import { describe, expect, test } from "vitest";
import { planOf } from "../sim/plan.ts";
import { type BreakName, breaks } from "../sim/sabotage.ts";
import { simulate, transcriptOf } from "../sim/simulate.ts";
import { Tally } from "../sim/tally.ts";

/** Seeds that have found something, and what it was. `npm run --silent sim -- --seed N --trace` shows one. */
const pinned: readonly (readonly [seed: number, found: string])[] = [
  [55, "a device had fetched what its person's object was not handed yet, and all devices were taken to have it"],
  [77, "the same in a group: the message was not delivered again, and one device lacked it until the next"],
  [202, "a socket that had been replaced, and whose device was gone, came back to life with hibernation"],
  [225, "a device's own message was dropped from the log a day after all others had it, while its ✓ was lost"],
  [384, "a device came for an instant and went without having caught up: nothing woke it again"],
  [2228, "what was refused and then confirmed by a page held up what came behind it, and let it overtake"],
  [4354, "an object crashed after sending over a broken path, before it knew"],
  [4926, "a renamed message had a later id than those behind it, which overtook it when it was refused"],
];

/** Enough for every break to be noticed, some of them only in few. */
const BREAK_WITHIN_SEEDS = 250;

describe("in a world where everything goes wrong nothing is lost, doubled, altered or put out of order", () => {
  test.each(pinned)("seed %i: %s", async (seed) => {
    const { verdict, problems } = await simulate(seed);
    expect(problems).toEqual([]);
    expect(verdict.valid).toBe(true);
  });

  test("seeds 10001 to 10150", { timeout: 60_000 }, async () => {
    const tally = new Tally();
    for (let seed = 10_001; seed <= 10_150; seed++) {
      const { verdict, problems, strikes, steps } = await simulate(seed);
      tally.add({ seed, verdict, problems, strikes: [...strikes], steps, repeatable: true });
    }
    expect(tally.bad).toEqual([]);
    expect(tally.rare, "faults that struck in too few seeds").toEqual([]);
  });
});

test("a seed always goes the same way, and another seed another", async () => {
  const transcripts = [await simulate(1), await simulate(1), await simulate(2)].map(transcriptOf);
  expect(transcripts[1]).toBe(transcripts[0]);
  expect(transcripts[2]).not.toBe(transcripts[0]);
  expect(planOf(3)).toEqual(planOf(3));
});

describe("a broken rule is noticed:", () => {
  const names = Object.keys(breaks) as BreakName[];
  test.each(names.map((name) => [name, breaks[name].about] as const))("%s: %s", { timeout: 60_000 }, async (name) => {
    expect(await firstToNotice(name)).toBeDefined();
  });
});

async function firstToNotice(name: BreakName): Promise<number | undefined> {
  for (let seed = 1; seed <= BREAK_WITHIN_SEEDS; seed++) {
    const { problems } = await simulate(seed, name);
    if (problems.length > 0) return seed;
  }
  return undefined;
}
