/** What a rule can find broken. */
type Fault = "lost" | "phantom" | "duplicatesSeen" | "reordered" | "gaps" | "receiptRegressions" | "missedPushes";

export interface Finding {
  readonly fault: Fault;
  readonly text: string;
}

export interface Verdict extends Readonly<Record<Fault, number>> {
  /** "unknown": nothing was found, but not everything that was planned has been tried. */
  readonly valid: boolean | "unknown";
  /** Harmless: the network brought a message again that the device had. */
  readonly duplicatesOnWire: number;
  /** Harmless where it is explained: a device had lost its part in the group, and could not read what came. */
  readonly unreadable: number;
  /** Messages of which their sender did not know for a while, and that arrived. */
  readonly recovered: number;
  readonly seed: number;
}

export function verdictOf(
  findings: readonly Finding[],
  rest: Pick<Verdict, "duplicatesOnWire" | "unreadable" | "recovered" | "seed"> & { readonly isComplete: boolean },
): Verdict {
  const count = (fault: Fault) => findings.filter((finding) => finding.fault === fault).length;
  return {
    valid: findings.length > 0 ? false : rest.isComplete || "unknown",
    lost: count("lost"),
    phantom: count("phantom"),
    duplicatesSeen: count("duplicatesSeen"),
    duplicatesOnWire: rest.duplicatesOnWire,
    reordered: count("reordered"),
    gaps: count("gaps"),
    receiptRegressions: count("receiptRegressions"),
    missedPushes: count("missedPushes"),
    unreadable: rest.unreadable,
    recovered: rest.recovered,
    seed: rest.seed,
  };
}
