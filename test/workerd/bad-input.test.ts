import { env, exports } from "cloudflare:workers";
import { ulid } from "ulid";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ConversationObject } from "../../durable-objects/conversation/object.ts";
import { meter } from "../../durable-objects/runtime/meter.ts";
import { UserObject } from "../../durable-objects/user/object.ts";
import { directConversation } from "../../shared/ids.ts";
import {
  CONNECT_TICKET_TTL_MS,
  FRAMES_PER_SEND,
  MAX_BODY_BYTES,
  MAX_FRAME_BYTES,
  MAX_HEADER_BYTES,
  MAX_ID_AHEAD_MS,
  MAX_OFFENCES_PER_MINUTE,
  MAX_SYNCS_PER_SOCKET,
  MAX_WAITING_SEND_BYTES_PER_USER,
  SENDS_PER_MINUTE,
  TYPING_INTERVAL_MS,
} from "../../shared/limits.ts";
import type { ErrorFrame } from "../../shared/protocol/down.ts";
import { SUBPROTOCOL, TICKET_PREFIX } from "../../shared/protocol/version.ts";
import { issueToken } from "../../workers/gateway/auth/tokens.ts";
import { commit, sealedBytes } from "../sealed.ts";
import { eventually, newDevice, newFriends, type TestDevice } from "./device.ts";
import { alarmOf, conversation, logOf, openGroup, person, tablesOf } from "./objects.ts";

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

interface Scene {
  mallory: TestDevice;
  bob: TestDevice;
  chat: string;
}

/** Mallory and Bob, connected, with one message of Bob's in their log. */
async function scene(): Promise<Scene> {
  const [mallory, bob] = await newFriends(2);
  const chat = directConversation(mallory.user, bob.user);
  await Promise.all([mallory.connect(), bob.connect()]);
  await bob.send(chat, "hello");
  await mallory.texts(1);
  return { mallory, bob, chat };
}

/** The object lives on, the socket too, and nobody has seen anything of the attack. */
async function expectUnharmed({ mallory, bob, chat }: Scene): Promise<void> {
  expect(mallory.closed).toBeUndefined();
  const before = bob.received.length;
  expect((await mallory.send(chat, "still here")).seq).toBe(2);
  expect((await bob.texts(before + 1)).at(-1)).toBe("still here");
  expect(before).toBe(0);
  expect(bob.of("receipt").filter((frame) => frame.delivered > 1 || frame.read > 1)).toEqual([]);
}

const newOwner = () => ({ user: ulid(), device: ulid() });
const idAt = (ms: number) => ulid(ms);
const bytes = (text: string) => new TextEncoder().encode(text);

/** A binary frame with any header, fitting or not. */
function binary(header: unknown, body: Uint8Array = new Uint8Array([1]), headerLength?: number): Uint8Array {
  const head = bytes(typeof header === "string" ? header : JSON.stringify(header));
  const wire = new Uint8Array(4 + head.byteLength + body.byteLength);
  new DataView(wire.buffer).setUint32(0, headerLength ?? head.byteLength);
  wire.set(head, 4);
  wire.set(body, 4 + head.byteLength);
  return wire;
}

type Answer = Partial<ErrorFrame>;
type Attack = [name: string, wires: (scene: Scene) => (string | Uint8Array)[], answer: Answer];

const badFrame: Answer = { code: "bad_frame", retry: "never" };
const frame = (fields: object) => [JSON.stringify(fields)];
const cursors = (value: unknown) => (seq: unknown) => (s: Scene) =>
  frame({ type: value, conversation: s.chat, seq: seq as number });

const malformed: Attack[] = [
  ["nothing", () => [""], badFrame],
  ["no JSON", () => ["{"], badFrame],
  ["JSON that is no object", () => ["null"], badFrame],
  ["an array", () => ["[]"], badFrame],
  ["deep JSON", () => ["[".repeat(30_000) + "]".repeat(30_000)], badFrame],
  ["an object without a type", () => ["{}"], badFrame],
  ["an unknown type", () => frame({ type: "grant", conversation: ulid() }), { code: "unknown_type", retry: "never" }],
  ["a type that every object has", () => frame({ type: "constructor" }), { code: "unknown_type" }],
  ["a type that is no text", () => frame({ type: ["ack"] }), badFrame],
  ["a frame of the server's", () => frame({ type: "welcome" }), { code: "unknown_type" }],
  ["a second hello", () => frame({ type: "hello", client: "again" }), badFrame],
  ["wrong types", (s) => frame({ type: "ack", conversation: s.chat, seq: "1" }), badFrame],
  ["missing fields", () => frame({ type: "ack", seq: 1 }), badFrame],
  ["a send as text", (s) => frame({ type: "send", id: ulid(), conversation: s.chat }), badFrame],
  ["an ack as binary", (s) => [binary({ type: "ack", conversation: s.chat, seq: 1 })], badFrame],
  ["binary without room for a length", () => [new Uint8Array([0, 0])], badFrame],
  ["a header longer than the frame", () => [binary("{}", new Uint8Array(1), 99)], badFrame],
  ["a header longer than is allowed", () => [binary("{}", new Uint8Array(1), MAX_HEADER_BYTES + 1)], badFrame],
  ["a header of 4 GiB", () => [binary("{}", new Uint8Array(1), 2 ** 32 - 1)], badFrame],
  ["a header that is no UTF-8", () => [new Uint8Array([0, 0, 0, 2, 0xff, 0xfe, 1])], badFrame],
  ["a client's name that is too long", () => frame({ type: "hello", client: "x".repeat(65) }), badFrame],
  ["more cursors than a frame may hold", (s) => sync({ cursors: Array(501).fill([s.chat, 0, 0]) }), badFrame],
];

function sync(fields: object): string[] {
  return frame({ type: "sync", request: 7, cursors: [], scope: "listed", more: false, ...fields });
}

const outOfRange = [-1, 0.5, 2 ** 53, 1e308, null, "1", [], {}, true].map(
  (value): Attack => [
    `acks, reads, cursors and request numbers at ${JSON.stringify(value)}`,
    (s) => [
      ...cursors("ack")(value)(s),
      ...cursors("read")(value)(s),
      ...sync({ cursors: [[s.chat, value, 0]] }),
      ...sync({ cursors: [[s.chat, 0, value]] }),
      ...sync({ request: value }),
    ],
    badFrame,
  ],
);
const notJson: Attack[] = ["NaN", "Infinity", "-0x1", "1e999"].map((value) => [
  `an ack at ${value}`,
  (s) => [`{"type":"ack","conversation":"${s.chat}","seq":${value}}`],
  badFrame,
]);

const aboveHead: Attack[] = [2, 1_000, Number.MAX_SAFE_INTEGER].flatMap((seq): Attack[] => [
  [`R5 an ack at ${seq}, above the head`, cursors("ack")(seq), { code: "seq_unknown", retry: "never" }],
  [`R5 a read at ${seq}, above the head`, cursors("read")(seq), { code: "seq_unknown", retry: "never" }],
  [
    `R5 a cursor at ${seq}, above the head`,
    (s) => sync({ cursors: [[s.chat, seq, seq]] }),
    { code: "seq_unknown", request: 7 },
  ],
]);

const badIds = ["", "x", "0".repeat(25), "8".repeat(26), "I".repeat(26), `${ulid()} `, `${ulid()}\n`, "' OR 1=1 --"];
const identifiers: Attack[] = [
  ...badIds.map(
    (id): Attack => [
      `identifiers ${JSON.stringify(id)}`,
      (s) => [...send({ id, conversation: s.chat }), ...send({ id: ulid(), conversation: id })],
      badFrame,
    ],
  ),
  ["a lower-case message id", (s) => send({ id: ulid().toLowerCase(), conversation: s.chat }), badFrame],
  ["a lower-case conversation id", (s) => send({ id: ulid(), conversation: s.chat.toLowerCase() }), badFrame],
  [
    "a direct conversation written the other way round",
    (s) => send({ id: ulid(), conversation: s.chat.split(".").reverse().join(".") }),
    badFrame,
  ],
  ["a conversation of three", (s) => send({ id: ulid(), conversation: `${s.chat}.${ulid()}` }), badFrame],
  [
    "an id from 31 s ahead",
    (s) => send({ id: idAt(Date.now() + MAX_ID_AHEAD_MS + 1_000), conversation: s.chat }),
    { code: "id_from_future", retry: "never" },
  ],
  [
    "an id from the end of time",
    (s) => send({ id: "7".padEnd(26, "Z"), conversation: s.chat }),
    { code: "id_from_future", retry: "never" },
  ],
];

function send(header: object, body?: Uint8Array): Uint8Array[] {
  return [binary({ type: "send", ...header }, body)];
}

const bodies: Attack[] = [
  ["an empty body", (s) => send({ id: ulid(), conversation: s.chat }, new Uint8Array(0)), badFrame],
  [
    "a body above the limit",
    (s) => send({ id: ulid(), conversation: s.chat }, new Uint8Array(MAX_BODY_BYTES + 1)),
    { code: "too_large", retry: "never" },
  ],
];

/** What is no part of one: two strangers' conversation, a group that does not exist. */
const foreign: [string, () => string][] = [
  ["two strangers' conversation", () => directConversation(ulid(), ulid())],
  ["a group that does not exist", () => ulid()],
];
const forged: Attack[] = foreign.flatMap(([name, place]): Attack[] => [
  [`R6 a send into ${name}`, () => send({ id: ulid(), conversation: place() }), { code: "not_found", retry: "never" }],
  [`R6 an ack in ${name}`, () => frame({ type: "ack", conversation: place(), seq: 1 }), { code: "not_found" }],
  [`R6 a read in ${name}`, () => frame({ type: "read", conversation: place(), seq: 1 }), { code: "not_found" }],
  [`R6 a sync of ${name}`, () => sync({ cursors: [[place(), 0, 0]] }), { code: "not_found", request: 7 }],
]);

const injections: Attack[] = [
  ["SQL for a conversation", () => send({ id: ulid(), conversation: "1'; DROP TABLE device; --" }), badFrame],
  ["SQL for a position", (s) => sync({ cursors: [[s.chat, "0; DROP TABLE state", 0]] }), badFrame],
  ["a prototype", () => ['{"type":"ack","__proto__":{"conversation":"x","seq":1}}'], badFrame],
  ["a constructor", () => ['{"type":"ack","constructor":{"prototype":{"seq":1}}}'], badFrame],
];

describe("a bad frame is answered with its code, harms nothing, and a message still goes through", () => {
  it.each([...malformed, ...outOfRange, ...notJson, ...aboveHead, ...identifiers, ...bodies, ...forged, ...injections])(
    "%s",
    async (_, wiresOf, answer) => {
      const s = await scene();
      const wires = wiresOf(s);
      for (const wire of wires) s.mallory.raw(wire);
      await eventually(() => expect(s.mallory.of("error")).toHaveLength(wires.length));
      for (const error of s.mallory.of("error")) expect(error).toMatchObject(answer);
      await expectUnharmed(s);
      expect(s.mallory.of("error")).toHaveLength(wires.length);
      expect(s.mallory.of("entries")).toEqual([]);
    },
  );

  it("pollutes no prototype", async () => {
    const s = await scene();
    s.mallory.raw('{"type":"typing","conversation":"x","__proto__":{"polluted":true}}');
    s.mallory.raw('{"type":"__proto__","constructor":{"prototype":{"polluted":true}}}');
    await expectUnharmed(s);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it("R11 says nothing of what was sent", async () => {
    const s = await scene();
    for (const wire of ["a secret word", '{"type":"a secret word"}', '{"type":"ack","conversation":"a secret word"}']) {
      s.mallory.raw(wire);
    }
    await eventually(() => expect(s.mallory.of("error")).toHaveLength(3));
    expect(JSON.stringify(s.mallory.frames)).not.toContain("secret");
  });
});

describe("before hello", () => {
  const frames: [string, (chat: string) => string | Uint8Array][] = [
    ["send", (chat) => send({ id: ulid(), conversation: chat })[0]!],
    ["ack", (chat) => frame({ type: "ack", conversation: chat, seq: 1 })[0]!],
    ["sync", () => sync({})[0]!],
    ["typing", (chat) => frame({ type: "typing", conversation: chat })[0]!],
  ];
  it.each(frames)("%s is too early", async (_, wire) => {
    const device = await newDevice();
    await device.open();
    device.raw(wire(directConversation(device.user, device.user)));
    expect(await device.next("error")).toMatchObject({ code: "too_early", retry: "now" });
    device.up({ type: "hello", client: "test" });
    await device.next("welcome");
    expect(device.closed).toBeUndefined();
  });
});

describe("R6 what is not mine looks like what does not exist", () => {
  it.each(["send", "ack", "read", "sync", "typing"])("%s", async (type) => {
    const [eve, alice, bob] = await newFriends(3);
    const [chat, group] = [directConversation(alice.user, bob.user), ulid()];
    await openGroup(group, [alice.user, bob.user]);
    await Promise.all([eve.connect(), alice.connect()]);
    await alice.send(chat, "private");
    await alice.send(group, "private");
    const absent = [directConversation(ulid(), ulid()), ulid()];
    const answers: unknown[] = [];
    for (const place of [chat, group, ...absent]) {
      eve.frames.length = 0;
      if (type === "send") eve.up({ type, id: ulid(), conversation: place }, bytes("hello"));
      else if (type === "sync") eve.up({ type, request: 3, cursors: [[place, 0, 0]], scope: "listed", more: false });
      else if (type === "typing") eve.up({ type, conversation: place });
      else eve.up({ type: type as "ack", conversation: place, seq: 1 });
      await eve.settled();
      if (type !== "typing") await eve.next("error");
      answers.push(eve.of("error").map(({ conversation: _, id: __, ...error }) => error));
    }
    expect(answers[0]).toEqual(answers[2]);
    expect(answers[1]).toEqual(answers[3]);
    expect(eve.received).toEqual([]);
    expect(await logOf(conversation(chat))).toHaveLength(1);
    expect(await logOf(conversation(group))).toHaveLength(1);
    await alice.settled();
    expect(alice.of("typing")).toEqual([]);
    expect(alice.of("receipt")).toEqual([]);
  });

  it("and neither leaves anything in storage: a stranger's probe, a message to nobody", async () => {
    const eve = await (await newDevice()).connect();
    const [nobody, group] = [ulid(), ulid()];
    const chat = directConversation(eve.user, nobody);
    const before = meter.rowsWritten;
    for (const place of [chat, group]) {
      await expect(eve.send(place, "hello")).rejects.toThrow("not_found");
      eve.ack(place, 1);
      eve.up({ type: "sync", request: 5, cursors: [[place, 0, 0]], scope: "listed", more: false });
      eve.up({ type: "typing", conversation: place });
    }
    await eve.settled();
    expect(meter.rowsWritten).toBe(before);
    for (const stub of [conversation(chat), conversation(group), person(nobody)]) {
      expect(await tablesOf(stub)).toEqual([]);
      expect(await alarmOf(stub)).toBeNull();
    }
  });
});

describe("what a frame claims of its sender", () => {
  it("R6 user, device, seq and time are the socket's and the server's", async () => {
    const s = await scene();
    const victim = await newDevice();
    const claims = {
      user: victim.user,
      device: victim.device,
      seq: 99,
      at: 1,
      watermark: { read: 99 },
      requestId: "x",
    };
    s.mallory.raw(send({ id: s.mallory.newId(), conversation: s.chat, ...claims }, sealedBytes(s.chat, 1, "hi"))[0]!);
    await s.bob.texts(1);
    expect(s.bob.of("message")).toMatchObject([{ seq: 2, user: s.mallory.user, device: s.mallory.device }]);
    expect(s.bob.of("message")[0]!.at).toBeGreaterThan(1_000);
    s.mallory.raw(frame({ type: "ack", conversation: s.chat, seq: 1, ...{ user: s.bob.user } })[0]!);
    await s.bob.next("receipt");
    expect(s.bob.of("receipt")).toMatchObject([{ user: s.mallory.user, delivered: 1 }]);
  });
});

describe("message ids", () => {
  it("R3 29 s ahead of the clock is taken", async () => {
    const { mallory, chat } = await scene();
    expect((await mallory.send(chat, "early", idAt(Date.now() + MAX_ID_AHEAD_MS - 1_000))).seq).toBe(2);
  });

  it("R3 written long ago, offline, is taken", async () => {
    const { mallory, chat } = await scene();
    expect((await mallory.send(chat, "old", idAt(Date.now() - 10 * 24 * 3_600_000))).seq).toBe(2);
    expect((await mallory.send(chat, "oldest", idAt(0))).seq).toBe(3);
  });

  it("R3 again with other bytes is a conflict, with the same bytes the same place", async () => {
    const { mallory, bob, chat } = await scene();
    const { id } = await mallory.send(chat, "one");
    await mallory.send(chat, "two");
    mallory.frames.length = 0;
    await expect(mallory.send(chat, "other", id)).rejects.toThrow("id_conflict");
    mallory.frames.length = 0;
    expect((await mallory.send(chat, "one", id)).seq).toBe(2);
    await bob.texts(2);
    await bob.settled();
    expect(bob.received.map((message) => message.text)).toEqual(["one", "two"]);
  });

  it("R3 of another's device are not taken for a repeat", async () => {
    const { mallory, bob, chat } = await scene();
    const { id } = await bob.send(chat, "mine");
    expect((await mallory.send(chat, "theirs", id)).seq).toBe(3);
  });
});

/** Thousands of frames take their time on a busy machine. */
const LONG = { timeout: 30_000 };

describe("floods", () => {
  it("a frame of 64 KiB is read, one byte more closes the socket with 1009", async () => {
    const { mallory } = await scene();
    mallory.raw("x".repeat(MAX_FRAME_BYTES));
    expect(await mallory.next("error")).toMatchObject({ code: "bad_frame" });
    mallory.raw("x".repeat(MAX_FRAME_BYTES + 1));
    await eventually(() => expect(mallory.closed).toEqual({ code: 1009, reason: "too_large" }));
    await mallory.connect();
    mallory.raw(new Uint8Array(MAX_FRAME_BYTES + 1));
    await eventually(() => expect(mallory.closed).toEqual({ code: 1009, reason: "too_large" }));
    expect(mallory.of("bye").map((bye) => bye.code)).toEqual(["too_large", "too_large"]);
  });

  const offences: [string, (s: Scene) => string][] = [
    ["bad frames", () => "{"],
    ["frames of unknown types", () => '{"type":"grant"}'],
    ["acks where one has no part", () => frame({ type: "ack", conversation: ulid(), seq: 1 })[0]!],
    ["acks above the head", (s) => frame({ type: "ack", conversation: s.chat, seq: 999 })[0]!],
    ["syncs of what one has no part in", () => sync({ cursors: [[ulid(), 0, 0]] })[0]!],
    [
      "typing where one has no part",
      () => frame({ type: "typing", conversation: directConversation(ulid(), ulid()) })[0]!,
    ],
  ];
  it.each(offences)("of %s end with 1008, and the person may come back", async (_, wire) => {
    const s = await scene();
    for (let count = 0; count <= MAX_OFFENCES_PER_MINUTE; count++) {
      s.mallory.raw(wire(s));
      await eventually(() => expect(s.mallory.of("error").length + s.mallory.of("bye").length).toBeGreaterThan(count));
    }
    await eventually(() => expect(s.mallory.closed).toEqual({ code: 1008, reason: "flooding" }));
    expect(s.mallory.of("bye")).toEqual([{ type: "bye", code: "flooding", retry: 30_000 }]);
    expect(s.mallory.of("error")).toHaveLength(MAX_OFFENCES_PER_MINUTE);
    await s.mallory.connect();
    await expectUnharmed(s);
  });

  it("of valid frames end with 1008 too: each of them may cause a call or a page of the log", LONG, async () => {
    const s = await scene();
    for (let count = 0; count < FRAMES_PER_SEND * SENDS_PER_MINUTE; count++) {
      for (const wire of frame({ type: "typing", conversation: s.chat })) s.mallory.raw(wire);
    }
    const isClosed = () => expect(s.mallory.closed).toEqual({ code: 1008, reason: "flooding" });
    await vi.waitFor(isClosed, { timeout: LONG.timeout });
    vi.setSystemTime(Date.now() + 61_000);
    await s.mallory.connect();
    await expectUnharmed(s);
  });

  it("the count of bad frames begins anew every minute", async () => {
    const s = await scene();
    const start = Date.now();
    for (const minute of [0, 1, 2]) {
      vi.setSystemTime(start + minute * 61_000);
      for (let count = 0; count < MAX_OFFENCES_PER_MINUTE - 1; count++) s.mallory.raw("{");
      await s.mallory.settled();
    }
    expect(s.mallory.closed).toBeUndefined();
    expect(s.mallory.of("error")).toHaveLength(3 * (MAX_OFFENCES_PER_MINUTE - 1));
  });

  it("R2 sends above the rate are refused with a time to wait, and go through after it, in order", async () => {
    const s = await scene();
    vi.setSystemTime(Date.now());
    const ids = Array.from({ length: SENDS_PER_MINUTE + 20 }, () => s.mallory.newId());
    const sendFrom = (index: number) => {
      for (const id of ids.slice(index))
        s.mallory.up({ type: "send", id, conversation: s.chat }, sealedBytes(s.chat, 1, id));
    };
    sendFrom(0);
    await s.mallory.settled();
    const refused = s.mallory.of("error");
    expect(refused.map((error) => error.id)).toEqual(ids.slice(SENDS_PER_MINUTE));
    expect(refused[0]).toMatchObject({ code: "rate_limited", retry: 1_000, conversation: s.chat });
    expect(refused.every((error) => error.retry !== "never")).toBe(true);
    vi.setSystemTime(Date.now() + 60_000);
    sendFrom(SENDS_PER_MINUTE);
    await s.bob.texts(ids.length);
    expect(s.bob.received.map((message) => message.id)).toEqual(ids);
    expect(s.mallory.closed).toBeUndefined();
  });

  it("one budget serves all devices of a person", async () => {
    const s = await scene();
    const tablet = await newDevice(s.mallory.user);
    tablet.acksAtOnce = true;
    await tablet.connect();
    await tablet.sync("all");
    vi.setSystemTime(Date.now());
    for (let count = 0; count < SENDS_PER_MINUTE; count++) {
      s.mallory.up({ type: "send", id: s.mallory.newId(), conversation: s.chat }, sealedBytes(s.chat, 1, "x"));
    }
    await s.mallory.settled();
    await expect(tablet.send(s.chat, "one more")).rejects.toThrow("rate_limited");
    await tablet.leave();
    await tablet.connect();
    await expect(tablet.send(s.chat, "after reconnecting")).rejects.toThrow("rate_limited");
  });

  it("what waits for a slow conversation is bounded: then busy, and all goes through afterwards", async () => {
    const s = await scene();
    const answered = Promise.withResolvers<void>();
    const { append } = ConversationObject.prototype;
    const slow = vi.spyOn(ConversationObject.prototype, "append").mockImplementation(async function (
      this: ConversationObject,
      call,
    ) {
      await answered.promise;
      return append.call(this, call);
    });
    const framing = sealedBytes(s.chat, 1, "").byteLength;
    const body = sealedBytes(s.chat, 1, new Uint8Array(MAX_BODY_BYTES - framing));
    const fitting = Math.ceil(MAX_WAITING_SEND_BYTES_PER_USER / MAX_BODY_BYTES);
    const ids = Array.from({ length: fitting + 5 }, () => s.mallory.newId());
    for (const id of ids) s.mallory.up({ type: "send", id, conversation: s.chat }, body);
    await s.mallory.settled();
    expect(s.mallory.of("error").map((error) => [error.id, error.code])).toEqual(
      ids.slice(fitting).map((id) => [id, "busy"]),
    );
    answered.resolve();
    await eventually(() => expect(s.bob.received).toHaveLength(fitting));
    slow.mockRestore();
    for (const id of ids.slice(fitting)) s.mallory.up({ type: "send", id, conversation: s.chat }, body);
    await eventually(() => expect(s.bob.received.map((message) => message.id)).toEqual(ids));
  });

  it("syncs beyond what one socket may have under way are refused as busy", async () => {
    const s = await scene();
    const answered = Promise.withResolvers<void>();
    const { readLog } = ConversationObject.prototype;
    vi.spyOn(ConversationObject.prototype, "readLog").mockImplementation(async function (
      this: ConversationObject,
      call,
    ) {
      await answered.promise;
      return readLog.call(this, call);
    });
    const requests = Array.from({ length: MAX_SYNCS_PER_SOCKET + 4 }, (_, index) => 100 + index);
    for (const request of requests) s.mallory.raw(sync({ request, cursors: [[s.chat, 0, 0]] })[0]!);
    const refused = requests.slice(MAX_SYNCS_PER_SOCKET);
    await eventually(() => expect(s.mallory.of("error").map((error) => error.request)).toEqual(refused));
    expect(s.mallory.of("error")[0]).toMatchObject({ code: "busy", retry: expect.any(Number) });
    answered.resolve();
    await eventually(() =>
      expect(
        s.mallory
          .of("drained")
          .map((d) => d.request)
          .filter((r) => r > 0),
      ).toHaveLength(16),
    );
    s.mallory.ack(s.chat, 1);
    await expectUnharmed(s);
  });

  it("typing is passed on at most every few seconds", async () => {
    const s = await scene();
    vi.setSystemTime(Date.now());
    const notify = vi.spyOn(UserObject.prototype, "notifyTyping");
    for (let count = 0; count < 50; count++) s.mallory.up({ type: "typing", conversation: s.chat });
    await s.mallory.settled();
    await s.bob.next("typing");
    expect(notify).toHaveBeenCalledTimes(1);
    vi.setSystemTime(Date.now() + TYPING_INTERVAL_MS);
    s.mallory.up({ type: "typing", conversation: s.chat });
    await eventually(() => expect(s.bob.of("typing")).toHaveLength(2));
    expect(s.bob.of("typing")[0]).toEqual({ type: "typing", conversation: s.chat, user: s.mallory.user });
  });
});

describe("a call between objects with malformed arguments is rejected, and the object works on", () => {
  type Call = (s: Scene) => Promise<unknown>;
  const nothing = { delivered: 0, read: 0, kept: 0 };
  const rpc = (stub: object) => stub as Record<string, (args?: unknown) => Promise<unknown>>;
  const message = () => ({ id: ulid(), device: ulid(), body: new Uint8Array([1]) });
  const onConversation: Record<string, Record<string, (s: Scene) => unknown>> = {
    append: {
      nothing: () => undefined,
      "no messages": (s) => ({ user: s.mallory.user, messages: [], watermark: nothing, requestId: "r" }),
      "too many messages": (s) => ({
        user: s.mallory.user,
        messages: Array.from({ length: 65 }, message),
        watermark: nothing,
        requestId: "r",
      }),
      "an empty body": (s) => ({
        user: s.mallory.user,
        messages: [{ ...message(), body: new Uint8Array(0) }],
        watermark: nothing,
        requestId: "r",
      }),
      "a body that is text": (s) => ({
        user: s.mallory.user,
        messages: [{ ...message(), body: "x" }],
        watermark: nothing,
        requestId: "r",
      }),
      "a negative watermark": (s) => ({
        user: s.mallory.user,
        messages: [message()],
        watermark: { ...nothing, read: -1 },
        requestId: "r",
      }),
    },
    readLog: {
      "a cursor NaN": (s) => ({
        user: s.bob.user,
        epoch: 1,
        after: Number.NaN,
        watermark: nothing,
        notify: false,
        requestId: "r",
      }),
      "a user that is SQL": () => ({
        user: "' OR 1=1",
        epoch: 1,
        after: 0,
        watermark: nothing,
        notify: false,
        requestId: "r",
      }),
    },
    putWatermark: { nothing: () => null, "a text": () => "x" },
    signalTyping: { "no user": () => ({ requestId: "r" }) },
    submitCommit: {
      nothing: () => undefined,
      "a leaf that is none": (s) => commit(s.chat, s.mallory, { id: ulid(), epoch: 1, leaf: -1 }),
      "more adds than may be": (s) =>
        commit(s.chat, s.mallory, { id: ulid(), epoch: 1, leaf: 0, adds: Array(65).fill({ ...newOwner() }) }),
      "more removes than may be": (s) =>
        commit(s.chat, s.mallory, { id: ulid(), epoch: 1, leaf: 0, removes: Array(1_025).fill(1) }),
      "a tree that is a number": (s) =>
        commit(s.chat, s.mallory, { id: ulid(), epoch: 1, leaf: 0, tree: 1 as unknown as string }),
    },
    readGroup: { "no user": () => ({}) },
    readEpoch: { "a place that is none": (s) => ({ user: s.mallory.user, seq: 0 }) },
  };
  const onPerson: Record<string, Record<string, (s: Scene) => unknown>> = {
    deliver: {
      nothing: () => undefined,
      "no entries": (s) => ({ conversation: s.chat, entries: [], requestId: "r" }),
      "entries without places": (s) => ({ conversation: s.chat, entries: [{ ...message(), seq: 0 }], requestId: "r" }),
    },
    notifyReceipt: { "a fraction": (s) => ({ conversation: s.chat, delivered: 0.5, read: 0, requestId: "r" }) },
    notifyTyping: { "no user": (s) => ({ conversation: s.chat }) },
    askWatermark: { nothing: () => ({}) },
    registerDevice: { "a long name": () => ({ device: ulid(), name: "x".repeat(65), requestId: "r" }) },
    revokeDevice: { "no device": () => ({ device: "*", requestId: "r" }) },
  };
  const cases = [
    ...Object.entries(onConversation).flatMap(([method, bad]) =>
      Object.entries(bad).map(([name, args]): [string, Call] => [
        `${method} with ${name}`,
        (s) => Promise.resolve(rpc(conversation(s.chat))[method]?.(args(s))),
      ]),
    ),
    ...Object.entries(onPerson).flatMap(([method, bad]) =>
      Object.entries(bad).map(([name, args]): [string, Call] => [
        `${method} with ${name}`,
        (s) => Promise.resolve(rpc(s.mallory.stub)[method]?.(args(s))),
      ]),
    ),
  ];
  it.each(cases)("%s", async (_, call) => {
    const s = await scene();
    await expect(call(s)).rejects.toThrow(/^(?:Error: )?bad_frame$/);
    await expectUnharmed(s);
  });

  it.each([
    ["without the gateway's header", {}],
    ["with a header that is no JSON", { "sandpiper-connect": "{" }],
    ["with a header of other fields", { "sandpiper-connect": "{}" }],
  ])("an upgrade %s", async (_, headers: Record<string, string>) => {
    const s = await scene();
    const status = await s.mallory.stub
      .fetch("https://user/connect", { headers: { upgrade: "websocket", ...headers } })
      .then((response) => response.status)
      .catch((error: Error) => error.message);
    expect([426, "bad_frame"]).toContain(status);
    await expectUnharmed(s);
  });
});

describe("through the gateway", () => {
  const fetchGateway = (path: string, init: RequestInit = {}) =>
    exports.default.fetch(new Request(`http://127.0.0.1${path}`, init));

  const connectWith = (ticket: string, path = "/v1/connect") =>
    fetchGateway(path, {
      headers: { upgrade: "websocket", "sec-websocket-protocol": `${SUBPROTOCOL}, ${TICKET_PREFIX}${ticket}` },
    });

  const ticketFor = async ({ user, device, family }: Pick<TestDevice, "user" | "device" | "family">) =>
    (await issueToken(env.TOKEN_KEYS, "ticket", { sub: user, device, family })).token;

  async function expectRefused(response: Response, status: number, code: string): Promise<void> {
    expect(response.webSocket).toBeFalsy();
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ status, code });
  }

  it("R6 a revoked device's fresh ticket opens nothing", async () => {
    const device = await newDevice();
    await device.stub.revokeDevice({ device: device.device, requestId: "r" });
    await expectRefused(await connectWith(await ticketFor(device)), 401, "revoked");
  });

  it("a ticket opens one socket, and not a second one when both come at once", async () => {
    const device = await newDevice();
    const ticket = await ticketFor(device);
    const both = await Promise.all([connectWith(ticket), connectWith(ticket)]);
    expect(both.map((response) => response.status).toSorted()).toEqual([101, 401]);
    await expectRefused(await connectWith(ticket), 401, "unauthenticated");
    const opened = both.find((response) => response.webSocket)!;
    opened.webSocket!.accept();
    opened.webSocket!.close();
  });

  it("a ticket is used up even after another one was used", async () => {
    const device = await newDevice();
    const [first, second] = [await ticketFor(device), await ticketFor(device)];
    for (const ticket of [first, second]) {
      const { webSocket } = await connectWith(ticket);
      webSocket!.accept();
    }
    await expectRefused(await connectWith(first), 401, "unauthenticated");
  });

  it("an expired ticket opens nothing", async () => {
    const ticket = await ticketFor(await newDevice());
    vi.setSystemTime(Date.now() + CONNECT_TICKET_TTL_MS + 1_000);
    await expectRefused(await connectWith(ticket), 401, "unauthenticated");
  });

  it("R6 a ticket for another person's device opens nothing", async () => {
    const [alice, bob] = await newFriends(2);
    const response = await connectWith(await ticketFor({ ...bob, user: alice.user }));
    expect(response.status).toBe(401);
  });

  it("R11 a ticket in the URL opens nothing", async () => {
    const device = await newDevice();
    const ticket = await ticketFor(device);
    for (const path of [`/v1/connect?ticket=${ticket}`, `/v1/connect?x=${ticket}`, `/v1/connect/${ticket}`]) {
      const response = await connectWith(ticket, path);
      expect(response.webSocket).toBeFalsy();
      expect(response.status).toBe(400);
    }
    const { webSocket } = await connectWith(ticket);
    expect(webSocket).toBeTruthy();
    webSocket!.accept();
  });
});
