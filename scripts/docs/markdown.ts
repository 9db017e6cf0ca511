import type { Json, JsonObject } from "./json.ts";

export function figures(value: number | readonly number[] = []): string {
  return [value]
    .flat()
    .map((figure) => figure.toLocaleString("en"))
    .join("; ");
}

/** In the greatest unit that it is at least one of, if two decimals tell all of it. */
export function duration(ms: number): string {
  const units = [
    ["days", 86_400_000],
    ["h", 3_600_000],
    ["min", 60_000],
    ["s", 1_000],
  ] as const;
  const fits = (length: number) => ms >= length && (ms * 100) % length === 0;
  const [unit, length] = units.find(([, size]) => fits(size)) ?? (["ms", 1] as const);
  return `${figures(ms / length)} ${unit}`;
}

/** A schema in words. */
export function formOf(schema: JsonObject): string {
  const { $ref, type, allOf, anyOf, items, pattern, minimum, maximum, maxLength, maxItems, properties } = schema;
  const enumeration = schema.enum ?? (schema.const === undefined ? undefined : [schema.const]);
  if (typeof $ref === "string") return $ref.split("/").at(-1) ?? "";
  if (allOf) return (allOf as JsonObject[]).map(formOf).join(" and ");
  if (anyOf) return (anyOf as JsonObject[]).map(formOf).join(" or ");
  if (enumeration) return (enumeration as Json[]).map((value) => `\`${JSON.stringify(value)}\``).join(" or ");
  if (Array.isArray(items)) return `[${(items as JsonObject[]).map(formOf).join(", ")}]`;
  if (type === "array")
    return `list of ${formOf(items as JsonObject)}${maxItems === undefined ? "" : `, at most ${maxItems}`}`;
  if (properties) return `{ ${fieldsOf(schema).join("; ")} }`;
  const atMost = maxLength === undefined ? "" : `, at most ${maxLength} characters`;
  if (pattern) return `\`${String(pattern).replaceAll("|", "\\|")}\`${atMost}`;
  if (type === "integer") return `integer from ${minimum}${maximum === Number.MAX_SAFE_INTEGER ? " to 2^53 - 1" : ""}`;
  return `${type}${atMost}`;
}

function fieldsOf({ properties, required }: JsonObject): string[] {
  const isRequired = new Set(required as string[] | undefined);
  const fields = Object.entries(properties as Record<string, JsonObject>);
  return fields.map(([name, field]) => `${name}${isRequired.has(name) ? "" : "?"}: ${formOf(field)}`);
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return `${[line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n")}\n`;
}
