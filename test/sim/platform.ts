import type { UserId } from "../../shared/ids.ts";
import type { Faults } from "./faults.ts";
import type { History } from "./history.ts";
import type { Random } from "./random.ts";
import type { Sabotage } from "./sabotage.ts";
import type { Timeline } from "./timeline.ts";

/** What everything in the simulated world stands on. */
export interface Platform {
  readonly timeline: Timeline;
  readonly random: Random;
  readonly faults: Faults;
  readonly history: History;
  readonly sabotage: Sabotage;
  /** One of the person's devices connects a moment from now. */
  comeBack(user: UserId): void;
  /** Something that must hold does not. */
  problem(text: string): void;
}

/** Readable in a log: the ids here are short words, padded. */
export function short(id: string): string {
  return id.replace(/(^|\.)0+/g, "$1");
}
