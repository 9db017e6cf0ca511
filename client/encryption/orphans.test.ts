import { describe, expect, test } from "vitest";
import { alice, bob, carol, deviceOf, newServer, open, reader, sendAll, soon } from "../../test/fake/chats.ts";
import type { FakeServer } from "../../test/fake/server.ts";
import { makeAccountKey } from "../identity/account-key.ts";

const inTree = (server: FakeServer, conversation: string) =>
  reader.usersOf(server.conversation(conversation).group?.tree ?? new Uint8Array()).toSorted();

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

  test("lets nobody in from outside until then, and nobody begins another group for that", async () => {
    const { server, a, conversation, accountKey } = await scene();
    server.erase(carol);
    const submitted: string[] = [];
    server.tamper.submit = ({ id }) => void submitted.push(id);
    const fresh = await open(server, bob, "B2", { accountKey });
    const { sent } = await fresh.messages.send(conversation, "from the new one");
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(submitted).toEqual([]);
    await sendAll(a, conversation, ["one"]);
    await sent;
    await soon(a, conversation).toEqual(["hello", "one", "from the new one"]);
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
