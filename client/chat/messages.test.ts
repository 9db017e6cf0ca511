import { afterEach, describe, expect, test, vi } from "vitest";
import { EDIT_WINDOW_MS, MAX_EXCERPT_CHARS, MAX_TEXT_CHARS } from "../../shared/limits.ts";
import { alice, bob, newServer, open, openOffline, said, sendAll, soon } from "../../test/fake/chats.ts";
import type { Chat } from "../chat.ts";
import { ChatError } from "../chat-error.ts";
import type { Content } from "../content.ts";

const DAY_MS = 86_400_000;

afterEach(() => {
  vi.useRealTimers();
});

async function friends() {
  const server = newServer();
  const a = await open(server, alice, "A1");
  const b = await open(server, bob, "B1");
  return { server, a, b, conversation: a.conversations.direct(bob) };
}

/** What everybody sees of the last message. */
const last = async (chat: Chat, conversation: string) => (await chat.messages.list(conversation)).at(-1);

async function sendAndWait(chat: Chat, conversation: string, message: string | Content = "hello") {
  const sent = await chat.messages.send(conversation, message);
  await sent.sent;
  return sent;
}

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "fulfilled",
    (error) => (error instanceof ChatError ? error.code : error),
  );

describe("a message and what becomes of it", () => {
  test("appears at once, pending, and is sent", async () => {
    const server = newServer();
    const { chat } = await openOffline(server, alice, "A1");
    const conversation = chat.conversations.direct(alice);
    const message = await chat.messages.send(conversation, "hello");
    expect(await last(chat, conversation)).toMatchObject({ id: message.id, status: "pending", seq: undefined });
    chat.connection.open();
    const { seq, at } = await message.sent;
    expect(await last(chat, conversation)).toMatchObject({ id: message.id, status: "sent", seq, at });
  });

  test("reactions are counted, and one takes another's place or is taken back", async () => {
    const { a, b, conversation } = await friends();
    const message = await sendAndWait(a, conversation);
    await soon(b, conversation).toEqual(["hello"]);
    await b.messages.react(message, "👍");
    await (await a.messages.react(message, "👍")).sent;
    for (const chat of [a, b]) {
      const reactions = async () => (await last(chat, conversation))?.reactions;
      await expect.poll(reactions).toMatchObject([{ emoji: "👍", users: expect.arrayContaining([alice, bob]) }]);
    }
    await (await b.messages.react(message, "🎉")).sent;
    await (await a.messages.react(message, "")).sent;
    await expect.poll(async () => (await last(a, conversation))?.reactions).toEqual([{ emoji: "🎉", users: [bob] }]);
  });

  test("what this person does shows before it is sent", async () => {
    const { a, conversation } = await friends();
    const message = await sendAndWait(a, conversation);
    a.connection.close();
    await a.messages.react(message, "👍");
    await a.messages.edit(message, "hello you");
    expect(await last(a, conversation)).toMatchObject({
      content: { kind: "text", text: "hello you" },
      reactions: [{ emoji: "👍", users: [alice] }],
    });
  });

  test("an edit gives it other words", async () => {
    const { a, b, conversation } = await friends();
    const message = await sendAndWait(a, conversation, "helo");
    await a.messages.edit(message, "hello");
    await soon(b, conversation).toEqual(["hello"]);
    expect(await last(b, conversation)).toMatchObject({ id: message.id, editedAt: expect.any(Number) });
  });

  test("deleted for everyone it says nothing any more, whatever comes after", async () => {
    const { a, b, conversation } = await friends();
    const message = await sendAndWait(a, conversation);
    await soon(b, conversation).toEqual(["hello"]);
    await (await b.messages.react(message, "👍")).sent;
    await (await a.messages.delete(message)).sent;
    await soon(b, conversation).toEqual(["<deleted>"]);
    expect(await last(b, conversation)).toMatchObject({ content: { kind: "deleted", by: alice }, reactions: [] });
    expect(await codeOf(b.messages.react(message, "👍"))).toBe("not_found");
  });

  test("votes are tallied option by option", async () => {
    const { a, b, conversation } = await friends();
    const poll = { kind: "poll", question: "When?", options: ["now", "later"], multiple: false } as const;
    const message = await sendAndWait(a, conversation, poll);
    await soon(b, conversation).toEqual(["<poll>"]);
    expect((await last(b, conversation))?.tally).toEqual([
      { option: "now", voters: [] },
      { option: "later", voters: [] },
    ]);
    await (await b.messages.vote(message, [1])).sent;
    await expect.poll(async () => (await last(a, conversation))?.tally?.[1]?.voters).toEqual([bob]);
    expect(await codeOf(b.messages.vote(message, [0, 1]))).toBe("not_allowed");
    expect(await codeOf(b.messages.vote(message, [2]))).toBe("not_allowed");
  });

  test("pinned and unpinned", async () => {
    const { a, b, conversation } = await friends();
    const message = await sendAndWait(a, conversation);
    await (await a.messages.pin(message)).sent;
    await expect.poll(async () => (await last(b, conversation))?.isPinned).toBe(true);
    await (await b.messages.pin(message, false)).sent;
    await expect.poll(async () => (await last(a, conversation))?.isPinned).toBe(false);
  });

  test("hidden for me it is gone here, after a restart too, and nowhere else", async () => {
    const server = newServer();
    const opened = await openOffline(server, alice, "A1");
    opened.chat.connection.open();
    const b = await open(server, bob, "B1");
    const conversation = b.conversations.direct(alice);
    await sendAll(opened.chat, conversation, ["one", "two"]);
    await soon(b, conversation).toEqual(["one", "two"]);
    const [message] = (await opened.chat.messages.list(conversation)).filter(({ isEvent }) => !isEvent);
    if (!message) throw new Error("no message");
    await opened.chat.messages.deleteForMe(message);
    expect(await said(opened.chat, conversation)).toEqual(["two"]);
    expect(await opened.chat.messages.find(message)).toBeUndefined();
    const { chat } = await opened.reopen();
    expect(await said(chat, conversation)).toEqual(["two"]);
    expect(await said(b, conversation)).toEqual(["one", "two"]);
  });

  test("a message that failed can be put away", async () => {
    const server = newServer();
    const a = await open(server, alice, "A1");
    const conversation = a.conversations.direct(bob);
    const message = await a.messages.send(conversation, "anybody?");
    await expect(message.sent).rejects.toMatchObject({ code: "not_found" });
    expect(await last(a, conversation)).toMatchObject({ status: "failed", failure: "not_found" });
    await a.messages.deleteForMe(message);
    expect(await a.messages.list(conversation)).toEqual([]);
  });
});

describe("answers and forwards", () => {
  test("a reply quotes the first words, and no half characters", async () => {
    const { a, b, conversation } = await friends();
    const long = `${"x".repeat(MAX_EXCERPT_CHARS - 1)}😀`;
    const message = await sendAndWait(a, conversation, long);
    await soon(b, conversation).toEqual([long]);
    await b.messages.reply(message, "what?");
    await soon(a, conversation).toEqual([long, "what?"]);
    const reply = { id: message.id, author: alice, excerpt: "x".repeat(MAX_EXCERPT_CHARS - 1) };
    expect(await last(a, conversation)).toMatchObject({ content: { text: "what?", reply } });
  });

  test("what is forwarded is what the message says now, and counts how often", async () => {
    const { a, conversation } = await friends();
    const message = await sendAndWait(a, conversation, "helo");
    await (await a.messages.edit(message, "hello")).sent;
    const notes = a.conversations.direct(alice);
    await (await a.messages.forward(message, notes)).sent;
    expect(await last(a, notes)).toMatchObject({ content: { text: "hello", forwarded: 1 } });
  });

  test("what is to be seen once is not forwarded", async () => {
    const { a, conversation } = await friends();
    const file = { id: "f", key: "k".repeat(43), hash: "h".repeat(43), bytes: 1, type: "image/png" };
    const picture = { kind: "image", file, width: 1, height: 1, viewOnce: true } as const;
    const message = await sendAndWait(a, conversation, picture);
    expect(await codeOf(a.messages.forward(message, conversation))).toBe("not_allowed");
  });
});

describe("what is refused", () => {
  test("a change of what has no place yet, of what is not here, of another's words", async () => {
    const { a, b, conversation } = await friends();
    const message = await sendAndWait(a, conversation);
    await soon(b, conversation).toEqual(["hello"]);
    expect(await codeOf(b.messages.edit(message, "mine"))).toBe("not_allowed");
    expect(await codeOf(b.messages.delete(message))).toBe("not_allowed");
    const nowhere = { conversation, id: `${message.id.slice(0, -1)}${message.id.endsWith("0") ? "1" : "0"}` };
    expect(await codeOf(b.messages.react(nowhere, "👍"))).toBe("not_found");
    a.connection.close();
    const pending = await a.messages.send(conversation, "later");
    for (const refused of [
      a.messages.react(pending, "👍"),
      a.messages.reply(pending, "x"),
      a.messages.deleteForMe(pending),
    ]) {
      expect(await codeOf(refused)).toBe("not_sent");
    }
  });

  test("an edit that comes too late", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { a, conversation } = await friends();
    const message = await sendAndWait(a, conversation);
    vi.setSystemTime(Date.now() + EDIT_WINDOW_MS + 1);
    expect(await codeOf(a.messages.edit(message, "too late"))).toBe("not_allowed");
    expect(await codeOf(a.messages.delete(message))).toBe("fulfilled");
  });

  test("a change of what is no message: a line about the group", async () => {
    const { a, conversation } = await friends();
    await sendAndWait(a, conversation);
    const [line] = await a.messages.list(conversation);
    if (!line?.isEvent) throw new Error("no line about the group");
    expect(await codeOf(a.messages.react(line, "👍"))).toBe("not_found");
  });

  test("what others could not read is refused by a ChatError, as everything", async () => {
    const { a, conversation } = await friends();
    expect(await codeOf(a.messages.send(conversation, ""))).toBe("malformed");
    expect(await codeOf(a.messages.send(conversation, "x".repeat(MAX_TEXT_CHARS + 1)))).toBe("too_large");
    const huge: Content = { kind: "unknown", original: { kind: "later", text: "x".repeat(60_000) } };
    expect(await codeOf(a.messages.send(conversation, huge))).toBe("too_large");
    const message = await sendAndWait(a, conversation);
    expect(await codeOf(a.messages.react(message, "no emoji"))).toBe("malformed");
  });
});

describe("messages that disappear", () => {
  test("from the timer on, whoever writes, and after a restart", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const server = newServer();
    const opened = await openOffline(server, alice, "A1");
    opened.chat.connection.open();
    const b = await open(server, bob, "B1");
    const conversation = b.conversations.direct(alice);
    await sendAll(opened.chat, conversation, ["stays"]);
    await (await opened.chat.messages.setTimer(conversation, 86_400)).sent;
    await sendAll(opened.chat, conversation, ["goes"]);
    await soon(b, conversation).toEqual(["stays", "goes"]);
    await sendAll(b, conversation, ["goes too"]);
    await soon(opened.chat, conversation).toEqual(["stays", "goes", "goes too"]);
    const { chat } = await opened.reopen();
    await chat.messages.send(conversation, "goes as well");
    vi.setSystemTime(Date.now() + DAY_MS + 60_000);
    for (const each of [chat, b]) expect(await said(each, conversation)).toEqual(["stays"]);
    expect((await chat.conversations.list())[0]?.last).toMatchObject({ content: { kind: "timer", seconds: 86_400 } });
  });

  test("a timer that is still to be sent holds for what is written after it, and one that fails does not", async () => {
    const { a, server, conversation } = await friends();
    await sendAndWait(a, conversation, "first");
    a.connection.close();
    await a.messages.setTimer(conversation, 604_800);
    await a.messages.send(conversation, "goes");
    expect(await last(a, conversation)).toMatchObject({ content: { expiresAfter: 604_800 } });
    expect((await last(a, conversation))?.expiresAt).toBeGreaterThan(Date.now());
    server.conversation(conversation).members.delete(alice);
    a.connection.open();
    await expect.poll(async () => (await last(a, conversation))?.status).toBe("failed");
    await a.messages.send(conversation, "stays");
    expect((await last(a, conversation))?.expiresAt).toBeUndefined();
  });
});

describe("what is read", () => {
  test("a page counts what is to be seen, however many changes stand between", async () => {
    const { a, conversation } = await friends();
    const texts = Array.from({ length: 6 }, (_, at) => `${at}`);
    for (const text of texts) {
      const message = await sendAndWait(a, conversation, text);
      for (const emoji of ["👍", "🎉", "👍"]) await a.messages.react(message, emoji);
    }
    const page = await a.messages.list(conversation, { limit: 3 });
    expect(page.map(({ content }) => "text" in content && content.text)).toEqual(["3", "4", "5"]);
    const before = page[0]?.seq ?? 0;
    const earlier = await a.messages.list(conversation, { before, limit: 2 });
    expect(earlier.map(({ content }) => "text" in content && content.text)).toEqual(["1", "2"]);
    expect(earlier.map(({ reactions }) => reactions)).toEqual([
      [{ emoji: "👍", users: [alice] }],
      [{ emoji: "👍", users: [alice] }],
    ]);
  });

  test("what has become of a message long ago shows on whichever page it stands", async () => {
    const { a, b, conversation } = await friends();
    const message = await sendAndWait(a, conversation, "first");
    await sendAll(a, conversation, ["2", "3", "4"]);
    await (await a.messages.delete(message)).sent;
    await expect.poll(async () => (await b.messages.find(message))?.content.kind).toBe("deleted");
    const [first] = (await b.messages.list(conversation, { before: 3, limit: 5 })).filter(({ isEvent }) => !isEvent);
    expect(first?.content).toEqual({ kind: "deleted", by: alice });
  });

  test("read marks", async () => {
    const { a, b, conversation } = await friends();
    await sendAll(a, conversation, ["one", "two", "three"]);
    await soon(b, conversation).toEqual(["one", "two", "three"]);
    const unread = async () => (await b.conversations.list())[0]?.unread;
    expect(await unread()).toBe(3);
    const messages = (await b.messages.list(conversation)).filter(({ isEvent }) => !isEvent);
    if (messages[0]) b.messages.markRead(messages[0]);
    expect(await unread()).toBe(2);
    b.messages.markRead({ conversation, seq: undefined });
    expect(await unread()).toBe(0);
  });
});
