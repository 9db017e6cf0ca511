import type { HistoryRecord } from "./record.ts";

/** Which faults struck while something that people had asked for was under way. Told of each record in turn. */
export class Strikes {
  readonly #underWay = new Set<string>();
  readonly #counts = new Map<string, number>();

  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  get isAnythingUnderWay(): boolean {
    return this.#underWay.size > 0;
  }

  follow({ op, type, device, connection, hash, fault }: HistoryRecord): void {
    if (fault !== undefined && this.isAnythingUnderWay) this.#counts.set(fault, (this.#counts.get(fault) ?? 0) + 1);
    const name = op === "send" ? hash : op === "connect" ? `${device} ${connection}` : undefined;
    // What ended with `info` has not ended: it may still take effect.
    if (name === undefined || type === "info") return;
    if (type === "invoke") this.#underWay.add(name);
    else this.#underWay.delete(name);
  }
}

export function strikesOf(history: readonly HistoryRecord[]): ReadonlyMap<string, number> {
  const strikes = new Strikes();
  for (const record of history) strikes.follow(record);
  return strikes.counts;
}
