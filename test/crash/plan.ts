import type { Random } from "../sim/random.ts";

/** One life of the server, and how it ends. */
export interface Cycle {
  /** A failpoint that is not reached in time ends as a random moment does. */
  readonly endsAt: "random" | "failpoint";
  /** How long people go on once everybody has caught up; with a failpoint at most so long. */
  readonly loadMs: number;
  /** Whether the apps hear from their systems that the network is back, or find out by their own back-off. */
  readonly isTold: boolean;
  /** Whether people stop writing when the server dies, so that no later message shows a device what it lacks. */
  readonly fallsSilent: boolean;
  readonly killsApp: boolean;
}

const LOAD_MS = [1_500, 4_500] as const;
const FAILPOINT_PATIENCE_MS = 30_000;
/** A connection that lasts so long sets the back-off back to its start (RECONNECT_STABLE_MS), as in ordinary life. */
const LONG_LOAD_MS = [10_500, 12_000] as const;

/**
 * Lives come in threes: the first ends at a random moment amid all the writing, the second at the failpoint, the third at
 * random again. People fall silent at the ends of the latter two, and never when the next life has a failpoint: an object
 * that has stopped would never become complete. After every sixth life the apps come back unaided.
 */
export function planCycles(count: number, random: Random): Cycle[] {
  return Array.from({ length: count }, (_, index): Cycle => {
    const endsAt = index % 3 === 1 ? "failpoint" : "random";
    const isTold = index % 6 !== 2;
    const [least, most] = isTold ? LOAD_MS : LONG_LOAD_MS;
    const loadMs = endsAt === "failpoint" ? FAILPOINT_PATIENCE_MS : random.between(least, most);
    return { endsAt, loadMs, isTold, fallsSilent: index % 3 !== 0, killsApp: index === 0 || random.chance(0.7) };
  });
}

/** In the history; each must strike while something is under way. */
export const faults = {
  random: "server-killed",
  failpoint: "server-killed-at-failpoint",
  app: "app-killed",
} as const;

export function plannedFaults(cycles: readonly Cycle[]): string[] {
  const ends = cycles.map(({ endsAt }) => faults[endsAt]);
  return [...new Set([...ends, ...(cycles.some(({ killsApp }) => killsApp) ? [faults.app] : [])])];
}
