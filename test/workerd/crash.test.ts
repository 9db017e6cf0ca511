import { abortAllDurableObjects } from "cloudflare:test";
import { ulid } from "ulid";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ConversationCore } from "../../durable-objects/conversation/core.ts";
import { ConversationObject } from "../../durable-objects/conversation/object.ts";
import { UserCore } from "../../durable-objects/user/core.ts";
import { UserObject } from "../../durable-objects/user/object.ts";
import { directConversation } from "../../shared/ids.ts";
import { FAN_OUT_HOLD_MEMBERS } from "../../shared/limits.ts";
import type { Append, Entry } from "../../shared/rpc.ts";
import { sealedBytes } from "../sealed.ts";
import { eventually, newDevice, newFriends, type TestDevice } from "./device.ts";
import { alarmOf, conversation, crash, fireAlarm, logOf, openGroup, sendsToQueue, storedDevice } from "./objects.ts";

afterEach(() => vi.restoreAllMocks());

/** Two people, connected. */
async function pair(): Promise<{ alice: TestDevice; bob: TestDevice; chat: string }> {
  const [alice, bob] = await newFriends(2);
  await Promise.all([alice.connect(), bob.connect()]);
  return { alice, bob, chat: directConversation(alice.user, bob.user) };
}

const failingDeliveries = () => vi.spyOn(UserObject.prototype, "deliver").mockRejectedValue(new Error("down"));

describe("a person's object that crashes with open sockets", () => {
  it("R1 brings all that was missed after a comparison, of a conversation the device never heard of too", async () => {
    const [alice, bob, carol] = await newFriends(3);
    for (const device of [alice, bob, carol]) await device.connect();
    const chat = directConversation(alice.user, bob.user);
    const unheard = directConversation(carol.user, bob.user);
    await alice.send(chat, "one");
    await bob.texts(1);
    bob.ack(chat, 1);
    await alice.next("receipt");
    await alice.send(chat, "two");
    await carol.send(unheard, "hello");
    await bob.texts(3);
    await crash(bob.stub);
    await alice.send(chat, "three");

    bob.received.length = 0;
    bob.acksAtOnce = true;
    await bob.connect();
    expect(bob.of("welcome").at(-1)).toMatchObject({ compare: true });
    await bob.sync("all", [[chat, 1, 0]]);
    expect((await bob.texts(3)).toSorted()).toEqual(["hello", "three", "two"]);
    await alice.next("receipt", (frame) => frame.delivered === 3);
    await carol.next("receipt", (frame) => frame.delivered === 1);
  });

  it("R7 stays unsure of the device until that has acked all that the comparison saw", async () => {
    const { alice, bob, chat } = await pair();
    await alice.send(chat, "one");
    await bob.texts(1);
    await crash(bob.stub);
    await bob.connect();
    await bob.sync("all");
    await bob.leave();
    await bob.connect();
    expect(bob.of("welcome").at(-1)).toMatchObject({ compare: true });
    bob.acksAtOnce = true;
    await bob.sync("all");
    await alice.next("receipt", (frame) => frame.delivered === 1);
    await bob.leave();
    await bob.connect();
    expect(bob.of("welcome").at(-1)).toMatchObject({ compare: false });
  });

  it("R9 owes the device a push, by an alarm, as soon as it notices", async () => {
    const { alice, bob, chat } = await pair();
    await alice.send(chat, "one");
    await bob.texts(1);
    await crash(bob.stub);
    const pushes = sendsToQueue();
    await bob.stub.askWatermark({ conversation: chat });
    await fireAlarm(bob.stub);
    await eventually(() => expect(pushes.mock.calls.flatMap(([job]) => job.devices)).toContain(bob.device));
    await eventually(async () => expect(await storedDevice(bob)).toMatchObject({ owesPush: false }));
  });

  it("R5 receipts that were told before the crash do not fall after it", async () => {
    const { alice, bob, chat } = await pair();
    await alice.send(chat, "one");
    await alice.send(chat, "two");
    await bob.texts(2);
    bob.read(chat, 2);
    await alice.next("receipt", (frame) => frame.read === 2);
    await crash(bob.stub);
    await crash(conversation(chat));
    await alice.send(chat, "three");
    bob.acksAtOnce = true;
    await bob.connect();
    await bob.sync("all", [[chat, 2, 2]]);
    await alice.next("receipt", (frame) => frame.delivered === 3);
    // Levels are watermarks: what a connection does not know is 0 in its receipts and lowers nothing.
    const highest = (part: "delivered" | "read") => Math.max(...alice.of("receipt").map((frame) => frame[part]));
    expect([highest("delivered"), highest("read")]).toEqual([3, 2]);
    const nothing = { delivered: 0, read: 0, kept: 0 };
    const claim = { user: bob.user, watermark: nothing, notify: false, requestId: "r" };
    expect(await conversation(chat).putWatermark(claim)).toMatchObject({ watermark: { read: 2 } });
  });
});

describe("a conversation that crashes between commit and fan-out", () => {
  /** As the failpoint does: what was decided is committed and nothing of it is done. */
  async function committedOnly(alice: TestDevice, chat: string, id: string): Promise<void> {
    const { handle } = ConversationCore.prototype;
    const stopped = vi.spyOn(ConversationCore.prototype, "handle").mockImplementation(function (
      this: ConversationCore,
      event,
      now,
    ) {
      handle.call(this, event, now);
      return [];
    });
    alice.up({ type: "send", id, conversation: chat }, sealedBytes(chat, 1, "hello"));
    await eventually(async () => expect(await logOf(conversation(chat))).toEqual([{ seq: 1, id }]));
    expect(alice.of("sent")).toEqual([]);
    stopped.mockRestore();
  }

  it("R1 R3 lets the retry of the sender's object finish the fan-out, at the same place", async () => {
    const { alice, bob, chat } = await pair();
    const id = alice.newId();
    await committedOnly(alice, chat, id);
    await crash(conversation(chat));
    expect(await bob.texts(1)).toEqual(["hello"]);
    expect(await alice.next("sent")).toMatchObject({ messages: [{ id, seq: 1 }] });
    expect(await logOf(conversation(chat))).toEqual([{ seq: 1, id }]);
  });

  it("R1 R3 lets the retry of the sender's device finish it where the sender's object is gone too", async () => {
    const { alice, bob, chat } = await pair();
    const id = alice.newId();
    await committedOnly(alice, chat, id);
    await crash(alice.stub);
    await crash(conversation(chat));
    expect(bob.received).toEqual([]);
    await alice.connect();
    expect(await alice.send(chat, "hello", id)).toMatchObject({ seq: 1 });
    expect(await bob.texts(1)).toEqual(["hello"]);
    expect((await alice.send(chat, "next")).seq).toBe(2);
    expect(await bob.texts(2)).toEqual(["hello", "next"]);
  });
});

describe("a conversation that cannot be reached", () => {
  it("R1 R2 costs no message and no order: what came behind a refused one is refused too until that one comes again", async () => {
    const { alice, bob, chat } = await pair();
    await alice.send(chat, "zero");
    const append = vi.spyOn(ConversationObject.prototype, "append").mockRejectedValue(new Error("down"));
    const ids = Array.from({ length: 5 }, () => alice.newId());
    const send = (index: number) =>
      alice.up({ type: "send", id: ids[index]!, conversation: chat }, sealedBytes(chat, 1, `${index}`));
    for (const index of [0, 1, 2, 3]) send(index);
    await eventually(() => expect(alice.of("error").map((error) => error.id)).toEqual(ids.slice(0, 4)));
    expect(alice.of("error").every((error) => typeof error.retry === "number")).toBe(true);
    expect(append).toHaveBeenCalledTimes(4);
    append.mockRestore();
    send(4);
    expect(await alice.next("error", (error) => error.id === ids[4])).toMatchObject({ code: "busy" });
    for (const index of [0, 1, 2, 3, 4]) send(index);
    expect(await bob.texts(6)).toEqual(["zero", "0", "1", "2", "3", "4"]);
    expect(bob.received.map((message) => message.seq)).toEqual([1, 2, 3, 4, 5, 6]);
  });
});

describe("a fan-out that does not get through", () => {
  it.each([
    ["fails", () => Promise.reject(new Error("down"))],
    ["is never answered", () => new Promise<never>(() => {})],
  ])("R8 %s: ✓ goes out only with an alarm set, which drains it", async (_, answer) => {
    const { alice, bob, chat } = await pair();
    const deliver = vi.spyOn(UserObject.prototype, "deliver").mockImplementation(answer);
    const alarmAtSent = new Promise<number | null>((resolve) => {
      alice.socket?.addEventListener("message", ({ data }) => {
        if (String(data).includes('"sent"')) resolve(alarmOf(conversation(chat)));
      });
    });
    await alice.send(chat, "hello");
    expect(await alarmAtSent).not.toBeNull();
    expect(bob.received).toEqual([]);
    deliver.mockRestore();
    await crash(conversation(chat));
    expect(await fireAlarm(conversation(chat))).toBe(true);
    expect(await bob.texts(1)).toEqual(["hello"]);
  });

  it("R8 is tried again by the alarm until it gets through, and by then no alarm is left", async () => {
    const { alice, bob, chat } = await pair();
    const deliver = failingDeliveries();
    await alice.send(chat, "hello");
    for (let attempt = 2; attempt <= 4; attempt++) {
      expect(await fireAlarm(conversation(chat))).toBe(true);
      await eventually(() => expect(deliver).toHaveBeenCalledTimes(attempt));
    }
    deliver.mockRestore();
    await fireAlarm(conversation(chat));
    await bob.texts(1);
    await fireAlarm(conversation(chat));
    const after = await alarmOf(conversation(chat));
    expect(after === null || after > Date.now() + 60_000).toBe(true);
    expect(bob.received).toHaveLength(1);
  });

  it("R1 R9 marks a device that is away although another one has fetched and acked the message by itself", async () => {
    const { alice, bob, chat } = await pair();
    // Of the sender's: that one is away makes the conversation learn the receipt, and with it what the others keep.
    await newDevice(alice.user);
    const awayBob = await newDevice(bob.user);
    await awayBob.connect();
    await alice.send(chat, "one");
    await Promise.all([bob.texts(1), awayBob.texts(1)]);
    bob.ack(chat, 1);
    awayBob.ack(chat, 1);
    await alice.next("receipt");
    await awayBob.settled();
    await awayBob.leave();

    const deliver = failingDeliveries();
    await alice.send(chat, "two");
    await bob.sync("listed", [[chat, 1, 0]]);
    bob.ack(chat, 2);
    await alice.next("receipt", (frame) => frame.delivered === 2);
    await eventually(async () => {
      const { watermark } = (await conversation(chat).putWatermark({
        user: bob.user,
        watermark: { delivered: 0, read: 0, kept: 0 },
        notify: false,
        requestId: "r",
      })) as { watermark: { delivered: number } };
      expect(watermark.delivered).toBe(2);
    });
    deliver.mockRestore();

    const pushes = sendsToQueue();
    await fireAlarm(conversation(chat));
    await eventually(() => expect(pushes.mock.calls.flatMap(([job]) => job.devices)).toEqual([awayBob.device]));
    awayBob.received.length = 0;
    await awayBob.connect();
    expect(await awayBob.texts(1)).toEqual(["two"]);
  });
});

describe("a core that throws after it has written", () => {
  type Core = { handle(event: { type: string }, now: number): { do: string }[] };

  /** @param when the effects after which it throws, once */
  function throwOnce(core: Core, when: (event: { type: string }, effects: { do: string }[]) => boolean): void {
    const { handle } = core;
    let thrown = false;
    vi.spyOn(console, "error").mockImplementation(() => {});
    vi.spyOn(core, "handle").mockImplementation(function (this: Core, event, now) {
      const effects = handle.call(this, event, now);
      if (thrown || !when(event, effects)) return effects;
      thrown = true;
      throw new TypeError("a fault of ours");
    });
  }
  const onAppend = (event: { type: string }) => event.type === "append";

  it("R2 leaves nothing of a message in the conversation, and the message that is retried gets the first place", async () => {
    const { alice, bob, chat } = await pair();
    const tables: string[][] = [];
    const { append } = ConversationObject.prototype;
    vi.spyOn(ConversationObject.prototype, "append").mockImplementation(async function (
      this: ConversationObject,
      call,
    ) {
      tables.push(
        (this as unknown as { ctx: DurableObjectState }).ctx.storage.sql
          .exec("SELECT name FROM sqlite_master")
          .toArray()
          .map((row) => String(row.name)),
      );
      return append.call(this, call);
    });
    throwOnce(ConversationCore.prototype as unknown as Core, onAppend);
    expect(await alice.send(chat, "hello")).toMatchObject({ seq: 1 });
    expect(tables).toHaveLength(2);
    expect(tables[1]?.filter((name) => name.startsWith("log_"))).toEqual([]);
    expect(await bob.texts(1)).toEqual(["hello"]);
    expect((await alice.send(chat, "next")).seq).toBe(2);
  });

  it("leaves no alarm behind that was set in the same event", async () => {
    const members = Array.from({ length: FAN_OUT_HOLD_MEMBERS + 4 }, () => ulid());
    const name = ulid();
    await openGroup(name, members);
    throwOnce(ConversationCore.prototype as unknown as Core, onAppend);
    const call: Append = {
      user: members[0]!,
      messages: [{ id: ulid(), device: ulid(), body: sealedBytes(name, 1, "hello") }],
      watermark: { delivered: 0, read: 0, kept: 0 },
      requestId: "r",
    };
    await expect(Promise.resolve(conversation(name).append(call))).rejects.toThrow();
    expect(await alarmOf(conversation(name))).toBeNull();
    expect(await logOf(conversation(name))).toEqual([]);
    expect(await conversation(name).append(call)).toMatchObject({ results: [{ ok: true, seq: 1 }] });
    expect(await alarmOf(conversation(name))).not.toBeNull();
  });

  it("R7 leaves nothing of a delivery in the inbox, and the one that is retried marks the device", async () => {
    const { alice, bob, chat } = await pair();
    await bob.leave();
    await eventually(async () => expect((await storedDevice(bob)).isOpen).toBe(false));
    // The result of the push is followed by the commit and the answer.
    const isDormantAnswer = ({ do: kind, value }: { do: string; value?: unknown }) =>
      kind === "reply" && (value as { state?: string } | undefined)?.state === "dormant";
    throwOnce(UserCore.prototype as unknown as Core, (_, effects) => effects.some(isDormantAnswer));
    await alice.send(chat, "hello");
    expect((await storedDevice(bob)).dirty).toEqual([]);
    await fireAlarm(conversation(chat));
    await eventually(async () => expect((await storedDevice(bob)).dirty).toEqual([[chat, 0, true]]));
    await bob.connect();
    expect(await bob.texts(1)).toEqual(["hello"]);
  });
});

describe("calls that come twice", () => {
  const nothing = { delivered: 0, read: 0, kept: 0 };

  it("R3 append: the same place and time, one entry", async () => {
    const { alice, bob, chat } = await pair();
    await alice.send(chat, "first");
    const message = { id: alice.newId(), device: alice.device, body: sealedBytes(chat, 1, "hello") };
    const call = { user: alice.user, messages: [message], watermark: nothing, requestId: "r" };
    const [once, twice] = [await conversation(chat).append(call), await conversation(chat).append(call)];
    expect(twice).toEqual(once);
    expect(await logOf(conversation(chat))).toHaveLength(2);
    expect(await bob.texts(2)).toEqual(["first", "hello"]);
    await crash(conversation(chat));
    expect(await conversation(chat).append(call)).toEqual(once);
    expect(await logOf(conversation(chat))).toHaveLength(2);
  });

  it("R3 the same message twice in one append has one place", async () => {
    const { alice, chat } = await pair();
    const message = { id: alice.newId(), device: alice.device, body: sealedBytes(chat, 1, "hello") };
    const call = { user: alice.user, messages: [message, message], watermark: nothing, requestId: "r" };
    const { results } = await conversation(chat).append(call);
    expect(results.map((result) => result.ok && result.seq)).toEqual([1, 1]);
  });

  it("R3 R7 deliver: a device that has acked it is sent nothing, one that is away is marked once and pushed once", async () => {
    const { alice, bob, chat } = await pair();
    await alice.send(chat, "hello");
    await bob.texts(1);
    bob.ack(chat, 1);
    await alice.next("receipt");
    const call = { conversation: chat, entries: [await entryOf(chat, alice.user, 1)], requestId: "r" };
    expect(await bob.stub.deliver(call)).toEqual(await bob.stub.deliver(call));
    await bob.settled();
    expect(bob.received).toHaveLength(1);

    await bob.leave();
    const pushes = sendsToQueue();
    expect(await bob.stub.deliver(call)).toEqual(await bob.stub.deliver(call));
    expect(pushes).toHaveBeenCalledTimes(1);
    expect((await storedDevice(bob)).dirty).toEqual([[chat, 0, true]]);
  });

  it("R4 readLog: the same page", async () => {
    const { alice, bob, chat } = await pair();
    await alice.send(chat, "one");
    await alice.send(chat, "two");
    const call = { user: bob.user, epoch: 1, after: 0, watermark: nothing, notify: false, requestId: "r" };
    expect(await conversation(chat).readLog(call)).toEqual(await conversation(chat).readLog(call));
  });

  it("R5 putWatermark: the peer hears of it once, and an older one lowers nothing", async () => {
    const { alice, bob, chat } = await pair();
    for (const text of ["one", "two"]) await alice.send(chat, text);
    const put = (delivered: number) =>
      conversation(chat).putWatermark({
        user: bob.user,
        watermark: { delivered, read: 0, kept: 0 },
        notify: true,
        requestId: "r",
      });
    expect(await put(2)).toEqual(await put(2));
    expect(await put(1)).toMatchObject({ watermark: { delivered: 2 } });
    await alice.next("receipt");
    await alice.settled();
    expect(alice.of("receipt")).toMatchObject([{ user: bob.user, delivered: 2 }]);
  });
});

describe("deliveries that come late or out of order", () => {
  it.each([
    ["the newest first", [3, 1, 2]],
    ["backwards", [3, 2, 1]],
    ["the oldest lost", [3, 2]],
    ["only the last", [3]],
  ])("R1 R2 bring a device that was away everything in order: %s", async (_, order) => {
    const { alice, bob, chat } = await pair();
    await bob.leave();
    const deliver = failingDeliveries();
    for (const text of ["one", "two", "three"]) await alice.send(chat, text);
    deliver.mockRestore();
    for (const seq of order) {
      await bob.stub.deliver({ conversation: chat, entries: [await entryOf(chat, bob.user, seq)], requestId: "r" });
    }
    await bob.connect();
    const cursor = Math.min(...order) - 1;
    const expected = ["one", "two", "three"].slice(cursor);
    expect(await bob.texts(expected.length)).toEqual(expected);
    if (cursor === 0) return;
    // A gap above what the device has: it fetches from its own position.
    bob.received.length = 0;
    await bob.sync("listed", [[chat, 0, 0]]);
    expect(await bob.texts(3)).toEqual(["one", "two", "three"]);
  });

  it("R7 come again after they were acked and change nothing", async () => {
    const { alice, bob, chat } = await pair();
    for (const text of ["one", "two"]) await alice.send(chat, text);
    await bob.texts(2);
    bob.ack(chat, 2);
    await alice.next("receipt", (frame) => frame.delivered === 2);
    await bob.stub.deliver({ conversation: chat, entries: [await entryOf(chat, bob.user, 1)], requestId: "r" });
    await bob.leave();
    await bob.connect();
    expect(bob.received).toHaveLength(2);
    expect((await storedDevice(bob)).dirty).toEqual([]);
  });
});

async function entryOf(chat: string, user: string, seq: number): Promise<Entry> {
  const watermark = { delivered: 0, read: 0, kept: 0 };
  const call = { user, epoch: 1, after: seq - 1, watermark, notify: false, requestId: "r" };
  const page = await conversation(chat).readLog(call);
  if (!page.ok || !page.entries[0]) throw new Error("no such entry");
  return page.entries[0];
}

describe("the queue", () => {
  it("R9 has the push before the inbox entry is written, and the entry is written before the call is answered", async () => {
    const { alice, bob, chat } = await pair();
    await bob.leave();
    const handedOver = Promise.withResolvers<void>();
    const pushes = sendsToQueue().mockImplementation(() => handedOver.promise);
    let answered = false;
    const { deliver } = UserObject.prototype;
    vi.spyOn(UserObject.prototype, "deliver").mockImplementation(async function (this: UserObject, call) {
      const reply = await deliver.call(this, call);
      answered = true;
      return reply;
    });
    const sending = alice.send(chat, "hello");
    await eventually(() => expect(pushes).toHaveBeenCalledTimes(1));
    await sending;
    expect(answered).toBe(false);
    expect((await storedDevice(bob)).dirty).toEqual([]);
    handedOver.resolve();
    await eventually(() => expect(answered).toBe(true));
    expect((await storedDevice(bob)).dirty).toEqual([[chat, 0, true]]);
    expect(pushes.mock.calls[0]?.[0]).toEqual({
      user: bob.user,
      devices: [bob.device],
      conversation: chat,
      at: expect.any(Number),
      requestId: "r",
    });
  });

  it.each([
    ["before it took the job", false],
    ["after it took the job", true],
  ])("R8 R9 that fails %s costs no push and no message", async (_, applies) => {
    const { alice, bob, chat } = await pair();
    await bob.leave();
    const taken: string[] = [];
    const pushes = sendsToQueue().mockImplementation(async (job) => {
      if (applies) taken.push(...job.devices);
      throw new Error("queue is down");
    });
    await alice.send(chat, "hello");
    expect(await alarmOf(conversation(chat))).not.toBeNull();
    // Four attempts, then the call fails and the alarm takes over.
    await eventually(() => expect(pushes).toHaveBeenCalledTimes(4));
    expect((await storedDevice(bob)).dirty).toEqual([]);
    pushes.mockImplementation(async (job) => {
      taken.push(...job.devices);
    });
    await eventually(async () => {
      await fireAlarm(conversation(chat));
      expect((await storedDevice(bob)).dirty).toEqual([[chat, 0, true]]);
    });
    expect(taken).toContain(bob.device);
    const pushedSoFar = taken.length;
    await alice.send(chat, "again");
    await fireAlarm(conversation(chat));
    expect(taken).toHaveLength(pushedSoFar);
    await bob.connect();
    expect(await bob.texts(2)).toEqual(["hello", "again"]);
  });

  it("R9 that fails when an owed push is paid is asked again by the alarm", async () => {
    const { alice, bob, chat } = await pair();
    await alice.send(chat, "hello");
    await bob.texts(1);
    const pushes = sendsToQueue().mockRejectedValue(new Error("queue is down"));
    await bob.leave();
    await eventually(() => expect(pushes.mock.calls.length).toBeGreaterThanOrEqual(4));
    expect(await storedDevice(bob)).toMatchObject({ owesPush: true });
    await eventually(async () => expect(await alarmOf(bob.stub)).not.toBeNull());
    pushes.mockResolvedValue(undefined);
    await fireAlarm(bob.stub);
    await eventually(async () => expect(await storedDevice(bob)).toMatchObject({ owesPush: false }));
    expect(pushes.mock.calls.at(-1)?.[0].devices).toEqual([bob.device]);
  });

  it("R8 R9 that has not taken an owed push when the object crashes is asked again", async () => {
    const { alice, bob, chat } = await pair();
    await alice.send(chat, "hello");
    await bob.texts(1);
    const pushes = sendsToQueue().mockReturnValue(new Promise(() => {}));
    await bob.leave();
    await eventually(() => expect(pushes).toHaveBeenCalledTimes(1));
    await crash(bob.stub);
    pushes.mockResolvedValue(undefined);
    expect(await fireAlarm(bob.stub)).toBe(true);
    await eventually(() => expect(pushes.mock.calls.at(-1)?.[0].devices).toEqual([bob.device]));
    await eventually(async () => expect(await storedDevice(bob)).toMatchObject({ owesPush: false }));
    expect(pushes).toHaveBeenCalledTimes(2);
  });
});

it("R1 everything in memory everywhere may go at once", async () => {
  const { alice, bob, chat } = await pair();
  await alice.send(chat, "one");
  await bob.texts(1);
  await abortAllDurableObjects();
  await alice.connect();
  expect((await alice.send(chat, "two")).seq).toBe(2);
  bob.received.length = 0;
  bob.acksAtOnce = true;
  await bob.connect();
  await bob.sync("all");
  expect(await bob.texts(2)).toEqual(["one", "two"]);
});
