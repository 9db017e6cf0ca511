import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { toBase64url } from "../../shared/base64url.ts";
import { SEARCH_SAVE_MS } from "../../shared/limits.ts";
import { alice, bob, deviceOf, newServer, openOffline, said, sendAll, soon } from "../../test/fake/chats.ts";
import type { Chat } from "../chat.ts";
import { encodeContent } from "../content.ts";
import { SqliteStore } from "../node/sqlite-store.ts";
import { SearchIndex } from "../search/search-index.ts";
import type { Store } from "../store/store.ts";
import { readContent } from "./message.ts";

const DAY_SECONDS = 86_400;
const SECRET = "xyzzy";

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

async function friends(stores: { a?: Store; b?: Store } = {}) {
  const server = newServer();
  const a = await openOffline(server, alice, "A1", stores.a && { store: stores.a });
  const b = await openOffline(server, bob, "B1", stores.b && { store: stores.b });
  for (const { chat } of [a, b]) {
    chat.connection.open();
    await chat.connection.caughtUp();
  }
  return { server, a, b, conversation: a.chat.conversations.direct(bob) };
}

async function sendOne(chat: Chat, conversation: string, text: string, more = {}) {
  const message = await chat.messages.send(conversation, { kind: "text", text, ...more });
  await message.sent;
  return message;
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Where the store still has the secret. */
async function traces(store: Store, conversation: string) {
  const rows = await store.messages(conversation, { limit: 1_000 });
  const records = await store.records("");
  const placed = rows.filter(({ content }) => text(content).includes(SECRET)).map(({ seq }) => seq);
  return [...placed, ...records.filter(([, value]) => text(value).includes(SECRET)).map(([key]) => key)];
}
const gone = (store: Store, conversation: string) =>
  expect.poll(() => traces(store, conversation), { timeout: 10_000 }).toEqual([]);
const contentsOf = async (store: Store, conversation: string) =>
  (await store.messages(conversation, { limit: 1_000 })).map(({ content }) => readContent(content));
/** Everything that has come so far has been looked through when this has disappeared. */
async function lookedThrough({ chat, store }: { chat: Chat; store: Store }, conversation: string) {
  const { id } = await sendOne(chat, conversation, "to be deleted");
  await (await chat.messages.delete({ conversation, id })).sent;
  await expect
    .poll(async () => text((await store.find(conversation, id))?.content ?? new Uint8Array()))
    .toContain("erased");
}

describe("R10 what was deleted for everyone", { timeout: 20_000 }, () => {
  test("leaves every store with its edits, and still shows as deleted after a restart", async () => {
    const { a, b, conversation } = await friends();
    const message = await sendOne(a.chat, conversation, `${SECRET} 1`);
    await (await a.chat.messages.edit(message, `${SECRET} 2`)).sent;
    await soon(b.chat, conversation).toEqual([`${SECRET} 2`]);
    expect(await traces(b.store, conversation)).toHaveLength(2);
    const told: string[] = [];
    b.chat.on("erased", ({ id }) => told.push(id));
    await (await a.chat.messages.delete(message)).sent;
    for (const { store } of [a, b]) await gone(store, conversation);
    expect(told).toContain(message.id);
    const { chat } = await b.reopen();
    const [, shown, ...others] = await chat.messages.list(conversation);
    expect(shown).toMatchObject({ id: message.id, content: { kind: "deleted", by: alice }, isEvent: false });
    expect(others).toEqual([]);
    expect((await chat.conversations.list())[0]).toMatchObject({ unread: 1, last: { id: message.id } });
  });

  test("an edit that comes later goes too, and what is said again does not bring it back", async () => {
    const { a, b, conversation } = await friends();
    const { id } = await sendOne(a.chat, conversation, SECRET);
    await (await a.chat.messages.delete({ conversation, id })).sent;
    for (const { store } of [a, b]) await gone(store, conversation);
    const content = toBase64url(encodeContent({ kind: "text", text: SECRET }));
    await (await a.chat.messages.send(conversation, { kind: "edit", target: id, text: SECRET })).sent;
    await (await a.chat.messages.send(conversation, { kind: "again", target: id, content })).sent;
    await sendAll(a.chat, conversation, ["after"]);
    await soon(b.chat, conversation).toEqual(["<deleted>", "after"]);
    for (const { store } of [a, b]) {
      await gone(store, conversation);
      await expect
        .poll(async () => (await contentsOf(store, conversation)).map(({ kind }) => kind))
        .not.toContain("again");
    }
    expect(await said(b.chat, conversation)).toEqual(["<deleted>", "after"]);
  });

  test("stays where the deletion is nobody's who may delete it", async () => {
    const { a, b, conversation } = await friends();
    const { id } = await sendOne(a.chat, conversation, SECRET);
    await soon(b.chat, conversation).toEqual([SECRET]);
    await (await b.chat.messages.send(conversation, { kind: "deletion", target: id })).sent;
    await lookedThrough(b, conversation);
    await soon(a.chat, conversation).toEqual([SECRET, "<deleted>"]);
    await lookedThrough(a, conversation);
    for (const { store } of [a, b]) expect(await traces(store, conversation)).toHaveLength(1);
  });

  test("goes in the next run, if this one has ended before", async () => {
    const { a, b, conversation } = await friends();
    const message = await sendOne(a.chat, conversation, SECRET);
    await soon(b.chat, conversation).toEqual([SECRET]);
    await (await a.chat.messages.delete(message)).sent;
    await soon(b.chat, conversation).toEqual(["<deleted>"]);
    const { chat, store } = await b.reopen();
    expect(await traces(store, conversation)).toHaveLength(1);
    chat.connection.open();
    await gone(store, conversation);
  });
});

describe("R10 what has expired", { timeout: 20_000 }, () => {
  const expiresAfter = DAY_SECONDS;
  const pass = (seconds: number) => vi.setSystemTime(Date.now() + seconds * 1_000);

  test("leaves every store with its edits, and is not shown, counted or quoted", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { a, b, conversation } = await friends();
    const message = await sendOne(a.chat, conversation, `${SECRET} 1`, { expiresAfter });
    await (await a.chat.messages.edit(message, `${SECRET} 2`)).sent;
    await sendOne(a.chat, conversation, "stays");
    await soon(b.chat, conversation).toEqual([`${SECRET} 2`, "stays"]);
    await lookedThrough(b, conversation);
    expect(await traces(b.store, conversation)).toHaveLength(2);
    pass(DAY_SECONDS + 60);
    await sendOne(b.chat, conversation, "later");
    await soon(a.chat, conversation).toEqual(["stays", "<deleted>", "later"]);
    for (const { store } of [a, b]) await gone(store, conversation);
    expect(await b.store.records("expires/")).toEqual([]);
    const { chat } = await b.reopen();
    expect(await said(chat, conversation)).toEqual(["stays", "<deleted>", "later"]);
    expect((await chat.conversations.list())[0]?.unread).toBe(1);
    await expect(chat.messages.reply(message, "?")).rejects.toMatchObject({ code: "not_found" });
  });

  test("while the device was off it goes once the server's clock is known, and not before", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { a, b, conversation } = await friends();
    await sendOne(a.chat, conversation, SECRET, { expiresAfter });
    await soon(b.chat, conversation).toEqual([SECRET]);
    await lookedThrough(b, conversation);
    pass(DAY_SECONDS + 60);
    const { chat, store } = await b.reopen();
    const pending = await chat.messages.send(conversation, "pending");
    expect(await said(chat, conversation)).toEqual(["<deleted>", "pending"]);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(await traces(store, conversation)).toHaveLength(1);
    chat.connection.open();
    await pending.sent;
    await gone(store, conversation);
  });

  test("goes by itself, with nothing coming", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const timers = vi.spyOn(globalThis, "setTimeout");
    const { a, conversation } = await friends();
    await sendOne(a.chat, conversation, SECRET, { expiresAfter });
    const isWait = ([, ms]: unknown[]) => ms === 3_600_000;
    await expect.poll(() => timers.mock.calls.some(isWait), { timeout: 10_000 }).toBe(true);
    pass(DAY_SECONDS + 60);
    for (const [wake] of timers.mock.calls.filter(isWait)) wake();
    await gone(a.store, conversation);
  });
});

describe("R10 what could not be opened at first", { timeout: 30_000 }, () => {
  test("expires as everything does once it was said again, and nothing that said it again is kept", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { server, a, b, conversation } = await friends();
    await sendAll(a.chat, conversation, ["one"]);
    await soon(b.chat, conversation).toEqual(["one"]);
    const damaged = server.conversation(conversation).log.length + 1;
    server.tamper.entry = (entry, to) =>
      to === deviceOf("B1") && entry.seq === damaged
        ? { ...entry, body: entry.body.map((byte, at) => (at === entry.body.length - 1 ? byte ^ 1 : byte)) }
        : entry;
    const { id } = await sendOne(a.chat, conversation, SECRET, { expiresAfter: DAY_SECONDS });
    await soon(b.chat, conversation).toEqual(["one", "<unreadable>"]);
    await lookedThrough(b, conversation);
    await soon(b.chat, conversation).toEqual(["one", SECRET, "<deleted>"]);
    await lookedThrough(b, conversation);
    expect((await contentsOf(b.store, conversation)).map(({ kind }) => kind)).not.toContain("again");
    expect((await b.store.find(conversation, id))?.seq).toBe(damaged);
    expect(await traces(b.store, conversation)).toEqual([damaged]);
    vi.setSystemTime(Date.now() + DAY_SECONDS * 1_000 + 60_000);
    await sendAll(b.chat, conversation, ["later"]);
    await gone(b.store, conversation);
  });
});

describe("deleted for me", { timeout: 20_000 }, () => {
  test("it leaves this store and no other one", async () => {
    const { a, b, conversation } = await friends();
    const message = await sendOne(a.chat, conversation, SECRET);
    await (await a.chat.messages.edit(message, `${SECRET} 2`)).sent;
    await soon(b.chat, conversation).toEqual([`${SECRET} 2`]);
    await b.chat.messages.deleteForMe(message);
    expect(await traces(b.store, conversation)).toEqual([]);
    expect(await traces(a.store, conversation)).toHaveLength(2);
    await (await a.chat.messages.edit(message, `${SECRET} 3`)).sent;
    await gone(b.store, conversation);
    await (await a.chat.messages.delete(message)).sent;
    await sendAll(a.chat, conversation, ["after"]);
    await soon(b.chat, conversation).toEqual(["after"]);
    expect((await b.chat.conversations.list())[0]?.unread).toBe(1);
  });

  test("a message that failed goes whole; a line about the group stays", async () => {
    const server = newServer();
    const a = await openOffline(server, alice, "A1");
    a.chat.connection.open();
    const conversation = a.chat.conversations.direct(bob);
    const message = await a.chat.messages.send(conversation, SECRET);
    await expect(message.sent).rejects.toMatchObject({ code: "not_found" });
    await a.chat.messages.deleteForMe(message);
    expect(await a.store.find(conversation, message.id)).toBeUndefined();
    const notes = a.chat.conversations.direct(alice);
    await sendAll(a.chat, notes, ["one"]);
    const [line] = await a.chat.messages.list(notes);
    if (!line?.isEvent) throw new Error("no line about the group");
    await expect(a.chat.messages.deleteForMe(line)).rejects.toMatchObject({ code: "not_found" });
  });
});

describe("what search has stored", { timeout: 20_000 }, () => {
  const found = async (store: Store) =>
    (await SearchIndex.open(await store.record("search"))).search(SECRET).map(({ text: words }) => words);
  const spy = () => vi.spyOn(globalThis, "setTimeout");
  /** As if the time had passed. */
  const save = (timers: ReturnType<typeof spy>) => {
    for (const [run] of timers.mock.calls.filter(([, ms]) => ms === SEARCH_SAVE_MS)) run();
    timers.mockClear();
  };

  async function indexed() {
    const timers = spy();
    const { a, conversation } = await friends();
    const messages = [
      await sendOne(a.chat, conversation, `${SECRET} 1`),
      await sendOne(a.chat, conversation, `${SECRET} 2`),
    ];
    expect(await a.chat.messages.search(SECRET)).toHaveLength(2);
    save(timers);
    await expect.poll(() => found(a.store)).toHaveLength(2);
    return { a, conversation, messages, timers };
  }

  test("loses what was erased soon after", async () => {
    const { a, conversation, messages, timers } = await indexed();
    if (messages[0]) await (await a.chat.messages.delete(messages[0])).sent;
    if (messages[1]) await a.chat.messages.deleteForMe(messages[1]);
    await gone(a.store, conversation);
    expect(await found(a.store)).toHaveLength(2);
    save(timers);
    await expect.poll(() => found(a.store)).toEqual([]);
    expect(await a.store.records("search-erased/")).toEqual([]);
  });

  test("loses it in the next run, if this one has ended before, without anybody searching", async () => {
    const { a, conversation, messages, timers } = await indexed();
    if (messages[0]) await a.chat.messages.deleteForMe(messages[0]);
    timers.mockClear();
    const { chat, store } = await a.reopen();
    chat.connection.open();
    const isSaving = () => timers.mock.calls.some(([, ms]) => ms === SEARCH_SAVE_MS);
    await expect.poll(isSaving).toBe(true);
    save(timers);
    await expect.poll(() => found(store)).toEqual([`${SECRET} 2`]);
    expect(await store.records("search-erased/")).toEqual([]);
    expect(await said(chat, conversation)).toEqual([`${SECRET} 2`]);
  });
});

describe("in the file of a SQLite store", { timeout: 20_000 }, () => {
  test("nothing is left of it either", async () => {
    const directory = mkdtempSync(join(tmpdir(), "erasing-"));
    const bytes = () => readdirSync(directory).map((name) => readFileSync(join(directory, name), "latin1"));
    const isThere = () => bytes().some((file) => file.includes(SECRET));
    const store = new SqliteStore(join(directory, "chat.db"));
    try {
      const { a, b, conversation } = await friends({ b: store });
      const [deleted, hidden] = [
        await sendOne(a.chat, conversation, `${SECRET} ${"long ".repeat(3_000)}`),
        await sendOne(a.chat, conversation, `${SECRET} 2`),
      ];
      await (await a.chat.messages.edit(deleted, `${SECRET} 3`)).sent;
      await soon(b.chat, conversation).toEqual([`${SECRET} 3`, `${SECRET} 2`]);
      expect(isThere()).toBe(true);
      await b.chat.messages.deleteForMe(hidden);
      await (await a.chat.messages.delete(deleted)).sent;
      await expect.poll(isThere, { timeout: 10_000 }).toBe(false);
      await b.chat[Symbol.asyncDispose]();
    } finally {
      await store.close();
      rmSync(directory, { recursive: true });
    }
  });
});
