import { describe, expect, test } from "vitest";
import { ENVELOPE_SIZES_BYTES, MAX_BODY_BYTES, MAX_CONTENT_BYTES } from "../../shared/limits.ts";
import { ContentError } from "../content/content-error.ts";
import { encodeContent } from "../content.ts";
import { seededRandom } from "../session/test-driver.ts";
import { decodeEnvelope, type Envelope, encodeEnvelope } from "./envelope.ts";

const random = seededRandom(11);
const randomBytes = (length: number) => Uint8Array.from({ length }, () => Math.floor(random() * 256));
const claim = { seq: 2 ** 40 + 5, digest: randomBytes(8) };
const sizeOf = (text: string) => encodeEnvelope({ content: encodeContent({ kind: "text", text }), claim }).byteLength;
/** Comparing large arrays item by item takes long. */
const expectSame = (opened: Envelope, { content, claim }: Envelope) => {
  expect(opened.claim).toEqual(claim);
  expect(Buffer.compare(opened.content, content)).toBe(0);
};
const codeOf = (run: () => unknown) => {
  try {
    run();
  } catch (error) {
    return error instanceof ContentError ? error.code : error;
  }
  return undefined;
};

describe("an envelope", () => {
  test("is opened as it was closed, whatever is in it", () => {
    const lengths = [0, 1, 236, 237, 238, 1_005, 1_006, MAX_CONTENT_BYTES, ...Array(200)].map(
      (length) => length ?? Math.floor(random() ** 4 * MAX_CONTENT_BYTES),
    );
    for (const length of lengths) {
      const envelope: Envelope = { content: randomBytes(length), claim: random() < 0.5 ? claim : undefined };
      const sealed = encodeEnvelope(envelope);
      expectSame(decodeEnvelope(sealed), envelope);
      // Also from the middle of something larger.
      const around = new Uint8Array(sealed.byteLength + 7);
      around.set(sealed, 3);
      expectSame(decodeEnvelope(around.subarray(3, 3 + sealed.byteLength)), envelope);
    }
  });

  test("has one of a few sizes, the smallest that holds it", () => {
    const sizes = new Set<number>();
    for (let length = 0; length <= MAX_CONTENT_BYTES; length += 97) {
      const { byteLength } = encodeEnvelope({ content: new Uint8Array(length), claim });
      sizes.add(byteLength);
      expect(byteLength).toBe(ENVELOPE_SIZES_BYTES.find((size) => size >= length + 19));
    }
    expect([...sizes]).toEqual([...ENVELOPE_SIZES_BYTES]);
  });

  test("does not tell short texts apart, nor whether there is a claim", () => {
    expect(new Set(["yes", "no!", "😀", "a".repeat(200)].map(sizeOf))).toEqual(new Set([256]));
    const content = encodeContent({ kind: "text", text: "a".repeat(205) });
    expect(encodeEnvelope({ content, claim }).byteLength).toBe(
      encodeEnvelope({ content, claim: undefined }).byteLength,
    );
  });

  test("of the largest content leaves room for its encryption", () => {
    const largest = encodeEnvelope({ content: new Uint8Array(MAX_CONTENT_BYTES), claim }).byteLength;
    expect(MAX_BODY_BYTES - largest).toBeGreaterThanOrEqual(1_024);
    expect(codeOf(() => encodeEnvelope({ content: new Uint8Array(MAX_CONTENT_BYTES + 1), claim }))).toBe("too_large");
  });
});

describe("bad input", () => {
  const good = () => encodeEnvelope({ content: randomBytes(100), claim });
  const changed = (at: number, byte: number) => {
    const bytes = good();
    bytes[at] = byte;
    return bytes;
  };
  const shorter = encodeEnvelope({ content: new Uint8Array(300), claim }).subarray(0, 256);
  const longer = new Uint8Array(512);
  longer.set(good());
  const unclaimed = encodeEnvelope({ content: randomBytes(5), claim: undefined });
  unclaimed[12] = 1;
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    ["nothing", new Uint8Array(0), "malformed"],
    ["a version alone", new Uint8Array([1]), "malformed"],
    ["no version", changed(0, 0), "malformed"],
    ["a later version", changed(0, 2), "unsupported"],
    ["padding that is not zero, at its end", changed(255, 1), "malformed"],
    ["padding that is not zero, at its beginning", changed(119, 128), "malformed"],
    ["a content that is cut off", shorter, "malformed"],
    ["more padding than there needs to be", longer, "malformed"],
    ["no padding", good().subarray(0, 119), "malformed"],
    ["a length beyond the end", changed(17, 200), "malformed"],
    ["a place that a double does not hold", changed(1, 255), "malformed"],
    ["a digest without a place", unclaimed, "malformed"],
  ];
  test.each(cases)("%s is refused", (_, bytes, code) => {
    expect(codeOf(() => decodeEnvelope(bytes))).toBe(code);
  });

  test("whatever the bytes are, nothing else is thrown, and what is accepted has no second form", () => {
    const outcomes = new Map<unknown, number>();
    for (let run = 0; run < 5_000; run++) {
      const bytes = random() < 0.3 ? randomBytes(random() < 0.5 ? 256 : Math.floor(random() * 600)) : good();
      for (let hits = Math.floor(random() * 3); hits > 0; hits--) {
        bytes[Math.floor(random() * bytes.byteLength)] = Math.floor(random() * 256);
      }
      const outcome = codeOf(() => expect(encodeEnvelope(decodeEnvelope(bytes))).toEqual(bytes));
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    expect(new Set(outcomes.keys())).toEqual(new Set([undefined, "malformed", "unsupported"]));
    expect(outcomes.get(undefined)).toBeGreaterThan(500);
  });
});
