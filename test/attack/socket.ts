import assert from "node:assert/strict";
import { ulid } from "ulid";
import { closeCodes, type ErrorCode } from "../../shared/errors.ts";
import { directConversation } from "../../shared/ids.ts";
import {
  MAX_BODY_BYTES,
  MAX_CLIENT_NAME_CHARS,
  MAX_CURSORS_PER_FRAME,
  MAX_FRAME_BYTES,
  MAX_HEADER_BYTES,
  MAX_ID_AHEAD_MS,
  MAX_MESSAGES_PER_FRAME,
  MAX_OFFENCES_PER_MINUTE,
  MAX_UNACKED_PER_CONVERSATION,
} from "../../shared/limits.ts";
import { CONNECT_HEADER } from "../../shared/rpc.ts";
import { sealedBytes } from "../sealed.ts";
import { cases } from "./case.ts";
import { FIRST_EPOCH } from "./groups.ts";
import { expectRefusal } from "./http.ts";
import { Line } from "./line.ts";
import type { Account, World } from "./world.ts";

/** Messages under way at once. */
const AT_A_TIME = 50;

type Wire = string | Uint8Array;

interface Scene {
  readonly mallory: Line;
  readonly bob: Line;
  readonly chat: string;
}

/** Two who know each other, connected, with one message in their log. */
async function scene(world: World): Promise<Scene> {
  const [one, other] = await world.friends();
  const [mallory, bob] = [await world.connect(one), await world.connect(other)];
  const chat = directConversation(one.user, other.user);
  assert.equal(await bob.send(chat, "hello"), 2);
  await mallory.text("hello");
  return { mallory, bob, chat };
}

/** Each is answered with this code, and then a message still goes through. */
async function expectAnswered(
  world: World,
  code: ErrorCode,
  wiresOf: (chat: string) => readonly Wire[],
): Promise<void> {
  const { mallory, bob, chat } = await scene(world);
  const wires = wiresOf(chat);
  assert.ok(wires.length < MAX_OFFENCES_PER_MINUTE, "so many would be a flood");
  for (const [index, wire] of wires.entries()) {
    mallory.raw(wire);
    await mallory.ping();
    const { code: got } = await mallory.until(`an answer to ${show(wire)}`, () => mallory.of("error")[index]);
    assert.equal(got, code, show(wire));
  }
  assert.equal(await mallory.send(chat, "still here"), 3);
  await bob.text("still here");
  assert.equal(mallory.of("error").length, wires.length);
  assert.deepEqual(
    bob.received.map(({ text }) => text),
    ["still here"],
  );
  assert.ok(
    bob.of("receipt").every(({ delivered, read }) => delivered <= 2 && read <= 2),
    "a receipt from nowhere",
  );
  await Promise.all([mallory.close(), bob.close()]);
}

function show(wire: Wire): string {
  return Buffer.from(wire).toString("latin1").slice(0, 120);
}

function json(fields: object): string {
  return JSON.stringify(fields);
}

function sync(fields: object): string {
  return json({ type: "sync", request: 7, cursors: [], scope: "listed", more: false, ...fields });
}

/** A binary frame with any header, fitting or not. */
function binary(header: unknown, body: Uint8Array = new Uint8Array([1]), headerLength?: number): Uint8Array {
  const head = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(headerLength ?? head.byteLength);
  return Buffer.concat([length, head, body]);
}

function send(fields: object, body?: Uint8Array): Uint8Array {
  return binary({ type: "send", id: ulid(), ...fields }, body);
}

const opening = cases("Socket", {
  "pages of foreign origins, and of none that can be told, are refused with 403": async (world) => {
    const ticket = await world.ticket(await world.signUp());
    const own = world.http.url;
    // Another scheme or case of our own host is not tried: the tool that runs the system rewrites it to our own.
    const origins = ["https://evil.example", "null", `${own}.evil.example`, `${own}/`, `${own} https://evil.example`];
    for (const origin of [...origins, "file://", "http://127.0.0.1", "http://127.0.0.1:1"]) {
      const answer = await world.upgrade(ticket, { headers: { origin } });
      assert.ok(!(answer instanceof Line), `the origin "${origin}" may open a socket`);
      expectRefusal(answer, 403, "forbidden_origin", `the origin "${origin}"`);
    }
    const line = await world.upgrade(ticket, { headers: { origin: own } });
    assert.ok(line instanceof Line, "our own page was refused");
    await line.close();
  },

  "an upgrade with cookies and no origin is refused with 403": async (world) => {
    const ticket = await world.ticket(await world.signUp());
    expectRefusal(await world.refusedUpgrade(ticket, { headers: { cookie: "a=b" } }), 403, "forbidden_origin");
  },

  "who the socket speaks for is in the ticket, whatever headers say": async (world) => {
    const [mallory, victim] = [await world.signUp(), await world.signUp()];
    const forged = { user: victim.user, device: victim.device, ticket: ulid(), ticketExpiresAt: Date.now() + 30_000 };
    const headers = {
      [CONNECT_HEADER]: json({ ...forged, requestId: "r" }),
      "x-user-id": victim.user,
      "x-user": victim.user,
      "x-device-id": victim.device,
      "x-forwarded-user": victim.user,
    };
    const line = await world.upgrade(await world.ticket(mallory), { headers });
    assert.ok(line instanceof Line);
    const { user, device } = await line.greet();
    assert.deepEqual({ user, device }, { user: mallory.user, device: mallory.device });
    await line.close();
    expectRefusal(await world.refusedUpgrade("", { headers }), 401, "unauthenticated");
  },

  "a plain request is answered with 426": async (world) => {
    expectRefusal(await world.http.send("/v1/connect"), 426, "bad_frame");
  },

  "the same device's newer connection replaces the older one": async (world) => {
    const account = await world.signUp();
    const older = await world.connect(account);
    const newer = await world.connect(account);
    assert.equal((await older.end()).code, closeCodes.replaced);
    assert.equal(older.of("bye")[0]?.code, "replaced");
    await newer.ping();
    assert.equal(newer.closed, undefined);
    await newer.close();
  },

  "twenty connections of one device at once: one is left": async (world) => {
    const account = await world.signUp();
    const lines = await Promise.all(Array.from({ length: 20 }, () => world.open(account)));
    const open = () => lines.filter(({ isOpen }) => isOpen);
    await open()
      .at(-1)
      ?.until("the others' end", () => open().length === 1 || undefined);
    const replaced = lines.filter(({ isOpen }) => !isOpen);
    assert.ok(replaced.every((line) => line.of("bye")[0]?.code === "replaced"));
    await open()[0]?.close();
  },
});

const frames = cases("Socket", {
  "a frame over 64 KiB ends the connection with 1009": async (world) => {
    const account = await world.signUp();
    const chat = directConversation(account.user, account.user);
    const giants: Wire[] = [
      "x".repeat(MAX_FRAME_BYTES + 1),
      json({ type: "hello", client: "x".repeat(MAX_FRAME_BYTES) }),
      send({ conversation: chat }, new Uint8Array(MAX_FRAME_BYTES)),
      new Uint8Array(MAX_FRAME_BYTES + 1),
      new Uint8Array(900_000),
    ];
    for (const giant of giants) {
      const line = await world.connect(account);
      line.raw(giant);
      assert.equal((await line.end()).code, closeCodes.too_large, show(giant));
      assert.deepEqual(line.received, []);
    }
    const line = await world.connect(account);
    assert.equal(await line.send(chat, "still here"), 2);
    await line.close();
  },

  "a frame of exactly 64 KiB, and a body of exactly what is allowed": async (world) => {
    const { mallory, chat } = await scene(world);
    const padding = MAX_FRAME_BYTES - json({ type: "typing", conversation: chat, padding: "" }).length;
    mallory.raw(json({ type: "typing", conversation: chat, padding: "x".repeat(padding) }));
    const id = mallory.newId();
    const framing = sealedBytes(chat, FIRST_EPOCH, "").byteLength;
    const body = sealedBytes(chat, FIRST_EPOCH, new Uint8Array(MAX_BODY_BYTES - framing));
    assert.equal(body.byteLength, MAX_BODY_BYTES);
    mallory.raw(send({ id, conversation: chat }, body));
    await mallory.next("sent", ({ messages }) => messages.some((message) => message.id === id));
    assert.deepEqual(mallory.of("error"), []);
    await mallory.close();
  },

  "a body above what is allowed is refused with its id, and the socket lives": (world) =>
    expectAnswered(world, "too_large", (conversation) => [send({ conversation }, new Uint8Array(MAX_BODY_BYTES + 1))]),

  "a flood of nonsense ends the connection with 1008": async (world) => {
    const account = await world.signUp();
    const line = await world.connect(account);
    for (let count = 0; count < 2 * MAX_OFFENCES_PER_MINUTE; count++) line.raw("nonsense");
    assert.equal((await line.end()).code, closeCodes.flooding);
    assert.equal(line.of("bye")[0]?.code, "flooding");
    assert.ok(line.of("error").length <= MAX_OFFENCES_PER_MINUTE + 1, "it was answered for too long");
  },

  "a new connection does not forget the flood": async (world) => {
    const account = await world.signUp();
    const half = MAX_OFFENCES_PER_MINUTE / 2 + 5;
    const first = await world.connect(account);
    for (let count = 0; count < half; count++) first.raw("nonsense");
    await first.ping();
    await first.until("its answers", () => first.of("error").length >= half || undefined);
    const second = await world.connect(account);
    for (let count = 0; count < half; count++) second.raw("nonsense");
    assert.equal((await second.end()).code, closeCodes.flooding);
  },

  "before hello everything is too early": async (world) => {
    const account = await world.signUp();
    const line = await world.open(account);
    const chat = directConversation(account.user, account.user);
    const early: Wire[] = [send({ conversation: chat }), json({ type: "ack", conversation: chat, seq: 1 }), sync({})];
    for (const wire of [...early, json({ type: "typing", conversation: chat }), json({ type: "noted", alert: 1 })]) {
      line.raw(wire);
    }
    await line.until("five answers", () => line.of("error").length === 5 || undefined);
    assert.deepEqual([...new Set(line.of("error").map(({ code }) => code))], ["too_early"]);
    await line.greet();
    await line.close();
  },

  "an unknown type, also one that every object has": (world) =>
    expectAnswered(world, "unknown_type", () =>
      [
        "grant",
        "constructor",
        "toString",
        "__proto__",
        "hasOwnProperty",
        "",
        "HELLO",
        "welcome",
        "sent",
        "error",
        "bye",
      ].map((type) => `{"type":${JSON.stringify(type)}}`),
    ),

  "what is no frame at all": (world) =>
    expectAnswered(world, "bad_frame", () => [
      "",
      " ",
      "{",
      "null",
      "[]",
      '"ack"',
      "7",
      "{}",
      '{"type":7}',
      '{"type":["ack"]}',
      '{"type":null}',
      '{"type":"ack"} x',
      "\u0000",
      new Uint8Array(0),
      new Uint8Array([0, 0]),
      new Uint8Array([0, 0, 0, 0]),
      new Uint8Array([0, 0, 0, 2, 0xff, 0xfe, 1]),
      binary("{}", undefined, 99),
      binary("{}", undefined, MAX_HEADER_BYTES + 1),
      binary("{}", undefined, 2 ** 32 - 1),
    ]),

  "deep JSON, in every depth that fits": (world) =>
    expectAnswered(world, "bad_frame", (chat) => [
      "[".repeat(60_000),
      `${"[".repeat(32_000)}${"]".repeat(32_000)}`,
      `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`,
      `{"type":"ack","conversation":${"[".repeat(30_000)}${"]".repeat(30_000)},"seq":1}`,
      binary(`${'{"type":'.repeat(6_000)}1${"}".repeat(6_000)}`),
      json({ type: "sync", request: 1, cursors: [[[[[chat]]]]], scope: "listed", more: false }),
    ]),

  "prototypes and constructors in place of fields": async (world) => {
    await expectAnswered(world, "bad_frame", (chat) => [
      `{"type":"ack","__proto__":{"conversation":"${chat}","seq":1}}`,
      `{"type":"ack","constructor":{"prototype":{"conversation":"${chat}","seq":1}}}`,
      `{"type":"ack","conversation":"${chat}","__proto__":{"seq":1}}`,
      `{"__proto__":{"type":"ack","conversation":"${chat}","seq":1}}`,
    ]);
  },

  "numbers that are none: NaN, Infinity, 2^53 + 1, negative, half, text": (world) =>
    expectAnswered(world, "bad_frame", (chat) => {
      const numbers = ["NaN", "Infinity", "-1", "0.5", "9007199254740993", "1e999", "-0x1", '"1"', "null", "[1]", "{}"];
      return numbers.flatMap((number) => [
        `{"type":"ack","conversation":"${chat}","seq":${number}}`,
        `{"type":"read","conversation":"${chat}","seq":${number}}`,
        `{"type":"sync","request":3,"cursors":[["${chat}",${number},0]],"scope":"listed","more":false}`,
        `{"type":"sync","request":${number},"cursors":[],"scope":"listed","more":false}`,
        `{"type":"noted","alert":${number}}`,
      ]);
    }),

  "places that nothing has yet": (world) =>
    expectAnswered(world, "seq_unknown", (chat) =>
      [3, 1_000, Number.MAX_SAFE_INTEGER].flatMap((seq) => [
        json({ type: "ack", conversation: chat, seq }),
        json({ type: "read", conversation: chat, seq }),
        sync({ cursors: [[chat, seq, 0]] }),
      ]),
    ),

  "identifiers that are none": (world) =>
    expectAnswered(world, "bad_frame", (chat) => {
      const ids = ["", "x", "0".repeat(25), "8".repeat(26), "I".repeat(26), `${ulid()} `, `${ulid()}\n`, "' OR 1=1 --"];
      const conversations = [chat.toLowerCase(), chat.split(".").reverse().join("."), `${chat}.${ulid()}`, "../../x"];
      return [
        ...[...ids, ulid().toLowerCase(), { $ne: "" }, ["x"], 7, null].map((id) => send({ id, conversation: chat })),
        ...[...ids, ...conversations, { $ne: "" }, null].map((conversation) => send({ conversation })),
      ];
    }),

  "message ids from the future": (world) =>
    expectAnswered(world, "id_from_future", (conversation) => [
      send({ id: ulid(Date.now() + MAX_ID_AHEAD_MS + 5_000), conversation }),
      send({ id: "7".padEnd(26, "Z"), conversation }),
    ]),

  "fields of the wrong kind, and more than a frame may hold": (world) =>
    expectAnswered(world, "bad_frame", (chat) => [
      json({ type: "hello", client: "again" }),
      json({ type: "hello", client: "x".repeat(MAX_CLIENT_NAME_CHARS + 1) }),
      json({ type: "send", id: ulid(), conversation: chat }),
      binary({ type: "ack", conversation: chat, seq: 1 }),
      send({ conversation: chat }, new Uint8Array(0)),
      sync({ cursors: Array(MAX_CURSORS_PER_FRAME + 1).fill([chat, 0, 0]) }),
      sync({ cursors: [[chat, 0]] }),
      sync({ cursors: {} }),
      sync({ scope: "everything" }),
      sync({ more: "yes" }),
      binary({ type: "sends", conversation: chat, messages: [] }),
      binary({ type: "sends", conversation: chat, messages: [{ id: ulid(), length: 2 }] }),
      binary({ type: "sends", conversation: chat, messages: [{ id: ulid(), length: -1 }] }),
      binary({ type: "sends", conversation: chat, messages: [{ id: ulid(), length: 2 ** 53 }] }),
      binary({
        type: "sends",
        conversation: chat,
        messages: Array.from({ length: MAX_MESSAGES_PER_FRAME + 1 }, () => ({ id: ulid(), length: 1 })),
      }),
    ]),

  "no answer says anything of what was sent": async (world) => {
    const { mallory } = await scene(world);
    for (const wire of ["a secret word", '{"type":"a secret word"}', '{"type":"ack","conversation":"a secret word"}']) {
      mallory.raw(wire);
    }
    await mallory.until("three answers", () => mallory.of("error").length === 3 || undefined);
    assert.doesNotMatch(JSON.stringify(mallory.of("error")), /secret/);
    await mallory.close();
  },

  "a device that takes and never acks is let go with 1013, and finds everything when it comes back": async (world) => {
    const [reader, writer] = await world.friends();
    const [slow, line] = [await world.connect(reader), await world.connect(writer)];
    slow.acks = false;
    const chat = directConversation(reader.user, writer.user);
    const count = MAX_UNACKED_PER_CONVERSATION + 50;
    await line.begin?.(chat);
    for (let sent = 0; sent < count; sent += AT_A_TIME) {
      const batch = Array.from({ length: Math.min(AT_A_TIME, count - sent) }, (_, index) => `note ${sent + index}`);
      await Promise.all(batch.map((text) => line.send(chat, text)));
    }
    assert.equal((await slow.end()).code, closeCodes.too_slow);
    const again = await world.connect(reader);
    await again.text(`note ${count - 1}`);
    assert.equal(new Set(again.received.map(({ text }) => text)).size, count);
    await Promise.all([again.close(), line.close()]);
  },

  "one id for two messages is refused, and the first one stands": async (world) => {
    const { mallory, bob, chat } = await scene(world);
    const id = mallory.newId();
    assert.equal(await mallory.send(chat, "once", id), 3);
    mallory.up({ type: "send", id, conversation: chat }, sealedBytes(chat, FIRST_EPOCH, "twice"));
    await mallory.next("error", ({ code }) => code === "id_conflict");
    await bob.text("once");
    assert.equal(await mallory.send(chat, "after"), 4);
    await bob.text("after");
    assert.deepEqual(
      bob.received.map(({ text }) => text),
      ["once", "after"],
    );
    await Promise.all([mallory.close(), bob.close()]);
  },

  "what a frame claims of its sender, place and time is nothing": async (world) => {
    const victim: Account = await world.signUp();
    const { mallory, bob, chat } = await scene(world);
    const claims = {
      user: victim.user,
      device: victim.device,
      seq: 99,
      at: 1,
      requestId: "x",
      watermark: { read: 99 },
    };
    mallory.raw(
      send({ id: mallory.newId(), conversation: chat, ...claims }, sealedBytes(chat, FIRST_EPOCH, "claimed")),
    );
    await bob.text("claimed");
    const message = bob.of("message").at(-1);
    assert.equal(message?.seq, 3);
    assert.notEqual(message?.user, victim.user);
    assert.notEqual(message?.device, victim.device);
    assert.ok((message?.at ?? 0) > 1_000);
    await Promise.all([mallory.close(), bob.close()]);
  },
});

export const socket = [...opening, ...frames];
