import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readOptions } from "../../scripts/options.ts";

const USAGE = `usage: npm run bench:cost [-- --json]

What a message costs at Cloudflare's list prices: rows and requests counted in real objects under fixed traffic, ours and
the straightforward design beside it. Counts do not wobble with the machine.

  --json   one JSON object on standard output
  --help   this text`;

interface Ledger {
  requests: number;
  rows: number;
  usdPerMillion: number;
  parts: Record<string, number>;
}
interface Result {
  oneToOneOnline: Ledger;
  oneToOneAsleep: Ledger;
  idleUserMonthUsd: number;
  straightforward: { oneToOneOnline: Ledger; oneToOneAsleep: Ledger };
}
interface VitestReport {
  testResults: { assertionResults: { title: string; status: string; meta: { ledger?: Partial<Result> } }[] }[];
}

const values = readOptions(USAGE, { json: { type: "boolean" } });
process.exitCode = await main();

async function main(): Promise<number> {
  console.error("Counting in real objects; about a minute.");
  const report = await runLedger();
  const tests = report.testResults.flatMap((file) => file.assertionResults);
  const result = Object.assign({}, ...tests.map((test) => test.meta.ledger)) as Result;
  if (values.json) console.log(JSON.stringify(result));
  else print(result);
  const failed = tests.filter((test) => test.status !== "passed");
  for (const test of failed) console.error(`Above its goal: ${test.title}`);
  return failed.length > 0 || tests.length === 0 ? 1 : 0;
}

/** The ledger runs where the objects do, inside the Workers test pool, and reports through its tests. */
async function runLedger(): Promise<VitestReport> {
  const folder = await mkdtemp(join(tmpdir(), "sandpiper-ledger-"));
  const file = join(folder, "report.json");
  const args = ["run", "--project", "cost", "--reporter=json", `--outputFile=${file}`];
  const vitest = spawn("node_modules/.bin/vitest", args, { stdio: ["ignore", "ignore", "inherit"] });
  await new Promise((resolve) => vitest.on("exit", resolve));
  try {
    return JSON.parse(await readFile(file, "utf8")) as VitestReport;
  } finally {
    await rm(folder, { recursive: true });
  }
}

function print(result: Result): void {
  const rows = [
    ["T1 1:1, both online", result.oneToOneOnline, result.straightforward.oneToOneOnline],
    ["T2 1:1, recipient asleep", result.oneToOneAsleep, result.straightforward.oneToOneAsleep],
  ] as const;
  console.log("Per message, dollars per million messages; beside it the straightforward design.\n");
  for (const [title, ours, theirs] of rows) {
    console.log(`${title}: $${ours.usdPerMillion} (${ours.requests} requests, ${ours.rows} rows)`);
    console.log(`  straightforward $${theirs.usdPerMillion} (${theirs.requests} requests, ${theirs.rows} rows)`);
    console.log(`  ${ratio(theirs, ours)} times cheaper; ${JSON.stringify(ours.parts)}\n`);
  }
  console.log(`T5 idle connected person, a month: $${result.idleUserMonthUsd}`);
}

function ratio(theirs: Ledger, ours: Ledger): string {
  return (theirs.usdPerMillion / ours.usdPerMillion).toFixed(1);
}
