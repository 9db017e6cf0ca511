import type { BreakName } from "./sabotage.ts";
import { simulate, transcriptOf } from "./simulate.ts";
import type { SeedReport } from "./tally.ts";

/** Runs a seed twice. */
export async function examine(seed: number, sabotage?: BreakName): Promise<SeedReport> {
  const first = await simulate(seed, sabotage);
  const second = await simulate(seed, sabotage);
  const { verdict, problems, strikes, steps } = first;
  const repeatable = transcriptOf(first) === transcriptOf(second);
  return { seed, verdict, problems, strikes: [...strikes], steps, repeatable };
}
