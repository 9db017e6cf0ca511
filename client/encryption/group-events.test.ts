import { describe, expect, test } from "vitest";
import { alice, bob, carol, deviceOf, newServer, open, openOffline, sendAll, soon } from "../../test/fake/chats.ts";
import type { FakeServer } from "../../test/fake/server.ts";
import type { Chat } from "../chat.ts";
import { makeAccountKey } from "../identity/account-key.ts";

/** What is shown there of who came and went. */
async function shownOf(chat: Chat, conversation: string) {
  const messages = await chat.messages.list(conversation);
  return messages.flatMap(({ content }) => (content.kind === "group" ? [content] : []));
}

const soonShown = (chat: Chat, conversation: string) =>
  expect.poll(() => shownOf(chat, conversation), { timeout: 15_000 });

/** This device does not understand the commit at this place, and has lost its own from there on. */
function spoil(server: FakeServer, name: string, seq: number): void {
  server.tamper.entry = (entry, to) =>
    to === deviceOf(name) && entry.seq === seq
      ? { ...entry, body: entry.body.map((byte, at) => (at > 100 ? byte ^ 1 : byte)) }
      : entry;
}

const founding = { kind: "group", by: alice, added: [alice, bob], removed: [] };

describe("what is shown of a group", { timeout: 30_000 }, () => {
  test("R17 who has added somebody: as it was signed, whatever the server says", async () => {
    const server = newServer();
    const a = await open(server, alice, "A1");
    const b = await open(server, bob, "B1");
    const c = await open(server, carol, "C1");
    server.tamper.entry = (entry, to) =>
      to === deviceOf("B1") ? entry : { ...entry, user: bob, ...(to === deviceOf("C1") && { device: deviceOf("B1") }) };
    const group = await a.conversations.createGroup([bob]);
    await soonShown(a, group).toEqual([founding]);
    await soonShown(b, group).toEqual([founding]);
    await a.conversations.add(group, [carol]);
    await soonShown(c, group).toEqual([{ kind: "group", by: alice, added: [carol], removed: [] }]);
  });

  test("who is removed sees that, and that nobody else was", async () => {
    const server = newServer();
    const a = await open(server, alice, "A1");
    const b = await open(server, bob, "B1");
    await open(server, carol, "C1");
    const group = await a.conversations.createGroup([bob]);
    await a.conversations.change(group, { add: [carol], remove: [bob] });
    await soonShown(b, group).toEqual([founding, { kind: "group", by: alice, added: [], removed: [bob] }]);
  });

  test("who comes back sees who came meanwhile; who did what, nobody has proved", async () => {
    const server = newServer();
    const a = await open(server, alice, "A1");
    const b = await open(server, bob, "B1");
    await open(server, carol, "C1");
    const group = await a.conversations.createGroup([bob]);
    await a.conversations.remove(group, [bob]);
    await a.conversations.add(group, [carol]);
    await a.conversations.add(group, [bob]);
    await soonShown(b, group).toEqual([
      founding,
      { kind: "group", by: alice, added: [], removed: [bob] },
      { kind: "group", added: [carol, bob], removed: [] },
    ]);
  });

  test("a device that joins from outside anew shows what has changed since, and says of nobody that they did it", async () => {
    const server = newServer();
    const a = await open(server, alice, "A1");
    const b = await openOffline(server, bob, "B1");
    b.chat.connection.open();
    await open(server, carol, "C1");
    const group = await a.conversations.createGroup([bob]);
    await soonShown(b.chat, group).toEqual([founding]);
    spoil(server, "B1", 2);
    await a.conversations.add(group, [carol]);
    await expect.poll(() => server.conversation(group).epoch, { timeout: 15_000 }).toBe(3);
    const since = { kind: "group", added: [carol], removed: [] };
    await soonShown(b.chat, group).toEqual([founding, since]);
    const { chat: again } = await b.reopen();
    await soonShown(again, group).toEqual([founding, since]);
  });

  test("who was there is known to a later run of the app", async () => {
    const server = newServer();
    const a = await open(server, alice, "A1");
    const b = await openOffline(server, bob, "B1", {});
    b.chat.connection.open();
    await open(server, carol, "C1");
    const group = await a.conversations.createGroup([bob, carol]);
    const all = { ...founding, added: [alice, bob, carol] };
    await soonShown(b.chat, group).toEqual([all]);
    spoil(server, "B1", 2);
    await b.chat[Symbol.asyncDispose]();
    const stuck = server.conversation(group).group;
    await a.conversations.remove(group, [carol]);
    const joinable = server.conversation(group).group;
    // Nothing to join from as long as this run lasts.
    Object.assign(server.conversation(group), { group: stuck });
    const second = await b.reopen();
    second.chat.connection.open();
    await expect.poll(async () => (await second.store.records(`people/${group}`)).length).toBe(1);
    await second.chat[Symbol.asyncDispose]();
    Object.assign(server.conversation(group), { group: joinable });
    const { chat: third } = await second.reopen();
    third.connection.open();
    await soonShown(third, group).toEqual([all, { kind: "group", added: [], removed: [carol] }]);
    await expect.poll(() => second.store.records(`people/${group}`)).toEqual([]);
  });

  test("a device that joins from outside anew where nobody came or went shows nothing of it", async () => {
    const server = newServer();
    const accountKey = await makeAccountKey();
    const a = await open(server, alice, "A1");
    const b = await open(server, bob, "B1", { accountKey });
    const conversation = a.conversations.direct(bob);
    await sendAll(a, conversation, ["one"]);
    await soonShown(b, conversation).toEqual([founding]);
    spoil(server, "B1", 3);
    // Nobody adds it: it lets itself in.
    const b2 = await open(server, bob, "B2", { accountKey });
    await sendAll(b2, conversation, ["from the second"]);
    await soon(b, conversation).toContain("from the second");
    await soonShown(b, conversation).toEqual([founding]);
    await expect(shownOf(b2, conversation)).resolves.toEqual([]);
  });
});
