import { describe, expect, test } from "vitest";
import { MAX_AWAITED_MESSAGES } from "../../shared/limits.ts";
import {
  alice,
  bob,
  carol,
  deviceOf,
  newServer,
  open,
  openOffline,
  sendAll,
  shown,
  soon,
} from "../../test/fake/chats.ts";
import type { Chat } from "../chat.ts";
import { makeAccountKey } from "../identity/account-key.ts";
import { decodeCursor, encodeCursor, nothingTold } from "./event-cursor.ts";
import type { Incoming } from "./events.ts";

/** The next `count` messages that are to be read, and nothing of what is about the group. */
async function take(chat: Chat, count: number, after?: string): Promise<Incoming[]> {
  const taken: Incoming[] = [];
  if (count === 0) return taken;
  for await (const incoming of chat.events(after === undefined ? {} : { after })) {
    if (!incoming.message.isEvent) taken.push(incoming);
    if (taken.length === count) return taken;
  }
  throw new Error(`ended after ${taken.length}`);
}

const said = (incoming: readonly Incoming[]) => incoming.map(({ message }) => shown(message));

async function friends() {
  const server = newServer();
  const a = await open(server, alice, "A1");
  const bot = await openOffline(server, bob, "B1");
  bot.chat.connection.open();
  return { server, a, bot, conversation: a.conversations.direct(bob) };
}

describe("events", () => {
  test("what is there, then what comes, in order", async () => {
    const { a, bot, conversation } = await friends();
    await sendAll(a, conversation, ["one", "two"]);
    await soon(bot.chat, conversation).toEqual(["one", "two"]);
    const taken = take(bot.chat, 4);
    await sendAll(a, conversation, ["three", "four"]);
    expect(said(await taken)).toEqual(["one", "two", "three", "four"]);
  });

  test("one's own messages are not told, from whichever device", async () => {
    const { a, server, conversation } = await friends();
    const accountKey = await makeAccountKey();
    const c1 = await open(server, carol, "C1", { accountKey });
    const c2 = await open(server, carol, "C2", { accountKey });
    const withCarol = a.conversations.direct(carol);
    await sendAll(c1, withCarol, ["from the other device"]);
    await sendAll(a, withCarol, ["from alice"]);
    expect(said(await take(c2, 1))).toEqual(["from alice"]);
    expect(conversation).not.toBe(withCarol);
  });

  test("after each cursor exactly the rest comes, also in another run of the app", async () => {
    const { server, a, bot, conversation } = await friends();
    const c = await open(server, carol, "C1");
    const withCarol = c.conversations.direct(bob);
    await sendAll(a, conversation, ["a1", "a2", "a3"]);
    await sendAll(c, withCarol, ["c1", "c2"]);
    await soon(bot.chat, conversation).toEqual(["a1", "a2", "a3"]);
    await soon(bot.chat, withCarol).toEqual(["c1", "c2"]);
    const all = await take(bot.chat, 5);
    const { chat } = await bot.reopen();
    for (const [index, { cursor }] of all.entries()) {
      const rest = await take(chat, 4 - index, cursor);
      expect(said(rest)).toEqual(said(all.slice(index + 1)));
    }
    const next = take(chat, 2, all.at(-1)?.cursor);
    chat.connection.open();
    await sendAll(a, conversation, ["a4"]);
    await sendAll(c, withCarol, ["c3"]);
    expect(said(await next).sort()).toEqual(["a4", "c3"]);
  });

  test("what changes a message comes as an event, and the message as it is by then", async () => {
    const { a, bot, conversation } = await friends();
    const message = await a.messages.send(conversation, "helo");
    await message.sent;
    await (await a.messages.edit(message, "hello")).sent;
    const gone = await a.messages.send(conversation, "oops");
    await gone.sent;
    await (await a.messages.delete(gone)).sent;
    await soon(bot.chat, conversation).toEqual(["hello", "<deleted>"]);
    const kinds: string[] = [];
    for await (const { message } of bot.chat.events()) {
      kinds.push(shown(message));
      if (message.content.kind === "deletion") break;
    }
    expect(kinds).toEqual(["<group>", "hello", "<edit>", "<deleted>", "<deletion>"]);
  });

  test("several at a time know nothing of each other", async () => {
    const { a, bot, conversation } = await friends();
    const both = [take(bot.chat, 2), take(bot.chat, 2)];
    await sendAll(a, conversation, ["one", "two"]);
    expect((await Promise.all(both)).map(said)).toEqual([
      ["one", "two"],
      ["one", "two"],
    ]);
  });

  test("they end with the chat", async () => {
    const { a, bot, conversation } = await friends();
    await sendAll(a, conversation, ["one"]);
    const seen: string[] = [];
    const loop = (async () => {
      for await (const { message } of bot.chat.events()) if (!message.isEvent) seen.push(shown(message));
      return "ended";
    })();
    await expect.poll(() => seen).toEqual(["one"]);
    await bot.chat[Symbol.asyncDispose]();
    expect(await loop).toBe("ended");
  });

  test("what ends the connection for good is thrown, after what has come", async () => {
    const { a, bot, server, conversation } = await friends();
    await sendAll(a, conversation, ["one"]);
    await soon(bot.chat, conversation).toEqual(["one"]);
    const seen: string[] = [];
    const loop = (async () => {
      for await (const { message } of bot.chat.events()) if (!message.isEvent) seen.push(shown(message));
    })();
    server.devices.get(deviceOf("B1"))?.listener?.closed(4001);
    await expect(loop).rejects.toMatchObject({ name: "ChatError", code: "revoked" });
    expect(seen).toEqual(["one"]);
  });

  test("a text that is no cursor", async () => {
    const { bot } = await friends();
    expect(() => bot.chat.events({ after: "yesterday" })).toThrow(expect.objectContaining({ code: "malformed" }));
  });
});

describe("a message that cannot be opened at first", { timeout: 30_000 }, () => {
  /** As in healing.test.ts: Bob's first device loses its place, and what it misses comes later. */
  async function lostPlace() {
    const server = newServer();
    const accountKey = await makeAccountKey();
    const a = await open(server, alice, "A1");
    const bot = await openOffline(server, bob, "B1", { accountKey });
    bot.chat.connection.open();
    const conversation = a.conversations.direct(bob);
    await sendAll(a, conversation, ["one"]);
    await soon(bot.chat, conversation).toEqual(["one"]);
    bot.chat.connection.close();
    server.tamper.entry = (entry, to) =>
      to === deviceOf("B1") && entry.seq === 3
        ? { ...entry, body: entry.body.map((byte, at) => (at > 100 ? byte ^ 1 : byte)) }
        : entry;
    const b2 = await open(server, bob, "B2", { accountKey });
    await sendAll(b2, conversation, ["mine"]);
    await sendAll(a, conversation, ["two", "three"]);
    return { bot };
  }

  test("comes once, when it can be, also in another run of the app", async () => {
    const { bot } = await lostPlace();
    const [one] = await take(bot.chat, 1);
    bot.chat.connection.open();
    const healed = await take(bot.chat, 2, one?.cursor);
    // In whichever order they are said again.
    expect(said(healed).sort()).toEqual(["three", "two"]);
    const { chat } = await bot.reopen();
    expect(said(await take(chat, 1, healed[0]?.cursor))).toEqual(said(healed.slice(1)));
    const none = take(chat, 1, healed[1]?.cursor).catch(() => "ended");
    await chat[Symbol.asyncDispose]();
    expect(await none).toBe("ended");
  });
});

describe("a cursor", () => {
  const group = "01HZZZZZZZZZZZZZZZZZZZZZZG";
  const position = (seq: number, ...awaited: number[]) => ({ seq, awaited });

  test("says the same when it is read again", () => {
    const positions = nothingTold
      .set(`${alice}.${bob}`, position(1_000_000, 3, 999_999))
      .set(`${bob}.${bob}`, position(0))
      .set(`${bob}.${carol}`, position(7))
      .set(group, position(Number.MAX_SAFE_INTEGER));
    const cursor = encodeCursor(positions, bob);
    expect(cursor).toMatch(/^[\w.-]+$/);
    expect(Object.fromEntries(decodeCursor(cursor, bob))).toEqual(Object.fromEntries(positions));
    expect(decodeCursor(encodeCursor(nothingTold, bob), bob).size).toBe(0);
  });

  test("takes at most some 40 characters a conversation, however much was said", () => {
    const positions = nothingTold.set(`${alice}.${bob}`, position(10_000_000)).set(group, position(10_000_000));
    expect(encodeCursor(positions, bob).length / 2).toBeLessThan(40);
  });

  test.each([
    "",
    "2",
    `1.d${alice}`,
    `1.x${alice}-1`,
    `1.d${alice}-`,
    `1.d${alice}--1`,
    `1.d${alice}-1_`,
    "1.d-1",
    `1.d${alice.toLowerCase()}-1`,
    `1.d${alice}${"-1".repeat(MAX_AWAITED_MESSAGES + 2)}`,
    `1.d${alice}-zzzzzzzzzzz`,
    "1".repeat(5_000_000),
  ])("refuses %#", (text) => {
    expect(() => decodeCursor(text, bob)).toThrow(expect.objectContaining({ code: "malformed" }));
  });
});
