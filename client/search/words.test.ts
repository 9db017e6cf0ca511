import { expect, test } from "vitest";
import { snippetOf } from "./snippet.ts";
import { queryTermsOf, termsOf, wordsIn } from "./words.ts";

test.each([
  ["Hello, WORLD! Hello?", ["hello", "world", "hello"]],
  ["Crème brûlée in Łódź, Đà Nẵng, Straße, Øre, ΟΔΌΣ", "creme brulee in lodz da nang strasse ore οδοσ".split(" ")],
  ["see https://example.org/a_b, don’t ask l'homme", "see https example org a b don t ask l homme".split(" ")],
  ["ＡＢＣ １２３ ﬁne", ["abc", "123", "fine"]],
  ["Привет, МИР", ["привет", "мир"]],
  ["كِتَابٌ", ["كتاب"]],
  ["ภาษาไทยง่ายมาก", ["ภาษา", "ไทย", "ง่าย", "มาก"]],
  ["안녕하세요 세계", ["안녕하세요", "세계"]],
  ["我爱猫。OK", ["我爱", "爱猫", "猫", "ok"]],
  ["東京タワー", ["東京", "京タ", "タワ", "ワー", "ー"]],
  ["𠮷野家", ["𠮷野", "野家", "家"]],
  ["🎉 … !", []],
  ["", []],
])("the words of “%s”", (text, expected) => {
  expect(termsOf(text)).toEqual(expected);
  for (const { start, end } of wordsIn(text)) expect(text.slice(start, end)).not.toMatch(/^\s|\s$|^$/);
});

test("a query in Chinese asks for what it says, wherever that stands", () => {
  expect(queryTermsOf("爱猫 ok 猫")).toEqual(["爱猫", "ok", "猫"]);
  expect(termsOf("我爱猫咪")).toEqual(expect.arrayContaining(queryTermsOf("爱猫咪")));
});

test("a word without end is cut", () => {
  expect(termsOf("a".repeat(10_000))).toEqual(["a".repeat(64)]);
});

const found = (text: string, ...terms: string[]) => {
  const snippet = snippetOf(text, new Set(terms));
  const matches = snippet.matches.map(({ start, length }) => snippet.text.slice(start, start + length));
  return { text: snippet.text, matches };
};

test("a short text is shown whole, with what was found in it", () => {
  expect(found("Crème brûlée, crème!", "creme")).toEqual({ text: "Crème brûlée, crème!", matches: ["Crème", "crème"] });
  expect(found("我爱猫咪", "爱猫", "猫咪")).toEqual({ text: "我爱猫咪", matches: ["爱猫咪"] });
  expect(found("nothing", "else")).toEqual({ text: "nothing", matches: [] });
});

test("a long one around the first that was found", () => {
  const words = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => `w${from + n}`).join(" ");
  const text = `${words(0, 200)} Needle ${words(200, 400)} needle`;
  const snippet = found(text, "needle");
  expect(snippet.matches).toEqual(["Needle"]);
  expect(snippet.text).toMatch(/^…w\d+ (?:w\d+ )+Needle (?:w\d+ )+w\d+…$/);
  expect(snippet.text.length).toBeLessThanOrEqual(162);
  expect(found(`Needle ${words(0, 400)}`, "needle").text).toMatch(/^Needle w0 .*w\d+…$/);
  expect(found(`${words(0, 400)} needle`, "needle").text).toMatch(/^…w\d+ .* needle$/);
  expect(found(words(0, 400), "needle").text).toMatch(/^w0 w1 .*…$/);
});

test("a match that is longer than a snippet is cut off", () => {
  const word = "x".repeat(500);
  const snippet = found(`${"a b ".repeat(30)}${word} end`, "x".repeat(64));
  expect(snippet.text.length).toBeLessThanOrEqual(162);
});
