// `npm run --silent sim -- --seeds 2000`: the objects and the devices in a world of their own, a different one each seed.
// Prints one JSON object; progress and what is wrong go to standard error.

import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { readOptions, wholeNumber } from "../../scripts/options.ts";
import { type MlsChoice, planOf } from "./plan.ts";
import { type BreakName, breaks } from "./sabotage.ts";
import { type Choices, simulate } from "./simulate.ts";
import { type SeedReport, Tally } from "./tally.ts";
import type { Share } from "./worker.ts";

const usage = `usage: npm run --silent sim -- [options]

  --seeds N     run so many seeds, each twice (2000)
  --from N      the first of them (1)
  --seed N      run this one alone
  --trace       with --seed: everything that happens in it
  --json        nothing on standard error
  --mls KIND    what devices seal with: real, fake, or mixed, which is real in one seed of 20 (mixed)
  --break NAME  break a rule, to see that it is noticed:
${Object.entries(breaks)
  .map(([name, { about }]) => `                  ${name.padEnd(10)}${about}`)
  .join("\n")}`;

const SHOWN_PROBLEMS = 5;
const SHOWN_SEEDS = 10;

const options = readOptions(
  usage,
  {
    seeds: { type: "string", default: "2000" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    trace: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    break: { type: "string" },
    mls: { type: "string", default: "mixed" },
  },
  ({ seeds, from, seed, trace, json, break: sabotage, mls }) => {
    if (sabotage !== undefined && !(sabotage in breaks)) throw new Error(`no such break: ${sabotage}`);
    if (!["real", "fake", "mixed"].includes(mls)) throw new Error(`no such MLS: ${mls}`);
    return {
      ...{ isTraced: trace && seed !== undefined, isSilent: json },
      first: seed === undefined ? wholeNumber("--from", from, 0) : wholeNumber("--seed", seed, 0),
      count: seed === undefined ? wholeNumber("--seeds", seeds, 1) : 1,
      choices: { sabotage: sabotage as BreakName | undefined, mls: mls as MlsChoice } satisfies Choices,
    };
  },
);
const { choices } = options;
const say = (line: string) => options.isSilent || console.error(line);

if (options.isTraced) await trace(options.first);
else await examineAll(options.first, options.count);

async function trace(seed: number): Promise<void> {
  const { log, problems, verdict, strikes } = await simulate(seed, choices);
  const start = Number(log[0]?.split(" ", 1)[0]);
  for (const line of log) {
    const space = line.indexOf(" ");
    console.error(`${((Number(line.slice(0, space)) - start) / 1000).toFixed(3)} ${line.slice(space + 1)}`);
  }
  for (const problem of problems) console.error(problem);
  const missed = planOf(seed, choices.mls).faults.filter((name) => !strikes.has(name));
  if (missed.length > 0) console.error(`planned, and never struck while something was under way: ${missed.join(", ")}`);
  console.log(JSON.stringify(verdict));
  process.exitCode = verdict.valid === true && problems.length === 0 ? 0 : 1;
}

async function examineAll(from: number, count: number): Promise<void> {
  const started = performance.now();
  const tally = new Tally();
  const workers = Math.min(availableParallelism(), count);
  const shares = Array.from({ length: workers }, (_, index) => ({
    ...{ from: from + index, to: from + count, stride: workers },
    choices,
  }));
  await Promise.all(shares.map((share) => run(share, (report) => take(tally, report, count))));
  const seconds = Number(((performance.now() - started) / 1000).toFixed(1));
  // A fault must strike often, but not in the few seeds that one looks at closely.
  const rare = count >= 100 ? tally.rare : [];
  for (const name of rare) say(`${name} struck in too few seeds to prove anything`);
  const { sabotage } = choices;
  console.log(JSON.stringify({ ...tally.summary(), ...(sabotage && { break: sabotage }), seconds }));
  process.exitCode = tally.bad.length > 0 || rare.length > 0 ? 1 : 0;
}

function take(tally: Tally, report: SeedReport, count: number): void {
  const bad = tally.bad.length;
  tally.add(report);
  if (tally.bad.length > bad && bad < SHOWN_SEEDS) show(report);
  if (tally.seeds % 200 === 0) say(`${tally.seeds} of ${count} seeds, ${tally.bad.length} bad`);
}

function show({ seed, problems, verdict, repeatable }: SeedReport): void {
  say(`seed ${seed} is ${verdict.valid === "unknown" ? "unknown: not every planned fault struck" : "bad"}`);
  if (!repeatable) say("  the second run went another way");
  for (const problem of problems.slice(0, SHOWN_PROBLEMS)) say(`  ${problem}`);
  if (problems.length > SHOWN_PROBLEMS) say(`  and ${problems.length - SHOWN_PROBLEMS} more`);
  const { mls, sabotage } = choices;
  const chosen = [mls === "mixed" ? "" : ` --mls ${mls}`, sabotage ? ` --break ${sabotage}` : ""].join("");
  say(`  again: npm run --silent sim -- --seed ${seed} --trace${chosen}`);
}

/** A thread of its own for every share: a seed uses one core. */
function run(share: Share, report: (report: SeedReport) => void): Promise<void> {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { workerData: share });
  worker.on("message", report);
  return new Promise((resolve, reject) => {
    worker.on("error", reject);
    worker.on("exit", () => resolve());
  });
}
