import { describe, expect, it } from "vitest";
import { hasCode } from "../chat-error.ts";
import { type CodeFault, MalformedCode } from "./errors.ts";
import { makeRecoveryCode, readRecoveryCode } from "./recovery-code.ts";

/** From the vectors of BIP-39. */
const known = "legal winner thank year wave sausage worth useful legal winner thank yellow";
const knownBytes = new Uint8Array(16).fill(0x7f);

async function faultOf(text: string): Promise<CodeFault | undefined> {
  try {
    await readRecoveryCode(text);
  } catch (error) {
    expect(hasCode(error, "code_malformed")).toBe(true);
    return error instanceof MalformedCode ? error.fault : undefined;
  }
  return undefined;
}

describe("a recovery code", () => {
  it("is twelve words for 128 random bits, and never the same", async () => {
    const codes = await Promise.all(Array.from({ length: 50 }, makeRecoveryCode));
    for (const code of codes) expect(code).toMatch(/^[a-z]+( [a-z]+){11}$/);
    const read = await Promise.all(codes.map(readRecoveryCode));
    for (const bytes of read) expect(bytes.byteLength).toBe(16);
    expect(new Set(read.map((bytes) => bytes.join())).size).toBe(50);
  });

  it("is read as BIP-39 says", async () => {
    expect(await readRecoveryCode(known)).toEqual(knownBytes);
  });

  it.each([
    ["capitals", known.toUpperCase()],
    ["spaces and lines", `\n  ${known.replaceAll(" ", " \t\r\n ")} \u00a0`],
    ["commas", known.replaceAll(" ", ", ")],
    [
      "numbers",
      known
        .split(" ")
        .map((word, index) => `${index + 1}. ${word}`)
        .join("\n"),
    ],
    ["full-width letters", known.replace("legal", "ｌｅｇａｌ")],
  ])("is read with %s too", async (_, text) => {
    expect(await readRecoveryCode(text)).toEqual(knownBytes);
  });
});

describe("what is no recovery code", () => {
  it.each([
    [known.replace("sausage", "sausages"), "sausages", 6],
    [known.replace("legal", "legаl"), "legаl", 1],
    [known.replace("yellow", "yelow"), "yelow", 12],
    ["nonsense", "nonsense", 1],
  ])("names the first word that is none: %s", async (text, word, position) => {
    expect(await faultOf(text)).toEqual({ kind: "unknown_word", word, position });
  });

  it.each([
    ["", 0],
    ["legal winner", 2],
    [`${known} legal`, 13],
    [`${known} ${known}`, 24],
    [known.replace(/ yellow$/, ""), 11],
  ])("says how many words there are: %s", async (text, count) => {
    expect(await faultOf(text)).toEqual({ kind: "word_count", count });
  });

  it("is twelve words of which two are exchanged, or one is another", async () => {
    expect(await faultOf(known.replace("wave sausage", "sausage wave"))).toEqual({ kind: "checksum" });
    expect(await faultOf(known.replace("useful", "usual"))).toEqual({ kind: "checksum" });
  });

  it("does not stand in the error's message", async () => {
    const error = await readRecoveryCode(known.replace("sausage", "sausages")).catch(String);
    expect(error).toContain("code_malformed");
    expect(error).not.toContain("sausage");
  });
});
