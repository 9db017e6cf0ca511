import type { Measured } from "./measure.ts";

/** One table of times and one of sizes, a column for each group. */
export function formatTables(measured: readonly Measured[]): string {
  const heads = measured.map(
    ({ suite, devices, renewed }) => `${devices} (${suite}${renewed === "everybody" ? "*" : ""})`,
  );
  const times = formatTable(
    "ms",
    heads,
    measured.map(({ ms }) => ms),
  );
  const sizes = formatTable(
    "bytes",
    heads,
    measured.map(({ bytes }) => bytes),
  );
  return `devices (suite; * everybody has renewed their keys)\n\n${times}\n\n${sizes}`;
}

function formatTable(unit: string, heads: readonly string[], columns: readonly Record<string, number>[]): string {
  const names = [...new Set(columns.flatMap((column) => Object.keys(column)))];
  const rows = names.map((name) => [name, ...columns.map((column) => cellOf(column[name]))]);
  const table = [[unit, ...heads], ...rows];
  const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? [];
  const pad = (cell: string, column: number) =>
    column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  return table.map((row) => row.map(pad).join("  ").trimEnd()).join("\n");
}

function cellOf(value: number | undefined): string {
  if (value === undefined) return "";
  return value >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
}
