import { readFileSync } from "node:fs";

const shared = new URL("../../shared/", import.meta.url);

export function sourceOf(file: string): string {
  return readFileSync(new URL(file, shared), "utf8");
}

/**
 * The comments of a file in shared/, by the name of what follows: `Hello`, and for its fields `Hello.client`. Fields of
 * what is not exported may have been spread in elsewhere: they are also there as `.seq`. Empty for what has none. A
 * comment with a blank line behind it is the file's own.
 */
export function commentsOf(file: string): Record<string, string> {
  const comments: Record<string, string> = {};
  let owner = "";
  let isExported = false;
  let pending = "";
  for (const [, comment, blank, exported, constant, field] of sourceOf(file).matchAll(
    /\/\*\*(.*?)\*\/(\n\n)?|^(export )?const (\w+)|\b(\w+): /gms,
  )) {
    if (comment !== undefined) {
      pending = blank ? "" : textOf(comment);
      continue;
    }
    if (constant !== undefined) {
      owner = constant;
      isExported = exported !== undefined;
    }
    comments[constant ?? `${owner}.${field}`] ??= pending;
    if (field !== undefined && !isExported) comments[`.${field}`] ||= pending;
    pending = "";
  }
  return comments;
}

function textOf(comment: string): string {
  return comment
    .replace(/^\s*\* ?/gm, "")
    .replace(/\{@link (\w+)\}/g, "$1")
    .replace(/\s+/g, " ")
    .trim();
}
