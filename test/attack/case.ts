import type { World } from "./world.ts";

/** One attack, and what must come of it. */
export interface Case {
  readonly group: string;
  readonly title: string;
  /** Mostly waits for time to pass, and so runs beside the others. */
  readonly isSlow: boolean;
  /** Needs the limits as they are in production, which are in the way of everything else. */
  readonly isStrict: boolean;
  /** Throws if not everything comes as it must. */
  readonly run: (world: World) => Promise<void>;
}

type Attacks = Readonly<Record<string, Case["run"]>>;
type Manner = Partial<Pick<Case, "isSlow" | "isStrict">>;

/** By title. */
export function cases(group: string, attacks: Attacks, manner: Manner = {}): Case[] {
  return Object.entries(attacks).map(([title, run]) => ({
    group,
    title,
    isSlow: false,
    isStrict: false,
    ...manner,
    run,
  }));
}
