// `npm run attack`: bad input and attacks against the running system, each with the answer that it must get.

import { setTimeout as sleep } from "node:timers/promises";
import { readOptions, wholeNumber } from "../../scripts/options.ts";
import { archives } from "./archives.ts";
import { authorisation } from "./authorisation.ts";
import { blocking } from "./blocking.ts";
import type { Case } from "./case.ts";
import { commits } from "./commits.ts";
import { Tally } from "./http.ts";
import { identity } from "./identity.ts";
import { injection } from "./injection.ts";
import { keys } from "./keys.ts";
import { leaks } from "./leaks.ts";
import { limits } from "./limits.ts";
import { linking } from "./linking.ts";
import { revocation } from "./revocation.ts";
import { sessions } from "./sessions.ts";
import { socket } from "./socket.ts";
import { tickets } from "./tickets.ts";
import { tokens } from "./tokens.ts";
import { World } from "./world.ts";

const CASE_TIMEOUT_MS = 180_000;

const usage = `usage: npm run attack [-- options]

  --only TEXT  the cases with this text in their group or title; upper and lower case are the same
  --trials N   how often a device is revoked to see how long it lasts (100)
  --json       the report as one line of JSON on standard output (with npm run --silent)
  --help       this text

Starts systems of its own. Ends with status 1 if anything is not as expected, or if anything at all was answered with a
status above 499.`;

/** What looks for leaks comes last: it looks at what all others have left. */
const all: readonly Case[] = [
  ...tokens,
  ...sessions,
  ...tickets,
  ...socket,
  ...revocation,
  ...authorisation,
  ...linking,
  ...archives,
  ...blocking,
  ...keys,
  ...commits,
  ...identity,
  ...injection,
  ...limits,
  ...leaks,
];

interface Outcome {
  readonly group: string;
  readonly title: string;
  readonly ms: number;
  /** Why it is not as expected. */
  readonly reason?: string;
}

class Run {
  readonly tally = new Tally();
  readonly outcomes: Outcome[] = [];
  readonly figures: Record<string, number> = {};
  #reloads = 0;
  #hasEnded = false;
  readonly #trials: number;
  readonly #progress: (line: string) => void;

  constructor(trials: number, progress: (line: string) => void) {
    this.#trials = trials;
    this.#progress = progress;
  }

  async play(cases: readonly Case[]): Promise<void> {
    await this.#onWorld(
      false,
      cases.filter(({ isStrict }) => !isStrict),
    );
    await this.#onWorld(
      true,
      cases.filter(({ isStrict }) => isStrict),
    );
  }

  async #onWorld(isStrict: boolean, cases: readonly Case[]): Promise<void> {
    if (cases.length === 0) return;
    const world = await World.start({ tally: this.tally, trials: this.#trials, isStrict });
    try {
      await this.#playAll(world, cases);
      Object.assign(this.figures, world.figures);
    } finally {
      this.#reloads += world.reloads;
      this.#hasEnded ||= world.hasEnded;
      await world.stop();
    }
  }

  /** Those that wait go on beside the others; those that look at what is left come when all are done. */
  async #playAll(world: World, cases: readonly Case[]): Promise<void> {
    const isLast = ({ group }: Case): boolean => leaks.some((leak) => leak.group === group);
    const waiting = cases.filter(({ isSlow }) => isSlow).map((attack) => this.#play(world, attack));
    for (const attack of cases) if (!attack.isSlow && !isLast(attack)) await this.#play(world, attack);
    await Promise.all(waiting);
    for (const attack of cases) if (isLast(attack)) await this.#play(world, attack);
  }

  async #play(world: World, { group, title, run }: Case): Promise<void> {
    const began = performance.now();
    const tooLong = sleep(CASE_TIMEOUT_MS, undefined, { ref: false }).then(() => {
      throw new Error("it takes too long");
    });
    const reason = await Promise.race([run(world), tooLong]).then(() => undefined, reasonOf);
    const ms = Math.round(performance.now() - began);
    this.outcomes.push({ group, title, ms, ...(reason !== undefined && { reason }) });
    this.#progress(`${reason === undefined ? "✓" : "✗"} ${group}: ${title} (${ms} ms)`);
    if (reason !== undefined) this.#progress(`    ${reason}`);
  }

  report(seconds: number) {
    const unexpected = this.outcomes.filter(({ reason }) => reason !== undefined);
    return {
      cases: this.outcomes.length,
      asExpected: this.outcomes.length - unexpected.length,
      serverErrors: this.tally.serverErrors.length,
      responses: this.tally.responses,
      ...this.figures,
      ...(this.#reloads > 0 && { reloads: this.#reloads }),
      ...(this.#hasEnded && { hasEnded: true }),
      seconds,
      unexpected: unexpected.map(({ group, title, reason }) => ({ group, title, reason })),
      ...(this.tally.serverErrors.length > 0 && { serverErrorsAt: this.tally.serverErrors.slice(0, 20) }),
    };
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message.replace(/\s+/g, " ").slice(0, 600) : String(error);
}

const options = {
  only: { type: "string", default: "" },
  trials: { type: "string", default: "100" },
  json: { type: "boolean", default: false },
} as const;

async function main(): Promise<void> {
  const { wanted, trials, json } = readOptions(usage, options, (values) => ({
    wanted: casesWith(values.only),
    trials: wholeNumber("--trials", values.trials, 1),
    json: values.json,
  }));
  // Exit listeners run only at an orderly end; they end the systems too.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(130));
  const began = performance.now();
  const run = new Run(trials, json ? () => {} : console.log);
  await run.play(wanted);
  const report = run.report(Math.round((performance.now() - began) / 1_000));
  print(report, json);
  process.exitCode = report.unexpected.length === 0 && report.serverErrors === 0 ? 0 : 1;
}

/** @throws Error, if none has */
function casesWith(text: string): Case[] {
  const found = all.filter(({ group, title }) => `${group}: ${title}`.toLowerCase().includes(text.toLowerCase()));
  if (found.length === 0) throw new Error(`No case has "${text}" in its group or title.`);
  return found;
}

function print(report: ReturnType<Run["report"]>, isJson: boolean): void {
  if (isJson) return console.log(JSON.stringify(report));
  const { unexpected, serverErrorsAt, ...figures } = report;
  console.log();
  for (const { group, title, reason } of unexpected) console.log(`✗ ${group}: ${title}\n    ${reason}`);
  for (const at of serverErrorsAt ?? []) console.log(`above 499: ${at}`);
  if (report.hasEnded) console.log("The system ended by itself, and everything after that failed.");
  if (report.reloads)
    console.log("The source was changed meanwhile, and the system began anew: cases fail by that alone.");
  console.log(
    Object.entries(figures)
      .map(([name, value]) => `${name} ${value}`)
      .join(", "),
  );
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
