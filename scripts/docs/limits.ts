import * as limits from "../../shared/limits.ts";
import { commentsOf, sourceOf } from "./comments.ts";
import { figures, table } from "./markdown.ts";

/** The sections of shared/limits.ts that are about HTTP. Those that are about both, or neither, stand with the socket. */
const aboutHttp: ReadonlySet<string> = new Set([
  "Encryption",
  "Archives on the server",
  "Tokens",
  "Signing in",
  "Linking a device",
  "People",
  "Rate limits",
]);

/** In the order and under the headings of the source. */
export function limitTables(about: "http" | "socket"): string[] {
  const comments = commentsOf("limits.ts");
  const values = new Map<string, unknown>(Object.entries(limits));
  const sections = sourceOf("limits.ts")
    .split(/^\/\/ (?=.*$)/m)
    .slice(1);
  return sections.flatMap((section) => {
    const [heading = ""] = section.split("\n", 1);
    if (aboutHttp.has(heading) !== (about === "http")) return [];
    const names = [...section.matchAll(/^export const (\w+)/gm)].map(([, name = ""]) => name);
    const rows = names.flatMap((name) => {
      const value = values.get(name);
      return isFigures(value) ? [[`\`${name}\``, figures(value), comments[name] ?? ""]] : [];
    });
    return rows.length > 0 ? [`### ${heading}\n`, table(["limit", "value", "meaning"], rows)] : [];
  });
}

/** Buckets have a chapter of their own. */
function isFigures(value: unknown): value is number | readonly number[] {
  return typeof value === "number" || Array.isArray(value);
}
