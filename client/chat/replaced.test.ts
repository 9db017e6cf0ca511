import { describe, expect, test, vi } from "vitest";
import { directConversation } from "../../shared/ids.ts";
import { SEARCH_SAVE_MS } from "../../shared/limits.ts";
import { alice, bob, deviceOf, mls, newServer } from "../../test/fake/chats.ts";
import type { LocalContent } from "../content/local.ts";
import type { Content } from "../content.ts";
import { MemoryStore } from "../store/memory.ts";
import type { StoreChange } from "../store/store.ts";
import { Engine } from "./engine.ts";
import { LiveConversations } from "./live-conversations.ts";
import { LivePage } from "./live-messages.ts";
import { Overviews } from "./overviews.ts";
import { Search } from "./search.ts";
import { Timeline } from "./timeline.ts";
import { Timers } from "./timers.ts";

const conversation = directConversation(alice, bob);
const idOf = (seq: number) => `01J0000000000000000000000${seq}`;
const encode = (content: Content | LocalContent) => new TextEncoder().encode(JSON.stringify(content));
const lost: LocalContent = { kind: "unreadable", reason: "before_joining" };

/** Three messages of Bob's, of which this device could read one, and has read none. */
async function device(store = new MemoryStore()) {
  const { account, transport } = newServer().signIn(alice, deviceOf("A1"));
  const engine = await Engine.open({ account, store, client: "test 1", transport, mls });
  const timeline = new Timeline(engine);
  return { store, engine, timeline, search: new Search(engine, timeline), timers: new Timers(engine) };
}

async function storeWith(contents: readonly (Content | LocalContent)[]): Promise<MemoryStore> {
  const store = new MemoryStore();
  await store.load({ user: alice, device: deviceOf("A1") });
  const placed = contents.map(
    (content, index): StoreChange => ({
      ...{ conversation, seq: index + 1, id: idOf(index + 1), user: bob, device: deviceOf("B1"), at: index + 1 },
      ...{ type: "message", content: encode(content), isEvent: content.kind !== "text" },
    }),
  );
  await store.persist([...placed, { type: "cursor", conversation, have: contents.length }]);
  return store;
}

/** As a history from another device does it, or a message that is said again. */
async function replace({ store, engine }: { store: MemoryStore; engine: Engine }, seq: number, content: Content) {
  const isEvent = content.kind !== "text";
  await store.persist([{ type: "replace", conversation, seq, content: encode(content), isEvent }]);
  engine.replaced(conversation, seq);
}

const text = (words: string): Content => ({ kind: "text", text: words });

describe("what could not be read, and can be now", () => {
  test("shows, with what it does to other messages", async () => {
    const it = await device(await storeWith([text("helo"), lost, lost]));
    const live = LivePage.open(it.engine, it.timeline, conversation, { limit: 10 });
    live.subscribe(() => {});
    const shown = () => live.getSnapshot()?.map(({ content }) => ("text" in content ? content.text : content.kind));
    await expect.poll(shown).toEqual(["helo", "unreadable", "unreadable"]);
    await replace(it, 3, { kind: "edit", target: idOf(1), text: "hello" });
    await expect.poll(shown).toEqual(["hello", "unreadable"]);
    await replace(it, 2, text("there"));
    await expect.poll(shown).toEqual(["hello", "there"]);
  });

  test("counts as unread", async () => {
    const it = await device(await storeWith([text("one"), lost]));
    const { query } = new LiveConversations(it.engine, new Overviews(it.engine, it.timeline));
    query.subscribe(() => {});
    const overview = () => query.getSnapshot()?.map(({ unread, last }) => [unread, last?.content.kind]);
    await expect.poll(overview).toEqual([[1, "unreadable"]]);
    await replace(it, 2, text("two"));
    await expect.poll(overview).toEqual([[2, "text"]]);
  });

  test("how far was read elsewhere shows, though the session does not know of it", async () => {
    const it = await device(await storeWith([text("one"), text("two"), lost]));
    const { query } = new LiveConversations(it.engine, new Overviews(it.engine, it.timeline));
    query.subscribe(() => {});
    await expect.poll(() => query.getSnapshot()?.[0]?.unread).toBe(2);
    await it.store.persist([{ type: "read", conversation, seq: 1 }]);
    await replace(it, 3, text("three"));
    await expect.poll(() => query.getSnapshot()?.[0]).toMatchObject({ read: 1, unread: 2 });
  });

  test("is found, also by a later run whose index was stored before", async () => {
    const it = await device(await storeWith([text("red house"), lost]));
    const found = async (search: Search) => (await search.find("house", {})).map((hit) => hit.text);
    const timers = vi.spyOn(globalThis, "setTimeout");
    expect(await found(it.search)).toEqual(["red house"]);
    const save = timers.mock.calls.find(([, ms]) => ms === SEARCH_SAVE_MS)?.[0];
    timers.mockRestore();
    save?.();
    await expect.poll(() => it.store.record("search")).toBeDefined();
    await replace(it, 2, text("blue house"));
    await it.engine.close();
    const next = await device(it.store);
    expect((await found(next.search)).sort()).toEqual(["blue house", "red house"]);
    for (const { search } of [it, next]) search.stop();
  });

  test("is heard of if it is a timer, also by a later run", async () => {
    const it = await device(await storeWith([{ kind: "timer", seconds: 86_400 }, lost]));
    expect(await it.timers.current(conversation)).toBe(86_400);
    await replace(it, 2, { kind: "timer", seconds: 604_800 });
    expect(await it.timers.current(conversation)).toBe(604_800);
    await it.engine.close();
    const next = await device(it.store);
    expect(await next.timers.current(conversation)).toBe(604_800);
  });
});
