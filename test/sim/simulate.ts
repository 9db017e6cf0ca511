import { judge } from "../history/checker.ts";
import { type HistoryRecord, toLines } from "../history/record.ts";
import type { Verdict } from "../history/verdict.ts";
import { Ending } from "./ending.ts";
import { Invariants } from "./invariants.ts";
import { type MlsChoice, planOf } from "./plan.ts";
import { type BreakName, sabotageOf } from "./sabotage.ts";
import { Scenario } from "./scenario.ts";
import { within } from "./surroundings.ts";
import { World } from "./world.ts";

export interface Outcome {
  readonly verdict: Verdict;
  /** What is wrong, a line each. Empty if the seed is good. */
  readonly problems: readonly string[];
  readonly strikes: ReadonlyMap<string, number>;
  readonly history: readonly HistoryRecord[];
  /** Everything that happened, in order. */
  readonly log: readonly string[];
  readonly steps: number;
}

export interface Choices {
  readonly sabotage?: BreakName | undefined;
  readonly mls?: MlsChoice;
}

export async function simulate(seed: number, { sabotage, mls = "mixed" }: Choices = {}): Promise<Outcome> {
  const world = new World(planOf(seed, mls), sabotageOf(sabotage));
  const history = await within(world, () => runToEnd(world));
  const { verdict, findings, strikes } = judge(history, { seed, faults: world.plan.faults });
  const problems = [...world.problems, ...findings.map(({ fault, text }) => `${fault}: ${text}`)];
  for (const host of world.hosts) host.storage.close();
  return { verdict, problems, strikes, history, log: world.timeline.log, steps: world.timeline.steps };
}

/** @returns the history up to everybody's final read. What throws on the way is a problem like any other. */
async function runToEnd(world: World): Promise<readonly HistoryRecord[]> {
  const invariants = new Invariants(world);
  const ending = new Ending(world, invariants);
  let history: readonly HistoryRecord[] = world.history.records;
  try {
    await world.makeAccounts();
    await new Scenario(world, () => invariants.check()).run();
    await ending.run();
    history = [...world.history.records];
    await ending.fallSilent();
  } catch (error) {
    world.problem(error instanceof Error ? `${error.stack}` : String(error));
  }
  return history;
}

/** What two runs of a seed must agree in. */
export function transcriptOf({ log, history }: Outcome): string {
  return `${log.join("\n")}\n${toLines(history)}`;
}
