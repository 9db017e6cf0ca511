import type { Json } from "./json.ts";

const WORD = /^(?!(?:true|false|null|yes|no|on|off)$)[A-Za-z$][\w./$-]*$/i;

/** As much of YAML as the document needs: a string that is not one plain word is quoted as JSON would quote it. */
export function toYaml(value: Json, indent = ""): string {
  if (Array.isArray(value)) {
    if (value.length === 0) return " []";
    return value.map((item) => `\n${indent}-${toYaml(item, `${indent}  `).replace(/^\n\s+/, " ")}`).join("");
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined);
    if (entries.length === 0) return " {}";
    return entries.map(([key, item]) => `\n${indent}${scalar(key)}:${toYaml(item, `${indent}  `)}`).join("");
  }
  return ` ${scalar(value)}`;
}

function scalar(value: string | number | boolean | null | undefined): string {
  return typeof value === "string" && WORD.test(value) ? value : JSON.stringify(value);
}
