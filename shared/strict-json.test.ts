import { describe, expect, it } from "vitest";
import { MAX_JSON_DEPTH_LEVELS } from "./limits.ts";
import { parseStrictly } from "./strict-json.ts";

const nested = (levels: number) => "[".repeat(levels) + "]".repeat(levels);

describe("JSON of which every reader makes the same", () => {
  it.each([
    "null",
    '"\\u0061\\""',
    '{"a":1,"b":{"a":1}}',
    '[{"a":1},{"a":1}]',
    '{"a":"b","b":"a: {[\\"a\\":"}',
    `[${Number.MAX_SAFE_INTEGER},-${Number.MAX_SAFE_INTEGER},-0,0.1,-1.5e-7,1e3]`,
    '{"proto":"__proto__"}',
    nested(MAX_JSON_DEPTH_LEVELS),
  ])("is read: %s", (json) => {
    expect(parseStrictly(json)).toEqual(JSON.parse(json));
  });

  it.each([
    ["no JSON", '{"a":1'],
    ["two values", "1 2"],
    ["a byte order mark", "\ufeff{}"],
    ["a name twice", '{"a":1,"a":1}'],
    ["a name twice, once escaped", '{"a":1,"\\u0061" :1}'],
    ["a name twice, with an object between", '{"a":{"b":[]},"a":1}'],
    ["a name that sets an object's kind", '{"a":{"__proto__":{}}}'],
    ["the same, escaped", '{"__pr\\u006fto__":{}}'],
    ["an integer that a double does not hold", `[${Number.MAX_SAFE_INTEGER + 1}]`],
    ["a number that is none", '{"a":1e999}'],
    ["brackets without end", nested(MAX_JSON_DEPTH_LEVELS + 1)],
  ])("is not %s", (_, json) => {
    expect(() => parseStrictly(json)).toThrow();
  });
});
