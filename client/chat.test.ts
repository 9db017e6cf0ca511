import { ulid } from "ulid";
import { describe, expect, test } from "vitest";
import { directConversation } from "../shared/ids.ts";
import { alice, bob, carol, newServer, open, openOffline, said, sendAll, shown, soon } from "../test/fake/chats.ts";
import { importAccountKey, makeAccountKey } from "./identity/account-key.ts";

async function friends() {
  const server = newServer();
  const a = await open(server, alice, "A1");
  const b = await open(server, bob, "B1");
  return { server, a, b, conversation: a.conversations.direct(bob) };
}

describe("two people", () => {
  test("write to each other", async () => {
    const { a, b, conversation } = await friends();
    await sendAll(a, conversation, ["hello"]);
    await sendAll(b, conversation, ["hi"]);
    await soon(a, conversation).toEqual(["hello", "hi"]);
    await soon(b, conversation).toEqual(["hello", "hi"]);
  });

  test("both write first at the same time: one group remains, and nothing is lost", async () => {
    const { server, a, b, conversation } = await friends();
    const sent = await Promise.all([a.messages.send(conversation, "from a"), b.messages.send(conversation, "from b")]);
    await Promise.all(sent.map((message) => message.sent));
    for (const chat of [a, b]) {
      await expect.poll(async () => (await said(chat, conversation)).sort()).toEqual(["from a", "from b"]);
    }
    expect(server.conversation(conversation).epoch).toBe(1);
  });

  test("somebody who was away when the group began finds it, and what was said", async () => {
    const server = newServer();
    const { chat: b } = await openOffline(server, bob, "B1");
    const a = await open(server, alice, "A1");
    const conversation = a.conversations.direct(bob);
    await sendAll(a, conversation, ["one", "two"]);
    b.connection.open();
    await soon(b, conversation).toEqual(["one", "two"]);
    await sendAll(b, conversation, ["three"]);
    await soon(a, conversation).toEqual(["one", "two", "three"]);
  });

  test("what was written offline goes when there is a connection, in order, after a restart too", async () => {
    const server = newServer();
    const first = await openOffline(server, alice, "A1");
    const b = await open(server, bob, "B1");
    const conversation = b.conversations.direct(alice);
    for (const text of ["one", "two", "three"]) await first.chat.messages.send(conversation, text);
    const { chat: a } = await first.reopen();
    a.connection.open();
    await soon(b, conversation).toEqual(["one", "two", "three"]);
  });

  test("somebody who does not exist cannot be written to: the message fails", async () => {
    const server = newServer();
    const a = await open(server, alice, "A1");
    const message = await a.messages.send(a.conversations.direct(bob), "anybody?");
    await expect(message.sent).rejects.toMatchObject({ code: "not_found" });
  });

  test("a group begins by being made, and not by an id that somebody has mistyped", async () => {
    const server = newServer();
    const a = await open(server, alice, "A1");
    await open(server, bob, "B1");
    const unknown = ulid();
    const message = await a.messages.send(unknown, "anybody?");
    await expect(message.sent).rejects.toMatchObject({ code: "not_found" });
    await expect(a.conversations.add(unknown, [bob])).rejects.toMatchObject({ code: "not_found" });
    expect(server.conversation(unknown).group).toBeUndefined();
  });

  test("what is nobody's id is refused at once, and leaves nothing", async () => {
    const server = newServer();
    const a = await open(server, alice, "A1");
    const notFound = { name: "ChatError", code: "not_found" };
    for (const conversation of [
      "",
      "nonsense",
      directConversation(bob, carol),
      `${bob}.${alice}`,
      ulid().toLowerCase(),
    ]) {
      await expect(a.messages.send(conversation, "?"), conversation).rejects.toMatchObject(notFound);
    }
    for (const user of ["", "bob"]) {
      expect(() => a.conversations.direct(user), user).toThrow(expect.objectContaining(notFound));
    }
    await expect(a.conversations.list()).resolves.toEqual([]);
  });

  test("a conversation with oneself", async () => {
    const server = newServer();
    const a = await open(server, alice, "A1");
    await sendAll(a, a.conversations.direct(alice), ["note"]);
    expect(await said(a, a.conversations.direct(alice))).toEqual(["note"]);
  });

  test("messages that are on their way when the epoch ends are sealed anew, none twice", async () => {
    const server = newServer();
    const accountKey = await makeAccountKey();
    const a = await open(server, alice, "A1");
    const b = await open(server, bob, "B1", { accountKey });
    const conversation = a.conversations.direct(bob);
    await sendAll(a, conversation, ["start"]);
    await soon(b, conversation).toEqual(["start"]);
    const texts = Array.from({ length: 40 }, (_, at) => `${at}`);
    const sending = texts.map((text) => a.messages.send(conversation, text));
    const b2 = await open(server, bob, "B2", { accountKey });
    await b2.messages.send(conversation, "from the new device");
    for (const message of await Promise.all(sending)) await message.sent;
    for (const chat of [a, b]) {
      const got = async () =>
        (await chat.messages.list(conversation, { limit: 100 })).filter((m) => !m.isEvent).map(shown);
      await expect
        .poll(async () => (await got()).filter((text) => text !== "from the new device"))
        .toEqual(["start", ...texts]);
    }
  });
});

describe("several devices of one person", () => {
  async function twoOfBob() {
    const server = newServer();
    const accountKey = await makeAccountKey();
    const a = await open(server, alice, "A1");
    const b1 = await open(server, bob, "B1", { accountKey });
    const b2 = await open(server, bob, "B2", { accountKey: await importAccountKey(accountKey.seed) });
    return { server, a, b1, b2, conversation: a.conversations.direct(bob), accountKey };
  }

  test("all get what is written to the person, and what the person writes", async () => {
    const { a, b1, b2, conversation } = await twoOfBob();
    await sendAll(a, conversation, ["to both"]);
    await soon(b1, conversation).toEqual(["to both"]);
    await sendAll(b1, conversation, ["from one"]);
    await soon(b2, conversation).toEqual(["to both", "from one"]);
  });

  test("a device that nobody has added joins by itself as soon as it has something to say", async () => {
    const { server, a, b1, conversation, accountKey } = await twoOfBob();
    await sendAll(a, conversation, ["before"]);
    await soon(b1, conversation).toEqual(["before"]);
    const b3 = await open(server, bob, "B3", { accountKey });
    await sendAll(b3, conversation, ["here I am"]);
    await soon(a, conversation).toEqual(["before", "here I am"]);
    await sendAll(a, conversation, ["welcome"]);
    await soon(b3, conversation).toEqual(["here I am", "welcome"]);
  });

  test("a device without the account's key is locked, and may begin a new identity, which the others are shown", async () => {
    const { server, a, b1, conversation } = await twoOfBob();
    await sendAll(a, conversation, ["hello"]);
    await soon(b1, conversation).toEqual(["hello"]);
    await expect(openOffline(server, bob, "B3")).rejects.toMatchObject({ code: "identity_locked" });
    const changes: unknown[] = [];
    a.on("key_changed", ({ user }) => changes.push(user));
    const anew = await open(server, bob, "B4", { resetIdentity: true });
    await sendAll(anew, conversation, ["new phone"]);
    await soon(a, conversation).toEqual(["hello", "new phone"]);
    expect(changes).toContain(bob);
  });
});

describe("groups", () => {
  async function group() {
    const server = newServer();
    const [a, b, c] = [await open(server, alice, "A1"), await open(server, bob, "B1"), await open(server, carol, "C1")];
    return { server, a, b, c };
  }

  test("three people, of whom one is removed", async () => {
    const { server, a, b, c } = await group();
    const made = await a.conversations.createGroup([bob, carol]);
    for (const user of [alice, bob, carol]) server.conversation(made).members.add(user);
    await sendAll(a, made, ["all"]);
    for (const chat of [b, c]) {
      chat.connection.close();
      chat.connection.open();
      await soon(chat, made).toEqual(["all"]);
    }
    expect((await a.conversations.members(made)).sort()).toEqual([alice, bob, carol]);
    await a.conversations.remove(made, [carol]);
    // A server that goes on delivering gives nothing away.
    server.conversation(made).members.add(carol);
    await sendAll(a, made, ["without carol"]);
    await soon(b, made).toEqual(["all", "without carol"]);
    const got = async () => (await c.messages.list(made)).map(shown);
    await expect.poll(got).toEqual(["<group>", "all", "<group>", "<unreadable>"]);
  });
});
