import type { Verdict } from "../history/verdict.ts";
import { type FaultName, faultNames } from "./faults.ts";

/** What is said of one seed. Plain data: it comes from another thread. */
export interface SeedReport {
  readonly seed: number;
  readonly verdict: Verdict;
  readonly problems: readonly string[];
  readonly strikes: readonly (readonly [string, number])[];
  readonly steps: number;
  /** A second run went the same way. */
  readonly repeatable: boolean;
}

const counted = [
  "lost",
  "phantom",
  "duplicatesSeen",
  "duplicatesOnWire",
  "reordered",
  "gaps",
  "receiptRegressions",
  "missedPushes",
  "unreadable",
  "recovered",
] as const;

/** In at least so many of the seeds every fault must strike. */
const LEAST_SHARE = 0.1;

/** Adds up what is said of many seeds. */
export class Tally {
  readonly bad: SeedReport[] = [];
  #seeds = 0;
  #steps = 0;
  #isRepeatable = true;
  readonly #counts = new Map<(typeof counted)[number], number>(counted.map((name) => [name, 0]));
  readonly #faults = new Map<FaultName, { seeds: number; struck: number }>(
    faultNames.map((name) => [name, { seeds: 0, struck: 0 }]),
  );

  add(report: SeedReport): void {
    this.#seeds++;
    this.#steps += report.steps;
    this.#isRepeatable &&= report.repeatable;
    for (const name of counted) this.#counts.set(name, this.#counts.get(name)! + report.verdict[name]);
    for (const [name, struck] of report.strikes) {
      const fault = this.#faults.get(name as FaultName)!;
      fault.seeds++;
      fault.struck += struck;
    }
    if (report.problems.length > 0 || report.verdict.valid !== true || !report.repeatable) this.bad.push(report);
  }

  get seeds(): number {
    return this.#seeds;
  }

  /** Faults that struck in too few seeds for the rest to prove anything. */
  get rare(): FaultName[] {
    return faultNames.filter((name) => this.#faults.get(name)!.seeds < this.#seeds * LEAST_SHARE);
  }

  summary() {
    const isUnknown = ({ problems, verdict }: SeedReport) => problems.length === 0 && verdict.valid === "unknown";
    const unknown = this.bad.filter(isUnknown).length;
    return {
      seeds: this.#seeds,
      valid: this.#seeds - this.bad.length,
      invalid: this.bad.length - unknown,
      unknown,
      ...(Object.fromEntries(this.#counts) as Record<(typeof counted)[number], number>),
      repeatable: this.#isRepeatable,
      steps: this.#steps,
      faults: Object.fromEntries(this.#faults) as Record<FaultName, { seeds: number; struck: number }>,
      failing: this.bad.map(({ seed }) => seed).sort((a, b) => a - b),
    };
  }
}
