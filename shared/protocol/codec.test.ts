import { describe, expect, it } from "vitest";
import { type ErrorCode, Refusal } from "../errors.ts";
import { MAX_BODY_BYTES, MAX_CURSORS_PER_FRAME, MAX_FRAME_BYTES, MAX_HEADER_BYTES } from "../limits.ts";
import { decodeDown, decodeUp, encodeDown, encodeUp, splitBodies, type Wire } from "./codec.ts";
import type { DownFrame, DownType } from "./down.ts";
import type { Position, UpFrame, UpType } from "./up.ts";

const user = "01ARZ3NDEKTSV4RRFFQ69G5FAA";
const peer = "01ARZ3NDEKTSV4RRFFQ69G5FAB";
const device = "01ARZ3NDEKTSV4RRFFQ69G5FAD";
const id = "01ARZ3NDEKTSV4RRFFQ69G5FAE";
const conversation = `${user}.${peer}`;
const largest = Number.MAX_SAFE_INTEGER;
const meta = { seq: 7, id, user, device, at: 1_700_000_000_000 };
const bytes = (...values: number[]) => new Uint8Array(values);
const nothing = bytes();
/** Not UTF-8, and JSON's own characters among it. */
const raw = bytes(0, 255, 0xc3, 0x28, 0x22, 0x7d, 0x5d);

// ── round trips ─────────────────────────────────────────────────────────────────────────────────────────────────────

const up: { [T in UpType]: Extract<UpFrame, { type: T }>[] } = {
  hello: [
    { type: "hello", client: "web/1.0" },
    { type: "hello", client: "" },
  ],
  send: [{ type: "send", id, conversation }],
  sends: [{ type: "sends", conversation, messages: [{ id, length: 1 }] }],
  ack: [{ type: "ack", conversation, seq: 1 }],
  read: [{ type: "read", conversation, seq: largest }],
  sync: [
    { type: "sync", request: 1, cursors: [], scope: "all", more: false },
    { type: "sync", request: largest, cursors: [[conversation, 0, 0]], scope: "listed", more: true },
  ],
  typing: [{ type: "typing", conversation: user }],
  noted: [{ type: "noted", alert: 1 }],
};

const down: { [T in DownType]: { frame: Extract<DownFrame, { type: T }>; bodies?: Uint8Array[] }[] } = {
  welcome: [{ frame: { type: "welcome", user, device, epoch: 1, time: 0, compare: true } }],
  sent: [
    { frame: { type: "sent", conversation, messages: [{ id, seq: 1, at: 2 }] } },
    { frame: { type: "sent", conversation, messages: [] } },
  ],
  message: [{ frame: { type: "message", conversation, ...meta }, bodies: [raw] }],
  entries: [
    { frame: { type: "entries", conversation, after: 0, through: 9, entries: [] } },
    {
      frame: {
        type: "entries",
        conversation,
        after: 6,
        through: 9,
        entries: [
          { ...meta, length: 1 },
          { ...meta, seq: 9, length: raw.byteLength },
        ],
      },
      bodies: [bytes(1), raw],
    },
  ],
  receipt: [
    { frame: { type: "receipt", conversation, user: peer, delivered: 2, read: 1 } },
    { frame: { type: "receipt", conversation, delivered: 0, read: 0 } },
  ],
  drained: [{ frame: { type: "drained", request: 0 } }],
  typing: [{ frame: { type: "typing", conversation, user: peer } }],
  alert: [
    { frame: { type: "alert", alert: 1, kind: "code_requested", at: 0 } },
    { frame: { type: "alert", alert: 2, kind: "device_added", at: 1, device, name: "Laptop", place: "Berlin, DE" } },
    { frame: { type: "alert", alert: 3, kind: "identity_reset", at: 1, device, name: "Laptop" } },
  ],
  refill: [{ frame: { type: "refill" } }],
  error: [
    { frame: { type: "error", code: "busy", retry: 250 } },
    { frame: { type: "error", code: "not_found", retry: "never", conversation, id, request: 3 } },
  ],
  bye: [{ frame: { type: "bye", code: "restarting", retry: "now" } }],
};

describe("a frame comes out as it went in", () => {
  it.each(Object.values(up).flat())("up: $type", (frame) => {
    const body = frame.type === "send" ? raw : nothing;
    expect(decodeUp(encodeUp(frame, body))).toEqual({ frame, body });
  });

  it.each(Object.values(down).flat())("down: $frame.type", ({ frame, bodies = [] }) => {
    const decoded = decodeDown(encodeDown(frame, bodies));
    expect(decoded.frame).toEqual(frame);
    expect([...decoded.body]).toEqual(bodies.flatMap((body) => [...body]));
    if (decoded.frame.type !== "entries") return;
    const lengths = decoded.frame.entries.map((entry) => entry.length);
    expect(splitBodies(lengths, decoded.body)).toEqual(bodies);
  });

  it("wherever it lies in a larger buffer", () => {
    const frame = encodeUp({ type: "send", id, conversation }, raw) as Uint8Array;
    const buffer = new Uint8Array(frame.byteLength + 10).fill(255);
    buffer.set(frame, 5);
    expect(decodeUp(buffer.subarray(5, 5 + frame.byteLength)).body).toEqual(raw);
  });

  it("with a body of the largest size, both ways", () => {
    const body = new Uint8Array(MAX_BODY_BYTES).fill(7);
    expect(Buffer.compare(decodeUp(encodeUp({ type: "send", id, conversation }, body)).body, body)).toBe(0);
    const wire = encodeDown({ type: "message", conversation, ...meta, seq: largest, at: largest }, [body]);
    expect((wire as Uint8Array).byteLength).toBeLessThanOrEqual(MAX_FRAME_BYTES);
    expect(Buffer.compare(decodeDown(wire).body, body)).toBe(0);
  });

  it("with as many cursors as a frame may hold", () => {
    const cursors = Array.from({ length: MAX_CURSORS_PER_FRAME }, (): Position => [conversation, largest, largest]);
    const wire = encodeUp({ type: "sync", request: largest, cursors, scope: "listed", more: false });
    expect(wire.length).toBeLessThanOrEqual(MAX_FRAME_BYTES);
    expect(decodeUp(wire).frame).toMatchObject({ cursors });
  });

  it("without what this version does not know", () => {
    expect(decodeUp(`{"type":"ack","conversation":"${conversation}","seq":1,"later":true}`).frame).toEqual(up.ack[0]);
  });
});

// ── refusals ────────────────────────────────────────────────────────────────────────────────────────────────────────

const headerOf = (text: string) => new TextEncoder().encode(text);

/** A binary frame whose header is, or is said to be, this long. */
function framed(header: Uint8Array, body: Uint8Array = raw, length = header.byteLength): Uint8Array {
  const wire = new Uint8Array(4 + header.byteLength + body.byteLength);
  new DataView(wire.buffer).setUint32(0, length);
  wire.set(header, 4);
  wire.set(body, 4 + header.byteLength);
  return wire;
}

const sendHeader = headerOf(JSON.stringify(up.send[0]));
const ackWith = (seq: string) => `{"type":"ack","conversation":"${conversation}","seq":${seq}}`;
const syncWith = (cursors: string, request = "1") =>
  `{"type":"sync","request":${request},"cursors":${cursors},"scope":"all","more":false}`;
const syncFrom = (after: string) => syncWith(`[["${conversation}",${after},0]]`);
const deep = (open: string, close: string) => open.repeat(30_000) + close.repeat(30_000);

type Case = [title: string, wire: Wire, code: ErrorCode];

const sizes: Case[] = [
  ["text above the limit", " ".repeat(MAX_FRAME_BYTES + 1), "too_large"],
  ["text above the limit that would be valid", ackWith("1") + " ".repeat(MAX_FRAME_BYTES), "too_large"],
  ["binary above the limit", framed(sendHeader, new Uint8Array(MAX_FRAME_BYTES)), "too_large"],
  ["text of the largest size that is no JSON", "x".repeat(MAX_FRAME_BYTES), "bad_frame"],
];

const framing: Case[] = [
  ["no text", "", "bad_frame"],
  ["no bytes", nothing, "bad_frame"],
  ["three bytes", bytes(0, 0, 0), "bad_frame"],
  ["a header of no length", framed(nothing, raw), "bad_frame"],
  ["a header said to be longer than the frame", framed(sendHeader, nothing, sendHeader.byteLength + 1), "bad_frame"],
  ["a header said to be shorter than it is", framed(sendHeader, raw, sendHeader.byteLength - 1), "bad_frame"],
  ["a header said to reach into the body", framed(sendHeader, raw, sendHeader.byteLength + 2), "bad_frame"],
  ["a header of 2^32 - 1 bytes", framed(sendHeader, raw, 2 ** 32 - 1), "bad_frame"],
  ["a header of 2^31 bytes", framed(sendHeader, raw, 2 ** 31), "bad_frame"],
  ["a header above its limit", framed(new Uint8Array(MAX_HEADER_BYTES + 1).fill(32), nothing), "bad_frame"],
  ["a frame cut short", framed(sendHeader, nothing).subarray(0, 20), "bad_frame"],
  ["text where bytes are due", JSON.stringify(up.send[0]), "bad_frame"],
  ["bytes where text is due", framed(headerOf(ackWith("1")), nothing), "bad_frame"],
  ["bytes where text is due, with a body", framed(headerOf(ackWith("1")), raw), "bad_frame"],
];

const encodings: Case[] = [
  ["a header that is no UTF-8", framed(bytes(0x7b, 0xc3, 0x28, 0x7d)), "bad_frame"],
  ["a header with a surrogate in UTF-8", framed(bytes(0x22, 0xed, 0xa0, 0x80, 0x22)), "bad_frame"],
  ["a header with a byte order mark", framed(bytes(0xef, 0xbb, 0xbf, ...sendHeader)), "bad_frame"],
  ["text with a byte order mark", `\ufeff${ackWith("1")}`, "bad_frame"],
  ["an id with what invalid UTF-8 is replaced by", ackWith("1").replace(user, `${user.slice(1)}\ufffd`), "bad_frame"],
  ["an id with half a surrogate pair", ackWith("1").replace(user, `${user.slice(1)}\ud800`), "bad_frame"],
  ["an id with half a pair as an escape", ackWith("1").replace(user, `${user.slice(1)}\\udfff`), "bad_frame"],
];

const shapes: Case[] = [
  ["no JSON", "hello", "bad_frame"],
  ["half of it", ackWith("1").slice(0, -1), "bad_frame"],
  ["null", "null", "bad_frame"],
  ["a number", "5", "bad_frame"],
  ["a text", '"ack"', "bad_frame"],
  ["a list", "[]", "bad_frame"],
  ["nothing in it", "{}", "bad_frame"],
  ["two frames in one", ackWith("1") + ackWith("1"), "bad_frame"],
  ["an unknown type", '{"type":"later"}', "unknown_type"],
  ["an unknown type, binary", framed(headerOf('{"type":"later"}')), "unknown_type"],
  ["a type of the other direction", '{"type":"welcome"}', "unknown_type"],
  ["a type in another case", '{"type":"ACK"}', "unknown_type"],
  ["a missing type", `{"conversation":"${conversation}","seq":1}`, "bad_frame"],
  ["a type that is no text", '{"type":["ack"]}', "bad_frame"],
  ["a type that every object has", '{"type":"constructor"}', "unknown_type"],
  ["a type by inheritance", `{"__proto__":${ackWith("1")}}`, "bad_frame"],
  ["fields by inheritance", `{"type":"ack","__proto__":${ackWith("1")}}`, "bad_frame"],
  ["a missing field", `{"type":"ack","conversation":"${conversation}"}`, "bad_frame"],
  ["a null field", ackWith("null"), "bad_frame"],
  ["a name that is too long", `{"type":"hello","client":"${"x".repeat(65)}"}`, "bad_frame"],
  ["a name that is no text", '{"type":"hello","client":{}}', "bad_frame"],
  ["a conversation in the wrong order", ackWith("1").replace(conversation, `${peer}.${user}`), "bad_frame"],
  ["a conversation that is SQL", ackWith("1").replace(conversation, "' OR 1=1 --"), "bad_frame"],
  ["too many cursors", syncWith(JSON.stringify(Array(MAX_CURSORS_PER_FRAME + 1).fill([user, 0, 0]))), "bad_frame"],
  ["a cursor without its read mark", syncWith(`[["${conversation}",0]]`), "bad_frame"],
  ["cursors by name", syncWith(`{"${conversation}":0}`), "bad_frame"],
];

const numbers: Case[] = [
  ["NaN", ackWith("NaN"), "bad_frame"],
  ["1e400", ackWith("1e400"), "bad_frame"],
  ["2^53", ackWith("9007199254740992"), "bad_frame"],
  ["2^53 + 1", ackWith("9007199254740993"), "bad_frame"],
  ["a fraction", ackWith("1.5"), "bad_frame"],
  ["a negative one", ackWith("-1"), "bad_frame"],
  ["0 for a place", ackWith("0"), "bad_frame"],
  ["digits as text", ackWith('"1"'), "bad_frame"],
  ["a boolean", ackWith("true"), "bad_frame"],
  ["a negative cursor", syncFrom("-1"), "bad_frame"],
  ["a cursor of 2^53", syncFrom("9007199254740992"), "bad_frame"],
  ["a cursor of 1e400", syncFrom("1e400"), "bad_frame"],
  ["request 0, which is the server's own", syncWith("[]", "0"), "bad_frame"],
];

const depths: Case[] = [
  ["60,000 brackets", deep("[", "]"), "bad_frame"],
  ["30,000 brackets left open", "[".repeat(30_000), "bad_frame"],
  ["10,000 objects", `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`, "bad_frame"],
  ["brackets for a place", ackWith(deep("[", "]")), "bad_frame"],
  ["brackets for cursors", syncWith(deep("[", "]")), "bad_frame"],
  ["brackets for a type", `{"type":${deep("[", "]")}}`, "bad_frame"],
];

function codeOf(decode: () => unknown): ErrorCode {
  try {
    decode();
  } catch (error) {
    // Whatever else is thrown takes the person's object with it.
    if (error instanceof Refusal) return error.code;
    throw error;
  }
  throw new Error("was taken");
}

describe("what a device may send is refused with a code and nothing else", () => {
  describe.each([
    ["size", sizes],
    ["framing", framing],
    ["encoding", encodings],
    ["shape", shapes],
    ["number", numbers],
    ["depth", depths],
  ])("%s", (_, cases) => {
    it.each(cases)("%s", (_title, wire, code) => {
      expect(codeOf(() => decodeUp(wire))).toBe(code);
    });
  });

  it("leaves an empty body to the one who knows the frame", () => {
    expect(decodeUp(framed(sendHeader, nothing)).body.byteLength).toBe(0);
  });

  it("takes nothing from a prototype into a frame, nor puts anything there", () => {
    const { frame } = decodeUp(`{"__proto__":{"isAdmin":true},"constructor":1,${ackWith("1").slice(1)}`);
    expect(Object.keys(frame).sort()).toEqual(["conversation", "seq", "type"]);
    expect(Object.getPrototypeOf(frame)).toBe(Object.prototype);
    expect(({} as { isAdmin?: boolean }).isAdmin).toBeUndefined();
  });

  it("R11 tells nothing of what was sent", () => {
    const secret = "what a person wrote";
    for (const wire of [secret, `{"type":"${secret}"}`, `{"type":"hello","client":["${secret}"]}`]) {
      try {
        decodeUp(wire);
      } catch (error) {
        expect(JSON.stringify([error, (error as Error).message])).not.toContain(secret);
      }
    }
    expect.assertions(3);
  });
});

describe("what a server may send", () => {
  it.each<Case>([
    ["an unknown type, for a later version may have more", '{"type":"later","seq":1}', "unknown_type"],
    ["a type of the other direction", '{"type":"hello","client":""}', "unknown_type"],
    ["an unknown error code", '{"type":"error","code":"later","retry":"never"}', "bad_frame"],
    ["an unknown advice", '{"type":"bye","code":"busy","retry":"soon"}', "bad_frame"],
    ["advice of 0 ms", '{"type":"bye","code":"busy","retry":0}', "bad_frame"],
    ["a message as text", JSON.stringify({ type: "message", conversation, ...meta }), "bad_frame"],
    ["a receipt as bytes", framed(headerOf(JSON.stringify(down.receipt[0]!.frame))), "bad_frame"],
    ["a truncated frame", bytes(0, 0, 1), "bad_frame"],
  ])("is refused: %s", (_, wire, code) => {
    expect(codeOf(() => decodeDown(wire))).toBe(code);
  });

  it.each([0, -1, 0.5, 2 ** 53])("is refused: a body of length %s", (length) => {
    const frame = { type: "entries", conversation, after: 6, through: 7, entries: [{ ...meta, length }] };
    expect(codeOf(() => decodeDown(framed(headerOf(JSON.stringify(frame)))))).toBe("bad_frame");
  });
});

describe("bodies that do not fit their lengths", () => {
  it.each([
    ["too long", [1, 7]],
    ["too short", [6]],
    ["none for some bytes", []],
    ["beyond every frame", [largest]],
    ["beyond what a double holds", [largest, largest, 1]],
  ])("are refused: %s", (_, lengths) => {
    expect(codeOf(() => splitBodies(lengths, raw))).toBe("bad_frame");
  });

  it("are none where there are none", () => {
    expect(splitBodies([], nothing)).toEqual([]);
  });
});
