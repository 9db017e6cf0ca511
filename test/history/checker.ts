import { duplicates, duplicatesOnWire, holes, missing, phantoms, recovered } from "./delivery.ts";
import { factsOf } from "./facts.ts";
import { disagreements, outOfOrder, ownOutOfOrder } from "./order.ts";
import { placesOf } from "./places.ts";
import { missedPushes } from "./pushes.ts";
import { ReceiptRules } from "./receipts.ts";
import type { HistoryRecord } from "./record.ts";
import { strikesOf } from "./strikes.ts";
import { type Finding, type Verdict, verdictOf } from "./verdict.ts";

export interface Plan {
  readonly seed: number;
  /** Faults that must have struck while something was under way; else nothing is proven. */
  readonly faults: readonly string[];
}

export interface Judgement {
  readonly verdict: Verdict;
  /** What is wrong, a line each. */
  readonly findings: readonly Finding[];
  readonly strikes: ReadonlyMap<string, number>;
}

/** Judges a run that has ended: healed, everyone connected again and caught up, every device's final read made. */
export function judge(history: readonly HistoryRecord[], plan: Plan): Judgement {
  const facts = factsOf(history);
  const places = placesOf(facts);
  const findings = [
    ...missing(facts, places),
    ...holes(facts, places),
    ...phantoms(facts),
    ...duplicates(facts),
    ...disagreements(facts, places),
    ...outOfOrder(facts),
    ...ownOutOfOrder(facts, places),
    ...new ReceiptRules(facts, places).judge(history),
    ...missedPushes(facts, history),
  ];
  const strikes = strikesOf(history);
  const isEverythingRead = [...facts.devices.values()].every(
    ({ viewed, isRevoked }) => viewed !== undefined || isRevoked,
  );
  const verdict = verdictOf(findings, {
    duplicatesOnWire: duplicatesOnWire(facts),
    unreadable: facts.unreadable,
    recovered: recovered(facts, places),
    seed: plan.seed,
    isComplete: isEverythingRead && plan.faults.every((fault) => strikes.has(fault)),
  });
  return { verdict, findings, strikes };
}
