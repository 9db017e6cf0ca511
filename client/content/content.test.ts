import { describe, expect, test } from "vitest";
import { MAX_CONTENT_BYTES, MAX_MENTIONS_PER_MESSAGE, MAX_TEXT_CHARS } from "../../shared/limits.ts";
import { type Content, decodeContent, encodeContent, isText } from "../content.ts";
import { idOf, me, peer, seededRandom } from "../session/test-driver.ts";
import { ContentError } from "./content-error.ts";
import { expiresAt } from "./expiry.ts";
import { forward, isForwardedOften } from "./forwarding.ts";
import type { KnownContent } from "./kinds.ts";
import { isEvent } from "./message-state.ts";

const key = "A".repeat(43);
const file = (type: string) => ({ id: "01-file_id", key, hash: key, bytes: 70_000, type });
const picture = { width: 1_600, height: 1_200, thumbnail: "_9j_4AAQ", blurHash: "LEHV6nWB2yk8pyo0adR*.7kCMdnj" };
const target = idOf(7);

/** One of each kind at least. */
const contents: readonly KnownContent[] = [
  { kind: "text", text: "hello" },
  {
    kind: "text",
    text: "@Ann see https://example.org/a",
    mentions: [{ start: 0, length: 4, user: peer }],
    preview: { url: "https://example.org/a", title: "A page", description: "of words", thumbnail: "AAEC" },
    reply: { id: target, author: peer, excerpt: "what was said" },
    forwarded: 5,
    expiresAfter: 86_400,
  },
  { kind: "image", file: { ...file("image/jpeg"), name: "sea.jpg" }, ...picture, text: "the sea", viewOnce: true },
  { kind: "video", file: file("video/mp4"), durationMs: 61_000, ...picture },
  { kind: "audio", file: file("audio/mpeg"), durationMs: 200_000 },
  { kind: "voice", file: file("audio/ogg"), durationMs: 4_000, waveform: "AEB_gP__", viewOnce: true },
  { kind: "document", file: { ...file("application/vnd.ms-excel"), name: "Übersicht 1.xls" }, text: "here" },
  { kind: "sticker", file: file("image/webp"), width: 512, height: 512, emoji: "🎉" },
  {
    kind: "location",
    latitude: -33.856_8,
    longitude: 151.215_3,
    accuracyMetres: 12.5,
    name: "Opera",
    address: "Sydney",
  },
  { kind: "contact", name: "Ann", phones: ["+4915112345678"], user: peer },
  { kind: "poll", question: "When?", options: ["today", "tomorrow"], multiple: false },
  { kind: "reaction", target, emoji: "👩🏻‍❤️‍💋‍👨🏻" },
  { kind: "reaction", target, emoji: "" },
  { kind: "edit", target, text: "hullo" },
  { kind: "deletion", target },
  { kind: "vote", target, options: [1, 0] },
  { kind: "pin", target, pinned: true },
  { kind: "timer", seconds: 604_800 },
  { kind: "timer", seconds: 0 },
];

const bytesOf = (json: unknown) => new TextEncoder().encode(typeof json === "string" ? json : JSON.stringify(json));
const codeOf = (run: () => unknown) => {
  try {
    run();
  } catch (error) {
    return error instanceof ContentError ? error.code : error;
  }
  return undefined;
};

describe("a content", () => {
  test.each(contents)("of kind $kind is read as it was written", (content) => {
    expect(decodeContent(encodeContent(content))).toEqual(content);
  });

  test("of an unknown kind or a newer version is kept as it came", () => {
    const later = [
      { kind: "hologram", depth: [1, { x: null }], version: 3 },
      { kind: "text", version: 2, text: { rich: true } },
      { kind: "unknown", original: { kind: "text", text: "x" } },
      { kind: "constructor" },
    ];
    for (const original of later) {
      const bytes = bytesOf(original);
      const content = decodeContent(bytes);
      expect(content).toEqual({ kind: "unknown", original });
      expect(encodeContent(content)).toEqual(bytes);
    }
  });

  test("keeps fields that are new in its kind", () => {
    const bytes = bytesOf({ kind: "text", text: "x", style: { bold: [0, 1] }, version: 1 });
    const content = decodeContent(bytes);
    expect(isText(content) && content.text).toBe("x");
    expect(encodeContent(content)).toEqual(bytes);
  });

  test("that a device makes for itself cannot be sent", () => {
    for (const kind of ["unreadable", "group"]) {
      expect(codeOf(() => decodeContent(bytesOf({ kind })))).toBe("malformed");
      expect(codeOf(() => decodeContent(bytesOf({ kind, version: 2 })))).toBe("malformed");
    }
    expect(codeOf(() => encodeContent({ kind: "unknown", original: { kind: "group" } }))).toBe("malformed");
  });

  test("of the longest text in the widest script fits a message", () => {
    const text = "字".repeat(MAX_TEXT_CHARS);
    expect(encodeContent({ kind: "text", text }).byteLength).toBeLessThanOrEqual(MAX_CONTENT_BYTES);
    expect(codeOf(() => encodeContent({ kind: "text", text: `${text}字` }))).toBe("malformed");
  });

  test("that is too large is refused by both sides", () => {
    const text = "\u0001".repeat(MAX_TEXT_CHARS);
    expect(codeOf(() => encodeContent({ kind: "text", text }))).toBe("too_large");
    const padded = `{"kind":"text","text":"x"}${" ".repeat(MAX_CONTENT_BYTES)}`;
    expect(codeOf(() => decodeContent(bytesOf(padded)))).toBe("too_large");
  });

  test("is refused before it is sent if others would refuse it", () => {
    const place = { kind: "location", longitude: 0 } as const;
    expect(codeOf(() => encodeContent({ ...place, latitude: Number.NaN }))).toBe("malformed");
    expect(codeOf(() => encodeContent({ ...place, latitude: 90.1 }))).toBe("malformed");
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    expect(codeOf(() => encodeContent({ kind: "unknown", original: { kind: "later", cycle } }))).toBe("malformed");
  });

  test("narrows by its kind", () => {
    const wordsOf = (content: Content): string => {
      switch (content.kind) {
        case "text":
        case "edit":
          return content.text;
        case "unknown":
          return content.original.kind;
        default:
          return "";
      }
    };
    expect(contents.map(wordsOf).filter(Boolean)).toEqual(["hello", "@Ann see https://example.org/a", "hullo"]);
  });
});

describe("bad input", () => {
  const text = (fields: object) => ({ kind: "text", text: "see https://a.example", ...fields });
  const image = (fields: object) => ({ kind: "image", file: file("image/png"), width: 1, height: 1, ...fields });
  const named = (name: string) => ({ kind: "document", file: { ...file("text/plain"), name } });
  const poll = (options: unknown) => ({ kind: "poll", question: "?", options, multiple: false });
  const mention = (start: number, length: number) => ({ start, length, user: peer });
  const preview = (url: string) => ({ preview: { url, title: "x" } });
  const cases: readonly (readonly [what: string, json: unknown])[] = [
    ["nothing", ""],
    ["no JSON", "{kind:1}"],
    ["a list", [{ kind: "text" }]],
    ["null", null],
    ["no kind", { text: "x" }],
    ["an empty kind", { kind: "" }],
    ["a kind without end", { kind: "k".repeat(65) }],
    ["a broken version", { kind: "text", text: "x", version: 0 }],
    ["a version that is no number", { kind: "later", version: "2" }],
    ["two values for a name", '{"kind":"text","text":"a","text":"b"}'],
    ["the same name twice, written differently", '{"kind":"later","a":1,"\\u0061":2}'],
    ["a prototype", '{"kind":"later","x":{"__proto__":{"y":1}}}'],
    ["a prototype in disguise", '{"kind":"later","\\u005f_proto__":{}}'],
    ["a number that is none", '{"kind":"later","x":NaN}'],
    ["a number without end", '{"kind":"later","x":1e400}'],
    ["a number that a double does not hold", '{"kind":"later","x":9007199254740993}'],
    ["brackets without end", `{"kind":"later","x":${"[".repeat(20)}${"]".repeat(20)}}`],
    ["far too many brackets", `{"kind":"later","x":${"[".repeat(25_000)}${"]".repeat(25_000)}}`],
    ["a byte order mark", '\ufeff{"kind":"text","text":"x"}'],
    ["an empty text", { kind: "text", text: "" }],
    ["a text that is none", { kind: "text", text: 5 }],
    ["a mention beyond the text", text({ mentions: [mention(20, 5)] })],
    ["mentions that overlap", text({ mentions: [mention(0, 3), mention(2, 3)] })],
    ["a mention of nobody", text({ mentions: [{ start: 0, length: 1, user: "x" }] })],
    ["an empty mention", text({ mentions: [mention(0, 0)] })],
    ["too many mentions", text({ mentions: Array(MAX_MENTIONS_PER_MESSAGE + 1).fill(mention(0, 1)) })],
    ["a preview of another page", text(preview("https://b.example"))],
    ["a preview of a script", { kind: "text", text: "javascript:alert(1)", ...preview("javascript:alert(1)") }],
    ["an excerpt without end", text({ reply: { id: target, author: peer, excerpt: "x".repeat(201) } })],
    ["six hops", text({ forwarded: 6 })],
    ["no hop", text({ forwarded: 0 })],
    ["a time to stay that is not offered", text({ expiresAfter: 1 })],
    ["a short key", image({ file: { ...file("image/png"), key: "AAAA" } })],
    ["a key in base64", image({ file: { ...file("image/png"), key: `${"A".repeat(42)}+` } })],
    ["a file id with a path", image({ file: { ...file("image/png"), id: "../x" } })],
    ["a file that is too large", image({ file: { ...file("image/png"), bytes: 2 ** 31 } })],
    ["an SVG as a picture", image({ file: file("image/svg+xml") })],
    ["a page as a picture", image({ file: file("text/html") })],
    ["a type with a line break", image({ file: file("image/png\r\nx: y") })],
    ["a picture without a size", image({ width: 0 })],
    ["a thumbnail that is no base64url", image({ thumbnail: "A" })],
    ["a thumbnail that is too large", image({ thumbnail: "A".repeat(30_000) })],
    ["seen once, or not", image({ viewOnce: false })],
    ["a name with a path", named("a/b.txt")],
    ["a name with a line break", named("a\r\nb.txt")],
    ["a name that runs backwards", named("a\u202etxt.exe")],
    ["a document without a name", { kind: "document", file: file("text/plain") }],
    ["a place beyond the pole", { kind: "location", latitude: 91, longitude: 0 }],
    ["one option", poll(["a"])],
    ["thirteen options", poll(Array.from({ length: 13 }, String))],
    ["the same option twice", poll(["a", "a"])],
    ["a vote given twice", { kind: "vote", target, options: [1, 1] }],
    ["half a vote", { kind: "vote", target, options: [0.5] }],
    ["a letter as a reaction", { kind: "reaction", target, emoji: "a" }],
    ["a number as a reaction", { kind: "reaction", target, emoji: "1" }],
    ["two reactions in one", { kind: "reaction", target, emoji: "👍👍" }],
    ["a reaction to nothing", { kind: "reaction", target: "x", emoji: "👍" }],
    ["a timer that is not offered", { kind: "timer", seconds: 5 }],
    ["a pin or not", { kind: "pin", target, pinned: "yes" }],
  ];

  test.each(cases)("%s is refused", (_, json) => {
    expect(codeOf(() => decodeContent(bytesOf(json)))).toBe("malformed");
  });

  test("what is no UTF-8 is refused", () => {
    const bytes = bytesOf({ kind: "text", text: "x?" });
    bytes[bytes.indexOf(0x3f)] = 0xff;
    expect(codeOf(() => decodeContent(bytes))).toBe("malformed");
  });

  test("whatever the bytes are, nothing else is thrown; and what is read can be written", () => {
    const random = seededRandom(3);
    const samples = contents.map(encodeContent);
    const outcomes = new Map<unknown, number>();
    for (let run = 0; run < 20_000; run++) {
      const bytes = new Uint8Array(samples[run % samples.length]!);
      for (let hits = 1 + Math.floor(random() * 3); hits > 0; hits--) {
        const syntax = '{}[]",:0-e\\u';
        const byte = random() < 0.5 ? syntax.charCodeAt(Math.floor(random() * syntax.length)) : random() * 256;
        bytes[Math.floor(random() * bytes.length)] = byte;
      }
      const outcome = codeOf(() => {
        const content = decodeContent(bytes);
        expect(decodeContent(encodeContent(content))).toEqual(content);
      });
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    expect([...outcomes.keys()].sort()).toEqual(["malformed", undefined]);
    expect(outcomes.get(undefined)).toBeGreaterThan(1_000);
  });
});

describe("forwarding", () => {
  test("counts to five and no further, and leaves behind what belongs to the conversation", () => {
    const reply = { id: target, author: peer, excerpt: "" };
    const first: Content = { kind: "text", text: "@a", mentions: [], reply, expiresAfter: 86_400 };
    let content: Content = first;
    const labels: boolean[] = [];
    for (let hop = 0; hop < 7; hop++) {
      content = forward(content)!;
      labels.push(isForwardedOften(content));
    }
    expect(decodeContent(encodeContent(content))).toEqual({ kind: "text", text: "@a", forwarded: 5 });
    expect(labels).toEqual([false, false, false, false, true, true, true]);
  });

  test("keeps the file, so that it is not uploaded again", () => {
    const image = contents.find(({ kind }) => kind === "video")!;
    expect(forward(image)).toMatchObject({ kind: "video", file: file("video/mp4"), forwarded: 1 });
  });

  test("is not for events, for the unknown, nor for what is to be seen once", () => {
    const stays = contents.filter((content) => forward(content) === undefined);
    expect(stays.filter((content) => !isEvent(content)).map(({ kind }) => kind)).toEqual(["image", "voice"]);
    expect(contents.filter(isEvent).every((content) => stays.includes(content))).toBe(true);
    expect(forward({ kind: "unknown", original: { kind: "later" } })).toBeUndefined();
  });
});

test("events are not written to be read", () => {
  const kinds = contents.filter(isEvent).map(({ kind }) => kind);
  expect([...new Set(kinds)]).toEqual(["reaction", "edit", "deletion", "vote", "pin", "timer"]);
});

test("a message that disappears does so by the server's clock", () => {
  expect(expiresAt({ kind: "text", text: "x", expiresAfter: 604_800 }, 1_000)).toBe(604_801_000);
  expect(expiresAt({ kind: "text", text: "x" }, 1_000)).toBeUndefined();
  expect(expiresAt({ kind: "deletion", target: me }, 1_000)).toBeUndefined();
});
