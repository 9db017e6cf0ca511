import { ulid } from "ulid";
import { beforeEach, describe, expect, it } from "vitest";
import { directConversation } from "../../shared/ids.ts";
import {
  ARCHIVE_CHUNK_BYTES,
  MAX_CONTENT_BYTES,
  MAX_HISTORY_PAGE_MESSAGES,
  MAX_HISTORY_PAGE_PINS,
} from "../../shared/limits.ts";
import { encodeLocal } from "../content/local.ts";
import { encodeContent } from "../content.ts";
import { Authenticator } from "../encryption/authenticator.ts";
import { encodeRecord } from "../encryption/record.ts";
import { encodePin, type Pin } from "../identity/pins.ts";
import { MemoryStore } from "../store/memory.ts";
import type { Owner, PlacedMessage, StoreChange } from "../store/store.ts";
import { importPage } from "./import-page.ts";
import { decodePage, encodePage } from "./page.ts";
import { decodePins, encodePins } from "./pins-page.ts";
import { type HistoryPosition, measureHistory, readHistory } from "./read-history.ts";

const [me, peer] = [ulid(1), ulid(2)];
const old: Owner = { user: me, device: ulid(3) };
const fresh: Owner = { user: me, device: ulid(4) };
const chat = directConversation(me, peer);
const group = ulid(5);

const text = (words: string) => encodeContent({ kind: "text", text: words });
const unreadable = encodeLocal({ kind: "unreadable", reason: "before_joining" });
const joined = encodeLocal({ kind: "group", by: me, added: [peer], removed: [] });

/** By default a text of the peer's. */
function message(seq: number, more: Partial<PlacedMessage> = {}): PlacedMessage {
  const content = text(`text ${seq}`);
  const id = ulid(1_000 + seq).slice(0, 10) + "0".repeat(12) + String(seq).padStart(4, "0");
  return { conversation: chat, seq, id, user: peer, device: peer, at: 7 * seq, content, isEvent: false, ...more };
}
const stored = (...messages: PlacedMessage[]): StoreChange[] => messages.map((each) => ({ type: "message", ...each }));

async function storeOf(owner: Owner, ...changes: StoreChange[]): Promise<MemoryStore> {
  const store = new MemoryStore();
  await store.load(owner);
  await store.persist(changes);
  return store;
}

async function recordsOf(store: MemoryStore, after?: HistoryPosition) {
  const records: Uint8Array[] = [];
  const positions: HistoryPosition[] = [];
  for await (const { record, position } of readHistory(store, after)) {
    records.push(record);
    positions.push(position);
  }
  return { records, positions };
}

/** As a download does it. */
async function importInto(store: MemoryStore, owner: Owner, records: readonly Uint8Array[]): Promise<void> {
  const { conversations } = await store.load(owner);
  const readOf = (id: string) => conversations.find(({ conversation }) => conversation === id)?.read ?? 0;
  for (const record of records) {
    const page = decodePage(record);
    if (page) await store.persist(await importPage(page, { owner, store, readOf }));
  }
}

const shown = async (store: MemoryStore, conversation = chat) =>
  (await store.messages(conversation, { limit: 1_000 })).map(({ seq, content }) => [
    seq,
    JSON.parse(new TextDecoder().decode(content)).text ?? JSON.parse(new TextDecoder().decode(content)).kind,
  ]);

describe("a page", () => {
  it("says all of a message", () => {
    const page = {
      conversation: chat,
      read: 3,
      messages: [message(1), message(4, { isEvent: true, content: joined })],
    };
    expect(decodePage(encodePage(page))).toEqual(page);
    expect(decodePage(encodePage({ ...page, messages: [] }))).toEqual({ ...page, messages: [] });
  });

  it("of a kind that is not known yet is passed over, and nonsense is none", () => {
    expect(decodePage(encodeRecord({ kind: "reactions", some: "thing" }))).toBeUndefined();
    const { seq, id, user, device, at, isEvent } = message(1);
    const origin = { seq, id, user, device, at, isEvent };
    const page = { kind: "messages", conversation: chat, read: 0, messages: [origin] };
    for (const record of [
      new Uint8Array(),
      new Uint8Array([0, 0, 0, 9, 1]),
      encodeRecord({}),
      encodeRecord(page),
      encodeRecord(page, [text("a"), text("b")]),
      encodeRecord({ ...page, conversation: "nobody's" }, [text("a")]),
      encodeRecord({ ...page, messages: [{ ...origin, seq: 0 }] }, [text("a")]),
    ]) {
      expect(() => decodePage(record)).toThrow(expect.objectContaining({ code: "tampered" }));
    }
  });
});

describe("a page of people", () => {
  const pin: Pin = { accountKey: new Uint8Array(32).fill(1), since: 1 };
  const page = [
    [peer, { ...pin, verifiedAt: 5, former: [{ accountKey: new Uint8Array(32).fill(2), until: 9 }] }],
    [ulid(), pin],
  ] as const;

  it("says all of them, and nothing to who knows of messages alone", () => {
    expect(decodePins(encodePins(page))).toEqual(page);
    expect(decodePage(encodePins(page))).toBeUndefined();
    expect(decodePins(encodePage({ conversation: chat, read: 0, messages: [message(1)] }))).toBeUndefined();
  });

  it("is none if it is nonsense", () => {
    for (const record of [
      new Uint8Array(),
      encodeRecord({ kind: "pins" }),
      encodeRecord({ kind: "pins", users: [peer] }),
      encodeRecord({ kind: "pins", users: [] }, [encodePin(pin)]),
      encodeRecord({ kind: "pins", users: ["nobody"] }, [encodePin(pin)]),
      encodeRecord({ kind: "pins", users: [peer] }, [text("no pin")]),
    ]) {
      expect(() => decodePins(record)).toThrow(expect.objectContaining({ code: "tampered" }));
    }
  });
});

describe("R17 what a page says of somebody", () => {
  it("is stored in the write that takes it in, and told if this device knows another key of theirs", () => {
    const [own, theirs, other] = [1, 2, 3].map((byte) => new Uint8Array(32).fill(byte)) as [
      Uint8Array,
      ...Uint8Array[],
    ];
    const met: Pin = { accountKey: other!, since: 50 };
    const people = new Authenticator({ user: me, accountKey: own, former: [] }, new Map([[peer, met]]));
    people.recall(peer, { accountKey: theirs!, since: 10, verifiedAt: 20 });
    const { changes, keyChanges } = people.takeLearned();
    expect(changes).toMatchObject([{ type: "record", key: `pin/${peer}` }]);
    expect(keyChanges).toMatchObject([{ user: peer, oldKey: theirs, newKey: other, wasVerified: true }]);
    people.settle();
    expect(people.pin(peer)).toMatchObject({ accountKey: other, isUnconfirmed: true });
  });
});

describe("a store's history", () => {
  it("is all that can be read, in order", async () => {
    const mine = message(3, { ...old, content: text("mine") });
    const store = await storeOf(
      old,
      ...stored(message(1), message(2, { content: unreadable, isEvent: true }), mine),
      ...stored(message(9, { conversation: group }), message(4, { content: joined, isEvent: true })),
      { type: "read", conversation: chat, seq: 3 },
      { type: "cursor", conversation: chat, have: 4 },
      { type: "queue", conversation: chat, id: ulid(), at: 1, content: text("on its way") },
    );
    const { records, positions } = await recordsOf(store);
    expect(records.map(decodePage)).toEqual(
      [
        { conversation: group, read: 0, have: 0, messages: [message(9, { conversation: group })] },
        {
          conversation: chat,
          read: 3,
          have: 4,
          messages: [message(1), mine, message(4, { content: joined, isEvent: true })],
        },
      ].toSorted((a, b) => (a.conversation < b.conversation ? -1 : 1)),
    );
    expect(positions).toEqual(
      [
        { conversation: group, seq: 9 },
        { conversation: chat, seq: 4 },
      ].toSorted((a, b) => (a.conversation < b.conversation ? -1 : 1)),
    );
  });

  it("leaves behind what has disappeared, and what was erased here", async () => {
    const expiring = encodeContent({ kind: "text", text: "for a day", expiresAfter: 86_400 });
    const erased = encodeLocal({ kind: "erased", reason: "deleted" });
    const now = Date.now();
    const store = await storeOf(
      old,
      ...stored(message(1, { at: now - 86_400_000, content: expiring }), message(2, { at: now, content: expiring })),
      ...stored(message(3), message(4, { content: erased }), message(4, { conversation: group })),
    );
    const { records } = await recordsOf(store);
    const places = records.flatMap((record) =>
      decodePage(record)!.messages.map(({ conversation, seq }) => [conversation, seq]),
    );
    expect(places.toSorted()).toEqual(
      [
        [chat, 2],
        [chat, 3],
        [group, 4],
      ].toSorted(),
    );
  });

  it("says up to where it goes also of a conversation of which nothing is to be kept", async () => {
    const store = await storeOf(old, ...stored(message(1, { content: unreadable, isEvent: true })), {
      type: "cursor",
      conversation: chat,
      have: 7,
    });
    const { records, positions } = await recordsOf(store);
    expect(records.map(decodePage)).toEqual([{ conversation: chat, read: 0, have: 7, messages: [] }]);
    expect((await recordsOf(store, positions[0])).records).toEqual([]);
  });

  it("comes in pages that are not too large, and goes on after each", async () => {
    const long = text("x".repeat(16_000));
    const short = Array.from({ length: MAX_HISTORY_PAGE_MESSAGES + 10 }, (_, index) => message(index + 1));
    const large = Array.from({ length: 9 }, (_, index) => message(100 + index, { content: long }));
    const other = [message(5, { conversation: group }), message(7, { conversation: group })];
    const store = await storeOf(old, ...stored(...short, ...large, ...other));
    const { records, positions } = await recordsOf(store);
    const places = (all: readonly Uint8Array[]) =>
      all.flatMap((record) => decodePage(record)!.messages.map(({ seq }) => seq));
    expect(places(records).toSorted((a, b) => a - b)).toEqual(
      [...short, ...large, ...other].map(({ seq }) => seq).toSorted((a, b) => a - b),
    );
    expect(records.length).toBeGreaterThan(4);
    for (const record of records) expect(record.byteLength).toBeLessThan(64 * 1024 + MAX_CONTENT_BYTES);
    for (const [index, position] of positions.entries()) {
      expect(places((await recordsOf(store, position)).records)).toEqual(places(records.slice(index + 1)));
    }
  });

  it("says first who the others are, in pages that are not too large, and goes on after each", async () => {
    const users = Array.from({ length: MAX_HISTORY_PAGE_PINS + 10 }, (_, at) => ulid(at + 1));
    const former = Array.from({ length: 4 }, (_, at) => ({ accountKey: new Uint8Array(32).fill(at), until: 1e15 }));
    const pin: Pin = { accountKey: new Uint8Array(32).fill(9), since: 1e15, verifiedAt: 1e15, former };
    const pins = users.map((user): StoreChange => ({ type: "record", key: `pin/${user}`, value: encodePin(pin) }));
    const store = await storeOf(old, ...pins.toReversed(), ...stored(message(1)));
    const { records, positions } = await recordsOf(store);
    expect(records.map((record) => decodePins(record)?.map(([user]) => user))).toEqual([
      users.slice(0, MAX_HISTORY_PAGE_PINS),
      users.slice(MAX_HISTORY_PAGE_PINS),
      undefined,
    ]);
    for (const record of records) expect(record.byteLength).toBeLessThan(ARCHIVE_CHUNK_BYTES - 4);
    for (const [index, position] of positions.entries()) {
      expect((await recordsOf(store, position)).records).toEqual(records.slice(index + 1));
    }
    const measure = await measureHistory(store);
    expect(positions.map((position) => measure(position).done)).toEqual([0, 0, 1]);
  });

  it("tells how much of it lies behind a position", async () => {
    const store = await storeOf(old, ...stored(message(10), message(5, { conversation: group })), {
      type: "cursor",
      conversation: chat,
      have: 20,
    });
    const measure = await measureHistory(store);
    expect(measure(undefined)).toEqual({ done: 0, total: 25 });
    const { positions } = await recordsOf(store);
    const [first, last] = positions.map(measure);
    expect(first!.done).toBe(chat < group ? 10 : 5);
    expect(last!.done).toBeGreaterThan(first!.done);
    expect(measure({ conversation: "ZZ", seq: 9 })).toEqual({ done: 25, total: 25 });
  });
});

describe("importing", () => {
  let records: Uint8Array[];
  beforeEach(async () => {
    const store = await storeOf(
      old,
      ...stored(
        message(1),
        message(2, { ...old, content: text("mine") }),
        message(3, { content: joined, isEvent: true }),
      ),
      ...stored(message(4), message(8, { conversation: group })),
      { type: "read", conversation: chat, seq: 3 },
    );
    ({ records } = await recordsOf(store));
  });
  const expected = [
    [1, "text 1"],
    [2, "mine"],
    [3, "group"],
    [4, "text 4"],
  ];

  it("gives an empty store all of it", async () => {
    const store = await storeOf(fresh);
    await importInto(store, fresh, records);
    expect(await shown(store)).toEqual(expected);
    expect(await shown(store, group)).toEqual([[8, "text 8"]]);
    expect(await store.scan(chat, 1, 1)).toEqual([
      { ...message(2, { ...old, content: text("mine") }), failure: undefined },
    ]);
  });

  it("twice is once", async () => {
    const store = await storeOf(fresh);
    await importInto(store, fresh, [...records, ...records]);
    expect(await shown(store)).toEqual(expected);
  });

  it("leaves what has been read and the cursors where they were, and nothing to tell the server", async () => {
    const store = await storeOf(fresh);
    await importInto(store, fresh, records);
    const { conversations, outbox } = await store.load(fresh);
    expect(outbox).toEqual([]);
    expect(conversations).toMatchObject([
      { conversation: expect.any(String), have: 0 },
      { conversation: expect.any(String), have: 0 },
    ]);
    expect(conversations.find(({ conversation }) => conversation === chat)).toMatchObject({
      read: 3,
      readConfirmed: 3,
    });
    const further = await storeOf(fresh, { type: "read", conversation: chat, seq: 4 });
    await importInto(further, fresh, records);
    expect((await further.load(fresh)).conversations.find(({ conversation }) => conversation === chat)).toMatchObject({
      read: 4,
    });
  });

  it("fills in what this device could not read, and nothing else", async () => {
    const store = await storeOf(
      fresh,
      ...stored(
        message(1, { content: unreadable, isEvent: true }),
        message(2, { ...old, content: text("known here") }),
        message(3, { content: encodeLocal({ kind: "unreadable", reason: "lost_place" }), isEvent: true }),
        message(4, { id: ulid(99), content: unreadable, isEvent: true }),
        message(5, { content: unreadable, isEvent: true }),
      ),
      { type: "cursor", conversation: chat, have: 5 },
    );
    await importInto(store, fresh, records);
    expect(await shown(store)).toEqual([
      [1, "text 1"],
      [2, "known here"],
      [3, "group"],
      // Another message than the one in the archive.
      [4, "unreadable"],
      [5, "unreadable"],
    ]);
    const [first] = await store.scan(chat, 0, 1);
    expect(first).toMatchObject({ isEvent: false, id: message(1).id, user: peer });
    expect((await store.load(fresh)).conversations[0]).toMatchObject({ have: 5 });
  });

  it("leaves what this very device has on its way to the log", async () => {
    const store = await storeOf(fresh, {
      type: "queue",
      conversation: chat,
      id: message(2).id,
      at: 1,
      content: text("mine"),
    });
    const own = [
      message(2, { ...fresh, content: text("mine") }),
      message(3, { ...fresh, content: joined, isEvent: true }),
    ];
    const page = encodePage({ conversation: chat, read: 0, messages: [message(1), ...own] });
    await importInto(store, fresh, [page]);
    expect(await shown(store)).toEqual([
      [1, "text 1"],
      [undefined, "mine"],
    ]);
    await store.persist([{ type: "sent", conversation: chat, id: message(2).id, seq: 2, at: 2 }]);
    await importInto(store, fresh, [page]);
    expect(await shown(store)).toEqual([
      [1, "text 1"],
      [2, "mine"],
    ]);
  });

  it("finds its places among many others", async () => {
    const others = Array.from({ length: 600 }, (_, index) => message(index + 1, { content: text("here") }));
    const store = await storeOf(fresh, ...stored(...others.filter(({ seq }) => seq !== 599)));
    const messages = [message(1), message(599), message(600)];
    await importInto(store, fresh, [encodePage({ conversation: chat, read: 0, messages })]);
    const after = await store.scan(chat, 597, 10);
    expect(after.map(({ content }) => new TextDecoder().decode(content))).toEqual(
      [text("here"), text("text 599"), text("here")].map((content) => new TextDecoder().decode(content)),
    );
  });
});
