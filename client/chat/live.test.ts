import { describe, expect, test, vi } from "vitest";
import { alice, bob, carol, newServer, open, openOffline, sendAll, shown, soon } from "../../test/fake/chats.ts";
import type { LiveQuery } from "./live-query.ts";
import type { Message } from "./message.ts";

async function friends() {
  const server = newServer();
  const a = await open(server, alice, "A1");
  const b = await open(server, bob, "B1");
  return { server, a, b, conversation: a.conversations.direct(bob) };
}

/** As a component looks at it: each snapshot that it would render. */
function look<T>(query: LiveQuery<T>) {
  const snapshots: T[] = [query.getSnapshot()];
  const end = query.subscribe(() => snapshots.push(query.getSnapshot()));
  const read = (messages: readonly Message[] | undefined) => messages?.filter(({ isEvent }) => !isEvent) ?? [];
  const texts = () => read(query.getSnapshot() as readonly Message[] | undefined).map(shown);
  return { snapshots, end, texts };
}

describe("messages, live", () => {
  test("are there at once when they are sent, and change as the server and the others have them", async () => {
    const { a, b, conversation } = await friends();
    await sendAll(a, conversation, ["first"]);
    const live = a.messages.live(conversation);
    const { snapshots, texts } = look(live);
    await expect.poll(texts).toEqual(["first"]);
    const message = await a.messages.send(conversation, "second");
    const status = () => live.getSnapshot()?.find(({ id }) => id === message.id)?.status;
    await expect.poll(texts).toEqual(["first", "second"]);
    await expect.poll(status).toBe("sent");
    await soon(b, conversation).toEqual(["first", "second"]);
    const statuses = snapshots.map((messages) => messages?.find(({ id }) => id === message.id)?.status);
    expect(statuses).toContain("pending");
    expect(new Set(snapshots).size).toBe(snapshots.length);
  });

  test("what has not changed is the same object", async () => {
    const { a, b, conversation } = await friends();
    await sendAll(a, conversation, ["one", "two"]);
    const live = b.messages.live(conversation);
    const { texts } = look(live);
    await expect.poll(texts).toEqual(["one", "two"]);
    const before = live.getSnapshot() ?? [];
    const target = before.find((message) => shown(message) === "one");
    if (!target) throw new Error("no message");
    await (await a.messages.react(target, "👍")).sent;
    await expect.poll(() => live.getSnapshot()?.find(({ id }) => id === target.id)?.reactions.length).toBe(1);
    const after = live.getSnapshot() ?? [];
    expect(after).not.toBe(before);
    for (const [at, message] of after.entries()) {
      if (message.id === target.id) expect(message).not.toBe(before[at]);
      else expect(message).toBe(before[at]);
    }
  });

  test("a burst is read in few goes, and what happens elsewhere not at all", async () => {
    const { a, b, conversation } = await friends();
    await sendAll(a, conversation, ["start"]);
    await soon(b, conversation).toEqual(["start"]);
    const { snapshots, texts } = look(b.messages.live(conversation, { limit: 100 }));
    await expect.poll(texts).toEqual(["start"]);
    const begun = snapshots.length;
    const sent = await Promise.all(Array.from({ length: 40 }, (_, at) => a.messages.send(conversation, `${at}`)));
    await Promise.all(sent.map((message) => message.sent));
    await expect.poll(() => texts().length).toBe(41);
    expect(snapshots.length - begun).toBeLessThan(40);
    const there = snapshots.length;
    await sendAll(b, b.conversations.direct(bob), ["note"]);
    expect(snapshots.length).toBe(there);
  });

  test("older ones come on request", async () => {
    const { a, conversation } = await friends();
    await sendAll(a, conversation, ["1", "2", "3", "4", "5"]);
    const live = a.messages.live(conversation, { limit: 2 });
    const { texts } = look(live);
    await expect.poll(texts).toEqual(["4", "5"]);
    live.showOlder(2);
    await expect.poll(texts).toEqual(["2", "3", "4", "5"]);
    live.showOlder(100);
    await expect.poll(texts).toEqual(["1", "2", "3", "4", "5"]);
  });

  test("a receipt, an edit, a message that is hidden", async () => {
    const { a, b, conversation } = await friends();
    const live = a.messages.live(conversation);
    const { texts } = look(live);
    const message = await a.messages.send(conversation, "helo");
    await message.sent;
    await a.messages.edit(message, "hello");
    await expect.poll(texts).toEqual(["hello"]);
    await soon(b, conversation).toEqual(["hello"]);
    await a.messages.deleteForMe(message);
    await expect.poll(texts).toEqual([]);
  });

  test("nobody listens any more when the last one has left", async () => {
    const { a, conversation } = await friends();
    await sendAll(a, conversation, ["one"]);
    const live = a.messages.live(conversation);
    const ends = [look(live), look(live)].map(({ end }) => end);
    await expect.poll(() => live.getSnapshot()?.length).toBeGreaterThan(0);
    for (const end of ends) end();
    const before = live.getSnapshot();
    await sendAll(a, conversation, ["two"]);
    expect(live.getSnapshot()).toBe(before);
    const again = look(live);
    await expect.poll(again.texts).toEqual(["one", "two"]);
  });
});

describe("conversations, live", () => {
  test("the one with the newest message comes first, with what is unread", async () => {
    const server = newServer();
    const [a, b, c] = [await open(server, alice, "A1"), await open(server, bob, "B1"), await open(server, carol, "C1")];
    const live = a.conversations.live();
    look(live);
    const list = () =>
      live.getSnapshot()?.map(({ conversation, unread, last }) => [conversation, unread, last && shown(last)]);
    const [withBob, withCarol] = [a.conversations.direct(bob), a.conversations.direct(carol)];
    await sendAll(b, withBob, ["from bob", "again"]);
    await expect.poll(list).toEqual([[withBob, 2, "again"]]);
    await sendAll(c, withCarol, ["from carol"]);
    await expect.poll(list).toEqual([
      [withCarol, 1, "from carol"],
      [withBob, 2, "again"],
    ]);
    a.conversations.markRead(withBob, Number.MAX_SAFE_INTEGER);
    await expect.poll(list).toEqual([
      [withCarol, 1, "from carol"],
      [withBob, 0, "again"],
    ]);
    expect(await a.conversations.list()).toEqual(live.getSnapshot());
  });

  test("what only changes a message is not the last one, and does not count as unread", async () => {
    const { a, b, conversation } = await friends();
    const message = await a.messages.send(conversation, "helo");
    await message.sent;
    await soon(b, conversation).toEqual(["helo"]);
    const live = b.conversations.live();
    look(live);
    await expect.poll(() => live.getSnapshot()?.[0]?.last?.content).toMatchObject({ text: "helo" });
    await (await a.messages.edit(message, "hello")).sent;
    await expect.poll(() => live.getSnapshot()?.[0]?.last?.content).toMatchObject({ text: "hello" });
    expect(live.getSnapshot()?.[0]?.unread).toBe(1);
    expect(await b.conversations.list()).toEqual(live.getSnapshot());
  });

  test("what was not looked at for a while is read anew", async () => {
    const { a, b, conversation } = await friends();
    const live = b.conversations.live();
    const { end } = look(live);
    await sendAll(a, conversation, ["one"]);
    await expect.poll(() => live.getSnapshot()?.[0]?.unread).toBe(1);
    end();
    await sendAll(a, conversation, ["two"]);
    await soon(b, conversation).toEqual(["one", "two"]);
    look(live);
    await expect.poll(() => live.getSnapshot()?.[0]?.unread).toBe(2);
  });

  test("what has expired is neither unread nor last", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    try {
      const { a, b, conversation } = await friends();
      await sendAll(a, conversation, ["stays"]);
      await (await a.messages.send(conversation, { kind: "text", text: "goes", expiresAfter: 86_400 })).sent;
      await soon(b, conversation).toEqual(["stays", "goes"]);
      expect((await b.conversations.list())[0]).toMatchObject({ unread: 2, last: { content: { text: "goes" } } });
      vi.setSystemTime(Date.now() + 86_400_000 + 60_000);
      expect((await b.conversations.list())[0]).toMatchObject({ unread: 1, last: { content: { text: "stays" } } });
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("the connection, live", () => {
  test("says in which state it is", async () => {
    const server = newServer();
    const { chat } = await openOffline(server, alice, "A1");
    const live = chat.connection.live();
    const { snapshots, end } = look(live);
    chat.connection.open();
    await chat.connection.caughtUp();
    expect(snapshots[0]).toBe("offline");
    expect(snapshots.at(-1)).toBe("live");
    end();
    chat.connection.close();
    expect(snapshots.at(-1)).toBe("live");
    expect(live.getSnapshot()).toBe("offline");
  });
});
