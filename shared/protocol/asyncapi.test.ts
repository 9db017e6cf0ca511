import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { generateDocs, staleDocs } from "../../scripts/docs.ts";
import { closeCodes, ErrorCode } from "../errors.ts";
import { DownFrame } from "./down.ts";
import { UpFrame } from "./up.ts";

const protocol = readFileSync("docs/protocol.md", "utf8");
const rules = protocol
  .split(/^### (?=R\d)/m)
  .slice(1)
  .map((chapter) => [chapter.split(" ", 1)[0] ?? "", chapter] as const);

describe("the protocol's pages", () => {
  it("number the rules without a gap", () => {
    expect(rules.map(([rule]) => rule)).toEqual(Array.from({ length: 19 }, (_, index) => `R${index + 1}`));
  });

  it("are up to date: npm run docs", () => {
    expect(staleDocs()).toEqual([]);
  });

  it("come out the same every time", () => {
    expect(generateDocs()).toEqual(generateDocs());
  });

  it.each(rules)("name for %s tests that carry its number", (rule, chapter) => {
    const files = [...chapter.slice(chapter.indexOf("*Tested*")).matchAll(/`([^`]+\.test\.ts)`/g)].map(
      ([, file = ""]) => file,
    );
    const strangers = files.filter((file) => !new RegExp(`\\b${rule}\\b`).test(readFileSync(file, "utf8")));
    expect(strangers).toEqual([]);
  });

  it("leave nothing out of docs/protocol.md that is on the wire", () => {
    const types = [...UpFrame.options, ...DownFrame.options].map((schema) => schema.entries.type.literal);
    const missing = [...types, ...ErrorCode.options].filter((name) => !protocol.includes(`| \`${name}\` |`));
    expect(missing).toEqual([]);
    for (const [code, number] of Object.entries(closeCodes)) {
      expect(protocol).toMatch(new RegExp(`^\\| \`${code}\` \\|.* ${number} \\|`, "m"));
    }
  });
});
