import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

test.each([
  ["echo-bot.ts", 25],
  ["quickstart.ts", 20],
])("examples/%s has fewer than %i lines", (file, lines) => {
  const text = readFileSync(new URL(`../../examples/${file}`, import.meta.url), "utf8");
  expect(text.trimEnd().split("\n").length).toBeLessThan(lines);
});
