import { Hono } from "hono";
import * as v from "valibot";
import { describe, expect, it } from "vitest";
import { Refusal } from "../../shared/errors.ts";
import { MAX_JSON_DEPTH_LEVELS, MAX_JSON_VALUES } from "../../shared/limits.ts";
import type { GatewayTypes } from "../../workers/gateway/context.ts";
import { readJson } from "../../workers/gateway/read-json.ts";

/** Takes any object. */
const gateway = new Hono<GatewayTypes>()
  .post("/", async (c) => c.json(await readJson(c, v.record(v.string(), v.any()))))
  .onError((error, c) => c.text(error instanceof Refusal ? error.code : "failed", 400));

async function answerTo(body: string): Promise<string> {
  const response = await gateway.request("/", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
  return response.text();
}

describe("JSON that becomes many times as large when it is read", () => {
  const list = (count: number, item: string) => `{"a":[${Array(count).fill(item).join(",")}]}`;

  it.each([
    ["empty lists", list(1_000_000, "[]")],
    ["empty objects", list(1_000_000, "{}")],
    ["numbers", list(MAX_JSON_VALUES + 1, "0")],
    ["names", `{${Array.from({ length: 300_000 }, (_, index) => `"${index}":0`).join(",")}}`],
    ["brackets without end", `{"a":${"[".repeat(2_000_000)}${"]".repeat(2_000_000)}}`],
    ["brackets that only open", `{"a":${"[".repeat(4_000_000)}`],
  ])("is refused: %s", async (_, body) => {
    expect(await answerTo(body)).toBe("bad_frame");
  });

  it("is not what has brackets, commas, quotes and escapes in its texts", async () => {
    const text = `${'[{,"\\'.repeat(MAX_JSON_VALUES)}\\`;
    const body = JSON.stringify({ [text]: text, a: [[{ b: "" }]] });
    expect(await answerTo(body)).toBe(body);
  });

  it("is not what is just as large as it may be", async () => {
    const deep = `{"a":${"[".repeat(MAX_JSON_DEPTH_LEVELS - 1)}${"]".repeat(MAX_JSON_DEPTH_LEVELS - 1)}}`;
    for (const body of [deep, list(MAX_JSON_VALUES - 1, "0")]) expect(await answerTo(body)).toBe(body);
    expect(await answerTo(deep.replace("[", "[[").replace("]", "]]"))).toBe("bad_frame");
  });
});
