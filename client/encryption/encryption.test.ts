import { describe, expect, test } from "vitest";
import { alice, bob, deviceOf, newServer, openOffline, sendAll, soon } from "../../test/fake/chats.ts";
import { ChatError } from "../chat-error.ts";
import { MemoryStore } from "../store/memory.ts";

describe("an identity that is begun anew", { timeout: 30_000 }, () => {
  test("reaches the server, though that broke off at first", async () => {
    const server = newServer();
    await openOffline(server, alice, "A0");
    const { account } = server.signIn(alice, deviceOf("A1"));
    const delivery = { ...account.delivery, uploadKeys: () => Promise.reject(new ChatError("unavailable")) };
    const store = new MemoryStore();
    const failing = openOffline(server, alice, "A1", { store, resetIdentity: true, account: { ...account, delivery } });
    await expect(failing).rejects.toMatchObject({ code: "unavailable" });
    const { chat: a } = await openOffline(server, alice, "A1", { store });
    a.connection.open();
    await a.connection.caughtUp();
    const { chat: b } = await openOffline(server, bob, "B1");
    b.connection.open();
    const conversation = b.conversations.direct(alice);
    await sendAll(b, conversation, ["hello"]);
    await soon(a, conversation).toEqual(["hello"]);
    const number = await a.identity.safetyNumber(bob);
    await expect(b.identity.safetyNumber(alice)).resolves.toBe(number);
  });

  test("is not begun once more where it is, however often that is asked for", async () => {
    const server = newServer();
    const opened = await openOffline(server, alice, "A1");
    opened.chat.connection.open();
    const { chat: b } = await openOffline(server, bob, "B1");
    b.connection.open();
    const conversation = b.conversations.direct(alice);
    await sendAll(opened.chat, conversation, ["before"]);
    await soon(b, conversation).toEqual(["before"]);
    await opened.chat[Symbol.asyncDispose]();
    const { chat: a } = await openOffline(server, alice, "A1", { store: opened.store, resetIdentity: true });
    a.connection.open();
    await a.connection.caughtUp();
    await sendAll(a, conversation, ["after"]);
    await soon(b, conversation).toEqual(["before", "after"]);
    const number = await a.identity.safetyNumber(bob);
    await expect(b.identity.safetyNumber(alice)).resolves.toBe(number);
  });
});
