import { judge } from "../history/checker.ts";
import type { Verdict } from "../history/verdict.ts";
import { conversationCount } from "./cast.ts";
import { type Cycle, plannedFaults } from "./plan.ts";
import type { Run } from "./run.ts";

const MIN_ACKED_PER_CYCLE = 10_000 / 30;
const MAX_FINDINGS_SHOWN = 20;

/** Without what this harness does not observe: frames, and pushes to devices that stay away. */
type Judged = Omit<Verdict, "duplicatesOnWire" | "missedPushes">;

interface Figures {
  readonly acked: number;
  readonly cycles: number;
  readonly killedAtRandom: number;
  readonly killedAtFailpoint: number;
  readonly appsKilled: number;
  readonly recoveryP50Ms: number | undefined;
  readonly recoveryP99Ms: number | undefined;
  /** The apps heard nothing of the network and came back by their own back-off. */
  readonly unaidedRecoveryP50Ms: number | undefined;
  readonly unaidedRecoveryP99Ms: number | undefined;
  readonly devices: number;
  readonly conversations: number;
  readonly seconds: number;
}

type Report = Judged & Figures;

type Played = Pick<Run, "history" | "problems" | "recoveries" | "kills" | "deviceCount">;

export interface Outcome {
  readonly report: Report;
  /** Why it is not right, a line each. */
  readonly complaints: readonly string[];
}

export function assess(
  run: Played,
  { cycles, seed }: { readonly cycles: readonly Cycle[]; readonly seed: number },
): Outcome {
  const faults = plannedFaults(cycles);
  const { verdict, findings, strikes } = judge(run.history.records, { seed, faults });
  const { duplicatesOnWire: _, missedPushes: __, ...judged } = verdict;
  const { acked } = run.history;
  const tooFew = Math.ceil(MIN_ACKED_PER_CYCLE * cycles.length) - acked;
  const complaints = [
    ...run.problems,
    ...findings.map(({ fault, text }) => `${fault}: ${text}`),
    ...faults
      .filter((fault) => !strikes.has(fault))
      .map((fault) => `${fault} never struck while something was under way`),
    ...(tooFew > 0 ? [`${acked} acked messages are ${tooFew} too few`] : []),
  ];
  const valid = run.problems.length > 0 ? false : judged.valid;
  return { report: { ...figuresOf(run, cycles.length), ...judged, valid }, complaints: shown(complaints) };
}

function figuresOf(run: Played, cycles: number): Figures {
  const times = (isTold: boolean) => run.recoveries.filter((r) => r.isTold === isTold).map(({ ms }) => ms);
  return {
    acked: run.history.acked,
    cycles,
    killedAtRandom: run.kills.random,
    killedAtFailpoint: run.kills.failpoint,
    appsKilled: run.kills.app,
    recoveryP50Ms: percentile(times(true), 50),
    recoveryP99Ms: percentile(times(true), 99),
    unaidedRecoveryP50Ms: percentile(times(false), 50),
    unaidedRecoveryP99Ms: percentile(times(false), 99),
    devices: run.deviceCount,
    conversations: conversationCount,
    seconds: Math.round(run.history.now / 1000),
  };
}

/** By nearest rank; undefined for nothing. */
export function percentile(values: readonly number[], rank: number): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((rank / 100) * sorted.length) - 1)];
}

function shown(complaints: readonly string[]): string[] {
  const rest = complaints.length - MAX_FINDINGS_SHOWN;
  return [...complaints.slice(0, MAX_FINDINGS_SHOWN), ...(rest > 0 ? [`and ${rest} more`] : [])];
}
