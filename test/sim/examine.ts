import { type Choices, simulate, transcriptOf } from "./simulate.ts";
import type { SeedReport } from "./tally.ts";

/** Runs a seed twice. */
export async function examine(seed: number, choices: Choices): Promise<SeedReport> {
  const first = await simulate(seed, choices);
  const second = await simulate(seed, choices);
  const { verdict, problems, strikes, steps } = first;
  const repeatable = transcriptOf(first) === transcriptOf(second);
  return { seed, verdict, problems, strikes: [...strikes], steps, repeatable };
}
