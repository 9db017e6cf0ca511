import { availableParallelism, loadavg } from "node:os";

/** What figures depend on, beside what is measured. */
export function conditionsNow(): Record<string, string | number> {
  return {
    node: process.versions.node,
    cores: availableParallelism(),
    loadBefore: Number((loadavg()[0] ?? 0).toFixed(1)),
  };
}

/** As one line. */
export function formatConditions(conditions: Readonly<Record<string, string | number>>): string {
  return Object.entries(conditions)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}
