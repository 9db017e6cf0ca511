import type { Measure } from "./generator.ts";
import type { SubjectName } from "./subjects.ts";

/** A load: so many pairs with so many messages in flight each. */
export interface Load {
  pairs: number;
  window: number;
}

/** The measures of one load. The ratios are product to floor, `fairness` is the product's. */
export interface Point extends Load, Partial<Record<SubjectName, Measure>> {
  throughputRatio?: number;
  p50Ratio?: number;
  sentP50Ratio?: number;
  cpuRatio?: number;
  fairness?: number;
}

export function makePoint(load: Load, measures: Partial<Record<SubjectName, Measure>>): Point {
  const { floor, product } = measures;
  if (!floor || !product) return { ...load, ...measures };
  return {
    ...load,
    floor,
    product,
    throughputRatio: product.messagesPerSecond / floor.messagesPerSecond,
    p50Ratio: product.deliveredP50Ms / floor.deliveredP50Ms,
    sentP50Ratio: product.sentP50Ms / floor.sentP50Ms,
    cpuRatio: product.cpuPerMessageMs / floor.cpuPerMessageMs,
    fairness: product.fairness,
  };
}

/** What went wrong with the messages of a measure, in words; empty if nothing did. */
export function faultsOf(measure: Measure): string {
  const faults = (["lost", "unanswered", "duplicated", "reordered"] as const).filter((fault) => measure[fault] > 0);
  return faults.map((fault) => `${measure[fault]} ${fault}`).join(", ");
}
