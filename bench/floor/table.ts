import type { Measure } from "./generator.ts";
import { faultsOf, type Point } from "./point.ts";

const HEAD = [
  "pairs x window",
  "",
  "messages/s",
  "sent p50 ms",
  "p99",
  "delivered p50 ms",
  "p99",
  "CPU ms/message",
  "fairness",
  "pairs served",
  "generator busy",
  "other load",
  "faults",
];

export function formatTable(points: Point[]): string {
  const rows = [HEAD, ...points.flatMap(rowsOf)];
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const pad = (cell: string, column: number) =>
    column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  return rows.map((row) => row.map(pad).join("  ").trimEnd()).join("\n");
}

function rowsOf(point: Point): string[][] {
  const rows: string[][] = [];
  const { floor, product, throughputRatio, sentP50Ratio, p50Ratio, cpuRatio } = point;
  if (floor) rows.push(["", "floor", ...cellsOf(floor)]);
  if (product) rows.push(["", "product", ...cellsOf(product)]);
  if (throughputRatio !== undefined) {
    const ratios = [throughputRatio, sentP50Ratio, undefined, p50Ratio, undefined, cpuRatio];
    rows.push(["", "product/floor", ...ratios.map((ratio) => (ratio === undefined ? "" : `${ratio.toFixed(2)}x`))]);
  }
  return rows.map((row, index) => (index === 0 ? [`${point.pairs} x ${point.window}`, ...row.slice(1)] : row));
}

function cellsOf(measure: Measure): string[] {
  return [
    Math.round(measure.messagesPerSecond).toLocaleString("en"),
    measure.sentP50Ms.toFixed(2),
    measure.sentP99Ms.toFixed(2),
    measure.deliveredP50Ms.toFixed(2),
    measure.deliveredP99Ms.toFixed(2),
    measure.cpuPerMessageMs.toFixed(3),
    measure.fairness.toFixed(2),
    String(measure.pairsServed),
    `${Math.round(measure.generatorBusy * 100)} %`,
    `${measure.othersCores.toFixed(1)} cores`,
    faultsOf(measure) || "none",
  ];
}
