import { afterEach, describe, expect, it, vi } from "vitest";
import { directConversation } from "../../shared/ids.ts";
import { eventually, newDevice, newFriends, type TestDevice } from "./device.ts";
import { conversation, crash, logOf, openGroup, person, rowsOf, sendsToQueue, tablesOf } from "./objects.ts";

afterEach(() => vi.restoreAllMocks());

const change = (who: TestDevice, peer: TestDevice, what: "accept" | "block" | "unblock") =>
  who.stub.setPeer({ peer: peer.user, change: what, requestId: "r" });

interface Scene {
  readonly alice: TestDevice;
  readonly bob: TestDevice;
  readonly chat: string;
}

/** Two friends, connected, with one message between them that Bob has. */
async function scene(): Promise<Scene> {
  const [alice, bob] = await newFriends(2);
  for (const device of [alice, bob]) await device.connect();
  const chat = directConversation(alice.user, bob.user);
  await alice.send(chat, "before");
  await bob.texts(1);
  bob.ack(chat, 1);
  await alice.next("receipt");
  return { alice, bob, chat };
}

describe("R12 what somebody blocked writes", () => {
  it("gets its ✓ and never arrives, whoever crashes, and what they write afterwards does", async () => {
    const { alice, bob, chat } = await scene();
    await change(bob, alice, "block");
    expect((await alice.send(chat, "unwanted")).seq).toBe(2);
    await crash(conversation(chat));
    expect((await alice.send(chat, "unwanted too")).seq).toBe(3);
    await bob.sync("listed", [[chat, 1, 1]]);
    await change(bob, alice, "unblock");
    await crash(conversation(chat));
    await alice.send(chat, "after");
    await bob.sync("listed", [[chat, 1, 1]]);
    expect(await bob.texts(2)).toContain("after");
    expect(bob.received.filter(({ text }) => text.startsWith("unwanted"))).toEqual([]);
    expect(bob.of("entries").at(-1)).toMatchObject({ after: 1, through: 4 });
  });

  it("is neither delivered nor pushed to a person who is away", async () => {
    const { alice, bob, chat } = await scene();
    await bob.leave();
    await change(bob, alice, "block");
    const deliver = vi.spyOn((await import("../../durable-objects/user/object.ts")).UserObject.prototype, "deliver");
    const pushes = sendsToQueue();
    await alice.send(chat, "unwanted");
    expect(deliver).not.toHaveBeenCalled();
    expect(pushes).not.toHaveBeenCalled();
    await bob.connect();
    await bob.settled();
    expect(bob.received.map(({ text }) => text)).toEqual(["before"]);
  });

  it("reaches their own other device", async () => {
    const { alice, bob, chat } = await scene();
    const laptop = await (await newDevice(alice.user)).connect();
    await laptop.sync("all");
    await change(bob, alice, "block");
    await alice.send(chat, "unwanted");
    await eventually(() => expect(laptop.received.map(({ text }) => text)).toContain("unwanted"));
  });

  it("looks to them as if nobody were there", async () => {
    const { alice, bob, chat } = await scene();
    await change(bob, alice, "block");
    alice.frames.length = 0;
    await alice.send(chat, "unwanted");
    bob.read(chat, 1);
    bob.up({ type: "typing", conversation: chat });
    await bob.settled();
    await alice.sync("listed", [[chat, 2, 0]]);
    expect(alice.of("typing")).toEqual([]);
    const receipts = alice.of("receipt").filter(({ user }) => user === bob.user);
    expect(receipts.every(({ delivered, read }) => delivered <= 1 && read === 0)).toBe(true);
    expect(alice.of("error")).toEqual([]);
  });

  it("is refused from whoever blocks", async () => {
    const { alice, bob, chat } = await scene();
    await change(bob, alice, "block");
    await expect(bob.send(chat, "and you?")).rejects.toThrow("blocked");
    await change(bob, alice, "unblock");
    await bob.send(chat, "sorry");
    await alice.texts(1);
  });

  it("may begin after the block: a conversation that was not there yet is blocked as well", async () => {
    const [alice, bob] = await newFriends(2);
    for (const device of [alice, bob]) await device.connect();
    await change(bob, alice, "block");
    await alice.send(directConversation(alice.user, bob.user), "unwanted");
    await bob.settled();
    expect(bob.received).toEqual([]);
  });
});

describe("R12 a block that is overtaken by its end", () => {
  it("hides nothing any more", async () => {
    const { alice, bob, chat } = await scene();
    const setBlock = (version: number, blocked: boolean) =>
      conversation(chat).setBlock({ user: bob.user, blocked, version, requestId: "r" });
    await setBlock(2, false);
    await setBlock(1, true);
    await crash(conversation(chat));
    await setBlock(1, true);
    await alice.send(chat, "hello again");
    expect(await bob.texts(2)).toEqual(["before", "hello again"]);
  });

  it("is undone although the first call is lost again and again", async () => {
    const { alice, bob, chat } = await scene();
    const lost = vi.spyOn(
      (await import("../../durable-objects/conversation/object.ts")).ConversationObject.prototype,
      "setBlock",
    );
    lost.mockRejectedValueOnce(new Error("lost")).mockRejectedValueOnce(new Error("lost"));
    await Promise.all([change(bob, alice, "block"), change(bob, alice, "unblock")]);
    await alice.send(chat, "hello again");
    expect(await bob.texts(2)).toEqual(["before", "hello again"]);
    await bob.send(chat, "and hello to you");
  });
});

describe("R12 a stranger", () => {
  it("sees no tick but ✓ until they are accepted, and then all", async () => {
    const [alice, bob] = [await (await newDevice()).connect(), await (await newDevice()).connect()];
    const chat = directConversation(alice.user, bob.user);
    await openGroup(chat);
    await alice.send(chat, "hello");
    await bob.texts(1);
    bob.read(chat, 1);
    await bob.settled();
    await alice.sync("listed", [[chat, 1, 0]]);
    expect(alice.of("receipt").filter(({ user }) => user === bob.user)).toEqual([]);
    expect((await bob.stub.overview()).requests).toEqual([alice.user]);
    await change(bob, alice, "accept");
    await alice.next("receipt", ({ delivered, read }) => delivered === 1 && read === 1);
    expect((await bob.stub.overview()).requests).toEqual([]);
  });
});

describe("R14 a person who is removed", () => {
  it("is kept by nobody who blocks or accepts them at that moment", async () => {
    for (let round = 0; round < 8; round++) {
      const [alice, bob] = [await newDevice(), await newDevice()];
      const chat = directConversation(alice.user, bob.user);
      const what = round % 2 === 0 ? "block" : "accept";
      const outcomes = await Promise.allSettled([
        change(bob, alice, what),
        alice.stub.removePerson({ requestId: "r" }),
      ]);
      expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled"]);
      expect(await tablesOf(conversation(chat)), `${what} ${round}`).toEqual([]);
      expect(await rowsOf(bob.stub, "SELECT * FROM peer")).toEqual([]);
    }
  });

  it("leaves nothing with others, who keep on talking to each other", async () => {
    const [alice, bob, carol] = await newFriends(3);
    for (const device of [alice, bob, carol]) await device.connect();
    const [chat, other] = [directConversation(alice.user, bob.user), directConversation(bob.user, carol.user)];
    await alice.send(chat, "one");
    await bob.send(chat, "two");
    await bob.send(other, "hello");
    const reply = await alice.stub.removePerson({ requestId: "r" });
    expect(reply).toMatchObject({ isComplete: true, devices: 1 });
    expect(alice.closed).toMatchObject({ code: 4001 });
    expect(await tablesOf(person(alice.user))).toEqual([]);
    expect(await tablesOf(conversation(chat))).toEqual([]);
    const rows = await Promise.all(
      ["peer", "conversation", "device"].map((t) => rowsOf(bob.stub, `SELECT * FROM ${t}`)),
    );
    expect(JSON.stringify(rows)).not.toContain(alice.user);
    await expect(bob.send(chat, "are you there?")).rejects.toThrow("not_found");
    expect(await tablesOf(conversation(chat))).toEqual([]);
    await carol.send(other, "still here");
    expect(await bob.texts(2)).toEqual(["one", "still here"]);
  });

  it("leaves a group to the others, without what they wrote", async () => {
    const [alice, bob, carol] = await newFriends(3);
    for (const device of [alice, bob, carol]) await device.connect();
    const group = alice.newId();
    const members = [alice.user, bob.user, carol.user];
    await openGroup(group, members);
    await alice.send(group, "mine");
    await bob.send(group, "yours");
    await eventually(() => expect(carol.received).toHaveLength(2));
    await alice.stub.removePerson({ requestId: "r" });
    expect(await logOf(conversation(group))).toMatchObject([{ seq: 2 }]);
    const stored = await rowsOf(conversation(group), "SELECT packed FROM state");
    expect(JSON.stringify(stored)).not.toContain(alice.user);
    expect(JSON.stringify(stored)).not.toContain(alice.device);
    await crash(conversation(group));
    await bob.send(group, "onwards");
    await eventually(() => expect(carol.received).toHaveLength(3));
  });
});
