import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SqliteStore } from "../node/sqlite-store.ts";
import type { Change } from "../session/contract.ts";
import type { SessionStore } from "../session-store.ts";
import { MemoryStore } from "./memory.ts";
import type { Store } from "./store.ts";

const owner = { user: "01HZZZZZZZZZZZZZZZZZZZZZZA", device: "01HZZZZZZZZZZZZZZZZZZZZZZD" };
const peer = "01HZZZZZZZZZZZZZZZZZZZZZZB";
const chat = `${owner.user}.${peer}`;
const bytes = (text: string) => new TextEncoder().encode(text);
const idOf = (n: number) => `01J00000000000000000000${String(n).padStart(3, "0")}`;

const queue = (n: number, conversation = chat): Change => ({
  ...{ type: "queue", conversation, id: idOf(n), at: n },
  body: bytes(`sealed ${n}`),
  content: bytes(`text ${n}`),
});
const message = (seq: number, conversation = chat): Change => ({
  ...{ type: "message", conversation, seq, id: idOf(500 + seq), user: peer, device: peer, at: seq },
  body: bytes(`from peer ${seq}`),
});
const textOf = (content: Uint8Array) => new TextDecoder().decode(content);

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "store-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

type AnyStore = Store & SessionStore;

interface Kind {
  readonly name: string;
  readonly open: () => AnyStore;
  /** The same store after the process has ended. */
  readonly reopen: (store: AnyStore) => Promise<AnyStore>;
}

const kinds: Kind[] = [
  { name: "memory", open: () => new MemoryStore(), reopen: async (store) => store },
  {
    name: "sqlite",
    open: () => new SqliteStore(join(directory, "chat.db")),
    reopen: async (store) => {
      await store.close();
      return new SqliteStore(join(directory, "chat.db"));
    },
  },
];

describe.each(kinds)("a store: $name", ({ open, reopen }) => {
  let store: AnyStore;
  beforeEach(async () => {
    store = open();
    await store.load(owner);
  });
  afterEach(() => store.close());
  const reload = async () => {
    store = await reopen(store);
    return store.load(owner);
  };

  test("a new one is empty", async () => {
    expect(await store.load(owner)).toEqual({ lastMinted: undefined, conversations: [], outbox: [] });
    expect(await store.conversations()).toEqual([]);
    expect(await store.messages(chat, { limit: 10 })).toEqual([]);
  });

  test("it opens for its owner only", async () => {
    store = await reopen(store);
    await expect(store.load({ ...owner, user: peer })).rejects.toThrow();
    await expect(store.load({ ...owner, device: peer })).rejects.toThrow();
  });

  test("a queued message is in the outbox with its bytes, and its id is the last one minted", async () => {
    await store.persist([queue(1), queue(2)]);
    const { outbox, lastMinted } = await reload();
    expect(outbox).toEqual([1, 2].map((n) => ({ conversation: chat, id: idOf(n), body: bytes(`sealed ${n}`) })));
    expect(lastMinted).toBe(idOf(2));
    const pending = await store.messages(chat, { limit: 10 });
    expect(pending.map(({ seq, at, content, user }) => [seq, at, textOf(content), user])).toEqual([
      [undefined, 1, "text 1", owner.user],
      [undefined, 2, "text 2", owner.user],
    ]);
  });

  test("a sent message leaves the outbox and takes its place and time", async () => {
    await store.persist([queue(1), message(1)]);
    await store.persist([
      { type: "sent", conversation: chat, id: idOf(1), seq: 2, at: 77 },
      { type: "cursor", conversation: chat, have: 2 },
    ]);
    const { outbox, conversations } = await reload();
    expect(outbox).toEqual([]);
    expect(conversations).toMatchObject([{ conversation: chat, have: 2, ahead: [] }]);
    const messages = await store.messages(chat, { limit: 10 });
    expect(messages.map(({ seq, at, content }) => [seq, at, textOf(content)])).toEqual([
      [1, 1, "from peer 1"],
      [2, 77, "text 1"],
    ]);
  });

  test("a place above the cursor is reported as ahead", async () => {
    await store.persist([queue(1), { type: "sent", conversation: chat, id: idOf(1), seq: 5, at: 1 }]);
    expect((await reload()).conversations).toMatchObject([{ have: 0, ahead: [5] }]);
  });

  test("a renamed message keeps its place in the outbox", async () => {
    await store.persist([queue(1), queue(2)]);
    await store.persist([{ type: "rename", conversation: chat, id: idOf(1), newId: idOf(3), at: 9 }]);
    const { outbox, lastMinted } = await reload();
    expect(outbox.map(({ id }) => id)).toEqual([idOf(3), idOf(2)]);
    expect(outbox[0]?.body).toEqual(bytes("sealed 1"));
    expect(lastMinted).toBe(idOf(3));
  });

  test("a failed message leaves the outbox and is kept with the reason", async () => {
    await store.persist([queue(1), { type: "failed", conversation: chat, id: idOf(1), code: "too_large" }]);
    expect((await reload()).outbox).toEqual([]);
    expect(await store.messages(chat, { limit: 1 })).toMatchObject([{ id: idOf(1), failure: "too_large" }]);
  });

  test("a message that is there already stays as it is", async () => {
    await store.persist([message(1)]);
    await store.persist([{ ...message(1), body: bytes("other") } as Change]);
    expect((await store.messages(chat, { limit: 10 })).map(({ content }) => textOf(content))).toEqual(["from peer 1"]);
  });

  test("pages end at `before`, hold the last `limit` messages and have the pending ones last", async () => {
    await store.persist([...[1, 2, 3, 4, 5].map((seq) => message(seq)), queue(1)]);
    const seqs = async (page: { before?: number; limit: number }) =>
      (await store.messages(chat, page)).map(({ seq }) => seq);
    expect(await seqs({ limit: 3 })).toEqual([4, 5, undefined]);
    expect(await seqs({ before: 4, limit: 2 })).toEqual([2, 3]);
    expect(await seqs({ before: 2, limit: 10 })).toEqual([1]);
    expect(await seqs({ limit: 1 })).toEqual([undefined]);
  });

  test("read marks and receipts survive, receipts of the whole group beside those of a member", async () => {
    await store.persist([
      message(1),
      { type: "cursor", conversation: chat, have: 1 },
      { type: "read", conversation: chat, seq: 1 },
      { type: "receipt", conversation: chat, user: peer, delivered: 3, read: 2 },
      { type: "receipt", conversation: chat, user: undefined, delivered: 1, read: 0 },
    ]);
    const [before] = (await reload()).conversations;
    expect(before).toMatchObject({ have: 1, read: 1, readConfirmed: 0 });
    expect(new Set(before?.peers)).toEqual(
      new Set([
        { user: peer, delivered: 3, read: 2 },
        { user: undefined, delivered: 1, read: 0 },
      ]),
    );
    await store.persist([{ type: "read_confirmed", conversation: chat, seq: 1 }]);
    expect((await reload()).conversations).toMatchObject([{ readConfirmed: 1 }]);
  });

  test("a summary counts what others wrote above the read mark and shows the last message", async () => {
    await store.persist([message(1), message(2), message(3), queue(1)]);
    await store.persist([
      { type: "cursor", conversation: chat, have: 3 },
      { type: "read", conversation: chat, seq: 1 },
    ]);
    expect(await store.conversations()).toMatchObject([
      { conversation: chat, have: 3, read: 1, unread: 2, last: { id: idOf(1) } },
    ]);
  });

  test("conversations do not mix", async () => {
    await store.persist([message(1), message(1, peer), queue(1, peer)]);
    expect(await store.messages(chat, { limit: 10 })).toHaveLength(1);
    expect(await store.messages(peer, { limit: 10 })).toHaveLength(2);
    expect((await reload()).conversations).toHaveLength(2);
  });
});

describe.each(kinds)("a session's store: $name", ({ open, reopen }) => {
  const { user, device } = owner;

  test("it has none at first, then the last one saved, and none again when it is removed", async () => {
    let store = open();
    expect(await store.loadSession()).toBeUndefined();
    await store.saveSession({ user, device, refreshToken: "t1", isSignedOut: false });
    await store.saveSession({ user, device, refreshToken: "t2", isSignedOut: false });
    store = await reopen(store);
    expect(await store.loadSession()).toEqual({ user, device, refreshToken: "t2", isSignedOut: false });
    const asking = { user, device, refreshToken: "t2", attempt: "a1", isSignedOut: false };
    await store.saveSession(asking);
    store = await reopen(store);
    expect(await store.loadSession()).toEqual(asking);
    await store.saveSession({ user, device, attempt: "a2", isSignedOut: false });
    store = await reopen(store);
    expect(await store.loadSession()).toEqual({ user, device, attempt: "a2", isSignedOut: false });
    await store.saveSession({ user, device, isSignedOut: true });
    store = await reopen(store);
    expect(await store.loadSession()).toEqual({ user, device, isSignedOut: true });
    await store.saveSession(undefined);
    store = await reopen(store);
    expect(await store.loadSession()).toBeUndefined();
    await store.close();
  });
});

describe("the SQLite store", () => {
  test("nobody else on the machine may read it", async () => {
    const store = new SqliteStore(join(directory, "chat.db"));
    await store.load(owner);
    const modes = readdirSync(directory).map((file) => statSync(join(directory, file)).mode & 0o777);
    expect(modes.length).toBeGreaterThan(1);
    expect(new Set(modes)).toEqual(new Set([0o600]));
    await store.close();
  });

  test("a write that fails leaves nothing behind", async () => {
    const store = new SqliteStore(join(directory, "chat.db"));
    await store.load(owner);
    const broken = { ...queue(2), content: null } as unknown as Change;
    await expect(store.persist([queue(1), broken])).rejects.toThrow();
    expect((await store.load(owner)).outbox).toEqual([]);
    await store.persist([queue(3)]);
    await store.close();
  });

  test("a file of a newer version is refused", async () => {
    const path = join(directory, "chat.db");
    await new SqliteStore(path).close();
    const { DatabaseSync } = await import("node:sqlite");
    const db = new DatabaseSync(path);
    db.exec("PRAGMA user_version = 99");
    db.close();
    expect(() => new SqliteStore(path)).toThrow(/newer/);
  });
});
