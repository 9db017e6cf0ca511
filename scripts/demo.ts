// `npm run demo`: three people sign up, and two of them and their devices talk, sleep, wake, crash, and miss nothing.
// Shown as it happens.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { type CodeReader, codesInLog } from "./codes.ts";
import { pushesInLog } from "./demo/pushes.ts";
import { gather } from "./demo/stage.ts";
import { type Behind, Story } from "./demo/story.ts";
import { printSummary, type Summary, summarize } from "./demo/summary.ts";
import { isColourful, Terminal } from "./demo/terminal.ts";
import { readOptions } from "./options.ts";
import { type System, startSystem } from "./system.ts";

const usage = `usage: npm run demo [-- options]

  --url URL   a running system, such as http://127.0.0.1:8787; without it one is started for the demonstration
  --log FILE  its log, in which a system in development shows the codes that people sign in with; without it they are
              asked for
  --json      nothing but the summary, as one line of JSON (with npm run --silent)
  --help      this text

Ends with status 1 if anything was lost, doubled or out of order, or if a tick never came.`;

const options = {
  url: { type: "string" },
  log: { type: "string" },
  json: { type: "boolean", default: false },
} as const;

async function main(): Promise<void> {
  const values = readOptions(usage, options, (given) => {
    if (given.url === undefined || given.log !== undefined || process.stdin.isTTY) return given;
    throw new Error("Where are the codes that people sign in with? --log names the log of the system at the URL.");
  });
  const terminal = new Terminal(values.json ? () => {} : console.log, isColourful(process.stdout, process.env));
  const directory = mkdtempSync(join(tmpdir(), "sandpiper-demo-"));
  process.once("exit", () => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
  if (values.url === undefined) terminal.line("Starting Sandpiper …");
  const summary = await onSystem(values, join(directory, "state"), (url, logFile) =>
    perform(url, directory, terminal, logFile === undefined ? { codeFor: askForCode } : inLog(logFile)),
  );
  if (values.json) console.log(JSON.stringify(summary));
  else printSummary(summary, terminal);
  process.exitCode = summary.passed ? 0 : 1;
}

/** On the system at the address, or on one of its own that ends with the work, or with Ctrl-C. */
async function onSystem<T>(
  { url, log }: { url?: string; log?: string },
  stateDir: string,
  work: (url: string, logFile: string | undefined) => Promise<T>,
): Promise<T> {
  if (url !== undefined) return work(url, log);
  const starting = startSystem({ stateDir, quiet: true });
  let system: System | undefined;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => void Promise.resolve(system?.stop()).finally(() => process.exit(130)));
  }
  system = await starting;
  try {
    return await work(system.url, system.logFile);
  } finally {
    await system.stop();
  }
}

function inLog(logFile: string): Behind {
  return { codeFor: codesInLog(logFile), pushes: pushesInLog(logFile) };
}

/** Of the person at the terminal, who sees the other system's log. */
const askForCode: CodeReader = async (phone, ask) => {
  await ask();
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const code = await terminal.question(`The code for ${phone}, from the system’s log: `);
  terminal.close();
  return code.trim();
};

async function perform(url: string, directory: string, terminal: Terminal, behind: Behind): Promise<Summary> {
  terminal.line(`Two people, three devices and a friend, on ${url}`);
  const began = performance.now();
  const cast = gather(url, directory, terminal);
  for (const device of Object.values(cast)) await device.open();
  const story = new Story(cast, terminal, behind);
  const failure = await story.tell().then(
    () => undefined,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  const totalMs = Math.round(performance.now() - began);
  const devices = Object.values(cast).filter(({ isSignedIn }) => isSignedIn);
  // A story that broke off may have left one switched off.
  for (const device of devices) if (!device.isOpen) await device.open();
  const summary = await summarize(devices, story.timings, { failure, totalMs });
  for (const device of devices) await device.close();
  return summary;
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
