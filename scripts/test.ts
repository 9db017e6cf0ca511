// `npm test`: runs the parts one after another and ends with the one line `N passed, N failed`.
// `npm test -- unit check` runs some of them, `npm test -- --help` lists them.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

type Counts = { passed: number; failed: number };

type Part = {
  name: string;
  about: string;
  /** Runs the part, showing its progress. Nothing counted, or a throw, is a failure. */
  run(): Promise<Counts>;
};

const parts: Part[] = [
  { name: "check", about: "types, lint, import rules, dead code", run: () => script("scripts/check.ts") },
  { name: "unit", about: "unit tests in Node", run: () => vitest("node") },
  { name: "workerd", about: "Workers and objects in their own engine", run: () => vitest("workerd") },
  {
    name: "browser",
    about: "the client in Chromium: its store, several tabs as one device, the examples",
    run: () => vitest("browser"),
  },
  { name: "cost", about: "the ledger: what a message costs, counted", run: () => vitest("cost") },
  { name: "demo", about: "the demonstration, on a system of its own", run: () => program("scripts/demo.ts") },
  {
    name: "attack",
    about: "attacks on tokens, identity and authorisation, on a system of its own",
    run: () => program("test/attack/main.ts"),
  },
  {
    name: "crash",
    about: "the real processes, killed while people write",
    run: () => program("test/crash/main.ts", "--cycles", "3"),
  },
];

/** A program of ours that ends with the line `N passed, N failed`. */
async function script(...command: string[]): Promise<Counts> {
  const child = spawn(process.execPath, command, { stdio: ["ignore", "pipe", "inherit"] });
  const exit = new Promise<number | null>((resolve) => child.on("exit", resolve));
  let counts: Counts | undefined;
  for await (const line of createInterface(child.stdout)) {
    const [, passed, failed] = line.match(/^(\d+) passed, (\d+) failed$/) ?? [];
    if (passed && failed) counts = { passed: Number(passed), failed: Number(failed) };
    else console.log(line);
  }
  return believe(counts, await exit);
}

/** A program of ours that is one test: its exit status says how it went. */
async function program(...command: string[]): Promise<Counts> {
  const child = spawn(process.execPath, command, { stdio: ["ignore", "inherit", "inherit"] });
  const exit = await new Promise<number | null>((resolve) => child.on("exit", resolve));
  return exit === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

/** A project of vitest.config.ts, counted from the report that it writes beside its usual output. */
async function vitest(project: string): Promise<Counts> {
  const directory = mkdtempSync(join(tmpdir(), "sandpiper-test-"));
  try {
    const report = join(directory, "report.json");
    const command = ["node_modules/vitest/vitest.mjs", "run", "--project", project];
    const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
    const child = spawn(process.execPath, [...command, ...reporters], { stdio: ["ignore", "inherit", "inherit"] });
    const exit = await new Promise<number | null>((resolve) => child.on("exit", resolve));
    const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, "utf8"));
    return believe({ passed: numPassedTests, failed: numFailedTests }, exit);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** A part that broke off, or failed in something that is not a test, has failed once more than it counted. */
function believe(counts: Counts | undefined, exit: number | null): Counts {
  if (!counts) throw new Error(`ended with status ${exit} and no result`);
  const unexplained = exit !== 0 && counts.failed === 0;
  return { passed: counts.passed, failed: unexplained ? 1 : counts.failed };
}

const wanted = process.argv.slice(2);
if (wanted.includes("--help")) {
  console.log("usage: npm test [-- <part> …]\n\nparts, in this order:");
  for (const { name, about } of parts) console.log(`  ${name.padEnd(10)}${about}`);
  process.exit();
}
const unknown = wanted.filter((name) => !parts.some((part) => part.name === name));
if (unknown.length) {
  console.error(`no such part: ${unknown.join(", ")} (npm test -- --help lists them)`);
  process.exit(2);
}

const total: Counts = { passed: 0, failed: 0 };
for (const { name, about, run } of parts) {
  if (wanted.length && !wanted.includes(name)) continue;
  console.log(`\n── ${name}: ${about}`);
  const start = performance.now();
  let counts: Counts;
  try {
    counts = await run();
    if (counts.passed + counts.failed === 0) throw new Error("ran no tests");
  } catch (error) {
    console.error(`${name}: ${error instanceof Error ? error.message : error}`);
    counts = { passed: 0, failed: 1 };
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${counts.failed ? "✗" : "✓"} ${name}: ${counts.passed} passed, ${counts.failed} failed in ${seconds} s`);
  total.passed += counts.passed;
  total.failed += counts.failed;
}

console.log(`\n${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed ? 1 : 0;
