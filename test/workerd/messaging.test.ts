import { describe, expect, it } from "vitest";
import { directConversation } from "../../shared/ids.ts";
import { newFriends } from "./device.ts";

describe("a message's way", () => {
  it("R1 reaches the other person and is acked with its place", async () => {
    const [alice, bob] = await newFriends(2);
    const chat = directConversation(alice.user, bob.user);
    await Promise.all([alice.connect(), bob.connect()]);
    expect((await alice.send(chat, "hello")).seq).toBe(1);
    expect((await bob.send(chat, "hi")).seq).toBe(2);
    expect(await bob.texts(1)).toEqual(["hello"]);
    expect(await alice.texts(1)).toEqual(["hi"]);
  });

  it("R5 delivered and read reach the sender", async () => {
    const [alice, bob] = await newFriends(2);
    const chat = directConversation(alice.user, bob.user);
    await Promise.all([alice.connect(), bob.connect()]);
    await alice.send(chat, "hello");
    await bob.texts(1);
    bob.up({ type: "ack", conversation: chat, seq: 1 });
    expect(await alice.next("receipt")).toMatchObject({ user: bob.user, delivered: 1, read: 0 });
    bob.up({ type: "read", conversation: chat, seq: 1 });
    await alice.next("receipt", (frame) => frame.read === 1);
  });

  it("R7 what was missed while away comes on connecting, in order, once", async () => {
    const [alice, bob] = await newFriends(2);
    const chat = directConversation(alice.user, bob.user);
    await alice.connect();
    for (const text of ["one", "two", "three"]) await alice.send(chat, text);
    await bob.connect();
    expect(await bob.texts(3)).toEqual(["one", "two", "three"]);
    bob.up({ type: "ack", conversation: chat, seq: 3 });
    await alice.next("receipt", (frame) => frame.delivered === 3);
    await bob.leave();
    bob.received.length = 0;
    await bob.connect();
    expect(bob.received).toEqual([]);
  });
});
