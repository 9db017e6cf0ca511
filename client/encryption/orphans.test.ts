import { describe, expect, test } from "vitest";
import { alice, bob, carol, deviceOf, newServer, open, reader, sendAll, soon } from "../../test/fake/chats.ts";
import type { FakeServer } from "../../test/fake/server.ts";
import { makeAccountKey } from "../identity/account-key.ts";
import type { Transport } from "../transport.ts";

const inTree = (server: FakeServer, conversation: string) =>
  reader.usersOf(server.conversation(conversation).group?.tree ?? new Uint8Array()).toSorted();

/** A server that says with every message that somebody is gone. */
const telling = (transport: Transport): Transport => ({
  open: (url, ticket, listener) =>
    transport.open(url, ticket, {
      ...{ opened: () => listener.opened(), closed: (code) => listener.closed(code), ponged: () => listener.ponged() },
      received: ({ frame, body }) =>
        listener.received({ frame: frame.type === "sent" ? { ...frame, hasOrphans: true } : frame, body }),
    }),
});

/** Bob, with one device or two, and Carol in Alice's group. @param orphans what the server tells Alice's device in place of the truth */
async function scene({ bobs = ["B1"], orphans }: { bobs?: string[]; orphans?: number[] } = {}) {
  const server = newServer();
  const { account } = server.signIn(alice, deviceOf("A1"));
  const group = async (id: string) => {
    const standing = await account.delivery.group(id);
    return standing && { ...standing, orphans: orphans ?? standing.orphans };
  };
  const a = await open(server, alice, "A1", { account: { ...account, delivery: { ...account.delivery, group } } });
  const accountKey = await makeAccountKey();
  const [b] = await Promise.all(bobs.map((name) => open(server, bob, name, { accountKey })));
  if (!b) throw new Error("no device");
  const c = await open(server, carol, "C1");
  const conversation = await a.conversations.createGroup([bob, carol]);
  await sendAll(c, conversation, ["hello"]);
  for (const each of [a, b]) await soon(each, conversation).toEqual(["hello"]);
  return { server, a, b, conversation, accountKey };
}

describe("R14 somebody whose account is removed", { timeout: 30_000 }, () => {
  test("is out of the group soon after the next message there, by one commit", async () => {
    const { server, a, b, conversation } = await scene();
    const before = server.conversation(conversation).epoch ?? 0;
    server.erase(carol);
    await sendAll(b, conversation, ["who is left?", "hm"]);
    await expect.poll(() => inTree(server, conversation)).toEqual([alice, bob]);
    await sendAll(a, conversation, ["we are"]);
    for (const each of [a, b]) await soon(each, conversation).toEqual(["hello", "who is left?", "hm", "we are"]);
    expect(server.conversation(conversation).epoch).toBe(before + 1);
  });

  test("keeps no device out that comes in from outside until then; it takes them out as well", async () => {
    const { server, a, conversation, accountKey } = await scene();
    server.erase(carol);
    const fresh = await open(server, bob, "B2", { accountKey });
    await sendAll(fresh, conversation, ["from the new one"]);
    await soon(a, conversation).toEqual(["hello", "from the new one"]);
    await expect.poll(() => inTree(server, conversation)).toEqual([alice, bob, bob]);
  });

  test("R17 is never the other one of two, whatever the server says: with them the conversation would go", async () => {
    const server = newServer();
    const { account, transport } = server.signIn(alice, deviceOf("A1"));
    const group = async (id: string) => {
      const standing = await account.delivery.group(id);
      return standing && { ...standing, orphans: [0, 1] };
    };
    const a = await open(server, alice, "A1", {
      transport: telling(transport),
      account: { ...account, delivery: { ...account.delivery, group } },
    });
    const b = await open(server, bob, "B1");
    const direct = a.conversations.direct(bob);
    await sendAll(a, direct, ["hello"]);
    await soon(b, direct).toEqual(["hello"]);
    await sendAll(a, direct, ["are you there?"]);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(inTree(server, direct)).toEqual([alice, bob]);
    await sendAll(b, direct, ["yes"]);
    await soon(a, direct).toContain("yes");
  });

  test("R17 is nobody of whom a device stays, whatever the server says, and not this person", async () => {
    const { server, a, conversation } = await scene({ bobs: ["B1", "B2"], orphans: [0, 1] });
    const before = server.conversation(conversation).epoch;
    server.erase(carol);
    await sendAll(a, conversation, ["who is left?"]);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(inTree(server, conversation)).toEqual([alice, bob, bob, carol]);
    expect(server.conversation(conversation).epoch).toBe(before);
  });
});
