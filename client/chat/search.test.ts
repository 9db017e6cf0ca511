import { afterEach, describe, expect, test, vi } from "vitest";
import { SEARCH_SAVE_MS } from "../../shared/limits.ts";
import { alice, bob, newServer, open, openOffline, sendAll, soon } from "../../test/fake/chats.ts";
import type { Chat } from "../chat.ts";
import { MemoryStore } from "../store/memory.ts";

afterEach(() => {
  vi.useRealTimers();
});

const find = async (chat: Chat, query: string, scope = {}) =>
  (await chat.messages.search(query, scope)).map(({ text }) => text);

async function friends() {
  const server = newServer();
  const a = await openOffline(server, alice, "A1");
  a.chat.connection.open();
  const b = await open(server, bob, "B1");
  return { server, a, b, conversation: b.conversations.direct(alice) };
}

describe("search", () => {
  test("what was said before, and what comes after the first search, of both", async () => {
    const { a, b, conversation } = await friends();
    await sendAll(b, conversation, ["the blue house"]);
    await sendAll(a.chat, conversation, ["a red house"]);
    await soon(a.chat, conversation).toEqual(["the blue house", "a red house"]);
    expect((await find(a.chat, "house")).sort()).toEqual(["a red house", "the blue house"]);
    await sendAll(b, conversation, ["no house at all"]);
    await soon(a.chat, conversation).toEqual(["the blue house", "a red house", "no house at all"]);
    expect(await find(a.chat, "house all")).toEqual(["no house at all"]);
    const [hit] = await a.chat.messages.search("blue");
    expect(hit).toMatchObject({ conversation, sender: bob, snippet: { text: "the blue house" } });
  });

  test("in one conversation alone", async () => {
    const { a, conversation } = await friends();
    const notes = a.chat.conversations.direct(alice);
    await sendAll(a.chat, conversation, ["hello there"]);
    await sendAll(a.chat, notes, ["hello me"]);
    expect(await find(a.chat, "hello", { conversation: notes })).toEqual(["hello me"]);
    expect(await find(a.chat, "hello", { limit: 1 })).toHaveLength(1);
  });

  test("by the words that a message has now; not what was deleted, or hidden here, or has expired", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { a, conversation } = await friends();
    const { messages } = a.chat;
    const sendOne = async (text: string, more = {}) => {
      const message = await messages.send(conversation, { kind: "text", text, ...more });
      await message.sent;
      return message;
    };
    const [edited, deleted, hidden] = [
      await sendOne("apple one"),
      await sendOne("apple two"),
      await sendOne("apple three"),
    ];
    await sendOne("apple four", { expiresAfter: 86_400 });
    expect(await find(a.chat, "apple")).toHaveLength(4);
    await (await messages.edit(edited, "pear one")).sent;
    await (await messages.delete(deleted)).sent;
    await messages.deleteForMe(hidden);
    expect(await find(a.chat, "apple")).toEqual(["apple four"]);
    expect(await find(a.chat, "pear")).toEqual(["pear one"]);
    vi.setSystemTime(Date.now() + 86_400_000 + 60_000);
    expect(await find(a.chat, "apple")).toEqual([]);
    const { chat } = await a.reopen();
    expect(await find(chat, "apple")).toEqual([]);
    expect(await find(chat, "pear")).toEqual(["pear one"]);
  });
});

describe("the index in the store", () => {
  test("is stored a while after it has changed; another run reads only what came since", async () => {
    const { a, b, conversation } = await friends();
    await sendAll(b, conversation, ["one word", "two words"]);
    await soon(a.chat, conversation).toEqual(["one word", "two words"]);
    const timers = vi.spyOn(globalThis, "setTimeout");
    expect((await find(a.chat, "word")).sort()).toEqual(["one word", "two words"]);
    const saves = timers.mock.calls.filter(([, ms]) => ms === SEARCH_SAVE_MS);
    timers.mockRestore();
    expect(saves).toHaveLength(1);
    expect(await a.store.record("search")).toBeUndefined();
    saves[0]?.[0]();
    await expect.poll(() => a.store.record("search")).toBeInstanceOf(Uint8Array);
    await sendAll(b, conversation, ["a third word"]);
    await soon(a.chat, conversation).toEqual(["one word", "two words", "a third word"]);
    const { chat } = await a.reopen();
    const scan = vi.spyOn(MemoryStore.prototype, "scan");
    expect((await find(chat, "word")).sort()).toEqual(["a third word", "one word", "two words"]);
    const firstPlaces = scan.mock.calls.map(([, after]) => after);
    expect(Math.min(...firstPlaces)).toBeGreaterThan(2);
    scan.mockRestore();
  });

  test("a snapshot that cannot be read is made anew", async () => {
    const { a, b, conversation } = await friends();
    await sendAll(b, conversation, ["one word"]);
    await soon(a.chat, conversation).toEqual(["one word"]);
    await a.store.persist([{ type: "record", key: "search", value: Uint8Array.of(1, 2, 3) }]);
    expect(await find(a.chat, "word")).toEqual(["one word"]);
  });
});
