import { describe, expect, test } from "vitest";
import { toBase64url } from "../../shared/base64url.ts";
import {
  alice,
  bob,
  carol,
  deviceOf,
  newServer,
  open,
  openOffline,
  said,
  sendAll,
  soon,
} from "../../test/fake/chats.ts";
import { makeAccountKey } from "../identity/account-key.ts";

/** Bob's first device does not understand the commit that brings in his second one, and has lost its place from there on. */
async function lostPlace() {
  const server = newServer();
  const accountKey = await makeAccountKey();
  const a = await open(server, alice, "A1");
  const b = await open(server, bob, "B1", { accountKey });
  const conversation = a.conversations.direct(bob);
  await sendAll(a, conversation, ["one"]);
  await soon(b, conversation).toEqual(["one"]);
  b.connection.close();
  server.tamper.entry = (entry, to) =>
    to === deviceOf("B1") && entry.seq === 3
      ? { ...entry, body: entry.body.map((byte, at) => (at > 100 ? byte ^ 1 : byte)) }
      : entry;
  const b2 = await open(server, bob, "B2", { accountKey });
  await sendAll(b2, conversation, ["from the second"]);
  await sendAll(a, conversation, ["two", "three"]);
  return { server, a, b, b2, conversation };
}

const spoilt = <E extends { readonly body: Uint8Array }>(entry: E): E => ({
  ...entry,
  body: entry.body.map((byte, at) => (at === entry.body.length - 1 ? byte ^ 1 : byte)),
});

/** Alice cannot open the first message that Bob writes to her. */
async function unreadable(text: string) {
  const server = newServer();
  const opened = await openOffline(server, alice, "A1");
  const a = opened.chat;
  a.connection.open();
  await a.connection.caughtUp();
  const b = await open(server, bob, "B1");
  const conversation = b.conversations.direct(alice);
  server.tamper.entry = (entry, to) => (to === deviceOf("A1") && entry.seq === 2 ? spoilt(entry) : entry);
  const { id, sent } = await b.messages.send(conversation, text);
  await sent;
  await soon(a, conversation).toEqual(["<unreadable>"]);
  return { server, opened, a, b, conversation, id };
}

describe("R19 what could not be opened", { timeout: 30_000 }, () => {
  test("a device that has lost its place joins anew, asks for what it missed, and has it in its place", async () => {
    const { a, b, conversation } = await lostPlace();
    b.connection.open();
    await soon(b, conversation).toEqual(["one", "from the second", "two", "three"]);
    await sendAll(b, conversation, ["back"]);
    await soon(a, conversation).toEqual(["one", "from the second", "two", "three", "back"]);
  });

  test("why it could not be opened stays on record", async () => {
    const { b, conversation } = await lostPlace();
    const replaced: number[] = [];
    b.on("replaced", ({ seq }) => replaced.push(seq));
    b.connection.open();
    await soon(b, conversation).toEqual(["one", "from the second", "two", "three"]);
    expect(replaced.sort()).toEqual([4, 5, 6]);
  });

  test("only who wrote it can say it again", async () => {
    const { server, a, b, conversation } = await lostPlace();
    const log = server.conversation(conversation).log;
    const two = log.find((entry) => entry.seq === 5);
    if (!two) throw new Error("no such message");
    // Alice's own device is silent; Bob's second one knows the text, and may not speak for her.
    await a[Symbol.asyncDispose]();
    b.connection.open();
    await expect
      .poll(() => said(b, conversation), { timeout: 15_000 })
      .toEqual(["one", "from the second", "<unreadable>", "<unreadable>"]);
  });

  test("what is said again and makes no sense changes nothing, and harms nobody", async () => {
    const failures: unknown[] = [];
    const note = (error: unknown) => failures.push(error);
    process.on("unhandledRejection", note);
    const { a, b, conversation, id } = await unreadable("one");
    for (const nonsense of ["no JSON", JSON.stringify({ kind: "group", by: alice, added: [carol], removed: [] })]) {
      const content = toBase64url(new TextEncoder().encode(nonsense));
      await (await b.messages.send(conversation, { kind: "again", target: id, content })).sent;
    }
    await sendAll(b, conversation, ["two"]);
    await soon(a, conversation).toContain("two");
    await expect(said(a, conversation)).resolves.toEqual(["<unreadable>", "two"]);
    process.off("unhandledRejection", note);
    expect(failures).toEqual([]);
  });

  test("a device that ends before it has asked asks when it comes back", async () => {
    const { opened, conversation } = await unreadable("one");
    const { chat: a } = await opened.reopen();
    a.connection.open();
    await soon(a, conversation).toEqual(["one"]);
  });

  test("where the answer cannot be opened either, it is asked for once more", async () => {
    const { a, server, conversation } = await unreadable("one");
    let answers = 0;
    server.tamper.entry = (entry, to) => {
      if (to !== deviceOf("A1") || entry.user !== bob) return entry;
      if (entry.seq > 2) answers++;
      return entry.seq === 2 || answers === 1 ? spoilt(entry) : entry;
    };
    await soon(a, conversation).toContain("one");
    expect(answers).toBe(2);
  });

  test("what was deleted for everyone meanwhile is not said again", async () => {
    const { opened, b, conversation, id } = await unreadable("regretted");
    await b.messages.delete({ conversation, id });
    await new Promise((resolve) => setTimeout(resolve, 5_500));
    const stored = await opened.store.scan(conversation, 0, 20);
    const texts = stored.map(({ content }) => new TextDecoder().decode(content));
    expect(texts.join()).not.toContain("regretted");
    await expect(said(opened.chat, conversation)).resolves.toEqual(["<deleted>"]);
  });

  test("somebody who joined later is not told what was said before", async () => {
    const server = newServer();
    const [a, b] = [await open(server, alice, "A1"), await open(server, bob, "B1")];
    const group = await a.conversations.createGroup([]);
    await sendAll(a, group, ["before bob"]);
    await a.conversations.add(group, [bob]);
    await sendAll(a, group, ["with bob"]);
    await soon(b, group).toEqual(["with bob"]);
    const [, before] = server.conversation(group).log;
    await b.messages.send(group, { kind: "ask", targets: [before?.id ?? ""] });
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    await expect(said(b, group)).resolves.toEqual(["with bob"]);
    expect(server.conversation(group).log.filter(({ user }) => user === alice)).toHaveLength(4);
  });

  test("somebody who seems to be another one since then is not told what was said before", async () => {
    const server = newServer();
    const [a, b] = [await open(server, alice, "A1"), await open(server, bob, "B1")];
    const conversation = a.conversations.direct(bob);
    await sendAll(a, conversation, ["for bob alone"]);
    await soon(b, conversation).toEqual(["for bob alone"]);
    const [, before] = server.conversation(conversation).log;
    // Whoever it is: the server lets them in as Bob.
    const another = await open(server, bob, "BX", { resetIdentity: true });
    await sendAll(another, conversation, ["it is me"]);
    await soon(a, conversation).toEqual(["for bob alone", "it is me"]);
    await another.messages.send(conversation, { kind: "ask", targets: [before?.id ?? ""] });
    await new Promise((resolve) => setTimeout(resolve, 5_500));
    await expect(said(another, conversation)).resolves.toEqual(["it is me"]);
    expect(server.conversation(conversation).log.filter(({ user }) => user === alice)).toHaveLength(2);
  });
});
