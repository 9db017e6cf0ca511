// `npm run crash`: the real processes die again and again while people write to each other; nothing may be lost.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readOptions, wholeNumber } from "../../scripts/options.ts";
import { toLines } from "../history/record.ts";
import { Random } from "../sim/random.ts";
import { planCycles } from "./plan.ts";
import { assess, type Outcome } from "./report.ts";
import { Run } from "./run.ts";

const usage = `usage: npm run crash [-- options]

  --cycles N  how often the server is killed (30): at a random moment or, every third time, when an object has
              stopped between commit and fan-out
  --seed N    decides what people do and when processes die, not how the processes run (any)
  --json      the report as one line of JSON on standard output (with npm run --silent)
  --keep      keeps the server's state, its log, the stores and the history, and says where
  --help      this text

recoveryP50Ms, recoveryP99Ms: from the server's being healthy again until every device has caught up and a message is
acked. The apps are told that the network is back, as phones do; unaided…: they are not, and wait for their own back-off.

Ends with status 1 if anything was lost, doubled, reordered or altered, or if too little happened to know.`;

const options = {
  cycles: { type: "string", default: "30" },
  seed: { type: "string", default: String(Date.now() % 1_000_000) },
  json: { type: "boolean", default: false },
  keep: { type: "boolean", default: false },
} as const;

async function main(): Promise<void> {
  const { count, seed, ...values } = readOptions(usage, options, ({ cycles, seed, ...flags }) => ({
    ...flags,
    count: wholeNumber("--cycles", cycles, 1),
    seed: wholeNumber("--seed", seed, 0),
  }));
  const directory = mkdtempSync(join(tmpdir(), "sandpiper-crash-"));
  process.once("exit", () => values.keep || rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
  // Exit listeners run only at an orderly end; they kill the server too.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(130));
  console.error(`seed ${seed}${values.keep ? `, everything is kept in ${directory}` : ""}`);
  const outcome = await crash(directory, count, seed);
  print(outcome, values.json);
  process.exitCode = outcome.complaints.length === 0 && outcome.report.valid === true ? 0 : 1;
}

async function crash(directory: string, count: number, seed: number): Promise<Outcome> {
  const random = new Random(seed);
  const cycles = planCycles(count, random.fork());
  const run = new Run({ directory, cycles, random, progress: console.error });
  // A run that broke off is judged all the same: what it saw until then says why.
  await run.play().catch((error) => run.problems.push(String(error)));
  writeFileSync(join(directory, "history.jsonl"), toLines(run.history.records));
  return assess(run, { cycles, seed });
}

function print({ report, complaints }: Outcome, isJson: boolean): void {
  for (const complaint of complaints) console.error(complaint);
  if (isJson) return console.log(JSON.stringify(report));
  const figures = Object.entries(report).filter(([, value]) => value !== undefined);
  for (const [name, value] of figures) console.log(`${name.padEnd(22)}${value}`);
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
