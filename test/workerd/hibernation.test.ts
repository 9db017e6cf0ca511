import { evictDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ConversationObject } from "../../durable-objects/conversation/object.ts";
import { directConversation } from "../../shared/ids.ts";
import { MAX_OFFENCES_PER_MINUTE, SENDS_PER_MINUTE } from "../../shared/limits.ts";
import { sealedBytes } from "../sealed.ts";
import { eventually, newDevice, newFriends, type TestDevice } from "./device.ts";
import { conversation, sendsToQueue, storedDevice } from "./objects.ts";

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** The object forgets everything but what is stored and what is attached to its sockets, which stay open. */
const hibernate = (device: TestDevice) => evictDurableObject(device.stub as unknown as DurableObjectStub);

async function pair(): Promise<{ alice: TestDevice; bob: TestDevice; chat: string }> {
  const [alice, bob] = await newFriends(2);
  await Promise.all([alice.connect(), bob.connect()]);
  return { alice, bob, chat: directConversation(alice.user, bob.user) };
}

describe("a person's object that has slept", () => {
  it("R1 delivers live to the sockets that outlived its sleep, without a push", async () => {
    const { alice, bob, chat } = await pair();
    const pushes = sendsToQueue();
    for (const text of ["one", "two", "three"]) {
      await hibernate(bob);
      await alice.send(chat, text);
    }
    expect(await bob.texts(3)).toEqual(["one", "two", "three"]);
    expect(bob.closed).toBeUndefined();
    expect(pushes).not.toHaveBeenCalled();
  });

  it("R2 R4 sends on for its device, at the places that follow", async () => {
    const { alice, bob, chat } = await pair();
    for (const [index, text] of ["one", "two"].entries()) {
      await hibernate(alice);
      expect((await alice.send(chat, text)).seq).toBe(index + 1);
    }
    expect(await bob.texts(2)).toEqual(["one", "two"]);
  });

  it.each(["ack", "read"] as const)("R5 believes the %s of what it sent before, without asking", async (type) => {
    const { alice, bob, chat } = await pair();
    await alice.send(chat, "hello");
    await bob.texts(1);
    await Promise.all([hibernate(alice), hibernate(bob)]);
    const asked = vi.spyOn(ConversationObject.prototype, "putWatermark");
    bob.up({ type, conversation: chat, seq: 1 });
    await alice.next("receipt", (frame) => frame.delivered === 1 && frame.read === (type === "read" ? 1 : 0));
    expect(asked).not.toHaveBeenCalled();
  });

  it("R5 still does not believe an ack of what it never sent", async () => {
    const { alice, bob, chat } = await pair();
    await alice.send(chat, "hello");
    await bob.texts(1);
    await hibernate(bob);
    bob.ack(chat, 2);
    await bob.next("error", (error) => error.code === "seq_unknown");
    await alice.settled();
    expect(alice.of("receipt")).toEqual([]);
  });

  it("R7 R9 remembers what was not acked before: it is dirty when the socket goes after waking", async () => {
    const { alice, bob, chat } = await pair();
    for (const text of ["one", "two"]) await alice.send(chat, text);
    await bob.texts(2);
    bob.ack(chat, 1);
    await bob.settled();
    const pushes = sendsToQueue();
    await hibernate(bob);
    await bob.stub.askWatermark({ conversation: chat });
    await bob.leave();
    await eventually(() => expect(pushes.mock.calls.map(([job]) => job.devices)).toEqual([[bob.device]]));
    bob.received.length = 0;
    await bob.connect();
    expect(bob.of("welcome").at(-1)).toMatchObject({ compare: false });
    expect(await bob.texts(1)).toEqual(["two"]);
  });

  it("R7 hears of a socket that closes while it sleeps", async () => {
    const { alice, bob, chat } = await pair();
    await alice.send(chat, "one");
    await bob.texts(1);
    await hibernate(bob);
    await bob.leave();
    await eventually(async () => {
      expect(await storedDevice(bob)).toMatchObject({ isOpen: false, isSuspect: false, dirty: [[chat, 0, true]] });
    });
    const pushes = sendsToQueue();
    await alice.send(chat, "two");
    expect(pushes.mock.calls.length).toBeLessThanOrEqual(1);
    bob.received.length = 0;
    await bob.connect();
    expect(bob.of("welcome").at(-1)).toMatchObject({ compare: false });
    expect(await bob.texts(2)).toEqual(["one", "two"]);
  });

  it("R1 loses nothing when all sockets of a person close while it sleeps", async () => {
    const { alice, bob: phone, chat } = await pair();
    const tablet = await newDevice(phone.user);
    await tablet.connect();
    await alice.send(chat, "one");
    await Promise.all([phone.texts(1), tablet.texts(1)]);
    await hibernate(phone);
    await Promise.all([phone.leave(), tablet.leave()]);
    await alice.send(chat, "two");
    for (const device of [phone, tablet]) {
      device.received.length = 0;
      device.acksAtOnce = true;
      await device.connect();
      if (device.of("welcome").at(-1)?.compare) await device.sync("all");
      expect(await device.texts(2)).toEqual(["one", "two"]);
    }
  });

  it("R7 tells a device that was being caught up to begin anew, and nothing is lost", async () => {
    const [alice, bob] = await newFriends(2);
    const chat = directConversation(alice.user, bob.user);
    await alice.connect();
    const texts = Array.from({ length: 70 }, (_, index) => `${index + 1}`);
    for (const text of texts) await alice.send(chat, text);
    await bob.open();
    bob.up({ type: "hello", client: "test" });
    await bob.texts(64);
    await hibernate(bob);
    bob.ack(chat, 64);
    await eventually(() => expect(bob.closed).toEqual({ code: 1012, reason: "restarting" }));
    expect(bob.of("bye")).toEqual([{ type: "bye", code: "restarting", retry: "now" }]);
    bob.acksAtOnce = true;
    await bob.connect();
    await eventually(() => expect(new Set(bob.received.map((message) => message.text))).toEqual(new Set(texts)));
    await alice.next("receipt", (frame) => frame.delivered === 70);
    await eventually(async () => expect((await storedDevice(bob)).dirty).toEqual([]));
  });

  it("R7 tells a device to begin anew whose request had come in part", async () => {
    const { alice, bob, chat } = await pair();
    await alice.send(chat, "hello");
    await bob.texts(1);
    bob.up({ type: "sync", request: 8, cursors: [[chat, 0, 0]], scope: "listed", more: true });
    await bob.settled();
    bob.up({ type: "sync", request: 9, cursors: [[chat, 0, 0]], scope: "listed", more: true });
    await bob.next("drained");
    await hibernate(bob);
    bob.up({ type: "sync", request: 9, cursors: [], scope: "listed", more: false });
    await eventually(() => expect(bob.closed).toEqual({ code: 1012, reason: "restarting" }));
    expect(bob.of("drained").some((frame) => frame.request === 9)).toBe(false);
  });

  it("knows that a device has not said hello", async () => {
    const bob = await newDevice();
    await bob.open();
    await hibernate(bob);
    bob.up({ type: "hello", client: "test" });
    await eventually(() => expect(bob.of("welcome").length + bob.of("bye").length).toBe(1));
    await bob.connect();
    await hibernate(bob);
    bob.up({ type: "hello", client: "again" });
    expect(await bob.next("error")).toMatchObject({ code: "bad_frame" });
  });

  it("keeps counting what its person may send", async () => {
    const { alice, bob, chat } = await pair();
    vi.setSystemTime(Date.now());
    const body = sealedBytes(chat, 1, "hello");
    const send = () => alice.up({ type: "send", id: alice.newId(), conversation: chat }, body);
    for (let count = 0; count < SENDS_PER_MINUTE; count++) send();
    await bob.texts(SENDS_PER_MINUTE);
    await alice.settled();
    expect(alice.of("error")).toEqual([]);
    await hibernate(alice);
    send();
    expect(await alice.next("error")).toMatchObject({ code: "rate_limited" });
  });

  it("keeps counting what a device does wrong", async () => {
    const { alice } = await pair();
    for (let count = 0; count < MAX_OFFENCES_PER_MINUTE; count++) alice.raw("{");
    await alice.settled();
    expect(alice.closed).toBeUndefined();
    await hibernate(alice);
    alice.raw("{");
    await eventually(() => expect(alice.closed).toMatchObject({ code: 1008 }));
  });

  it("a replaced socket does not come back after the sleep", async () => {
    const { alice, bob, chat } = await pair();
    const older = bob.socket;
    await bob.connect();
    await hibernate(bob);
    await alice.send(chat, "hello");
    await bob.texts(1);
    await bob.settled();
    expect(bob.received).toHaveLength(1);
    expect(older?.readyState).not.toBe(WebSocket.OPEN);
  });
});

describe("a conversation that has slept", () => {
  it("R2 R3 goes on at the place that follows, and knows what it has", async () => {
    const { alice, bob, chat } = await pair();
    const { id } = await alice.send(chat, "one");
    await evictDurableObject(conversation(chat) as unknown as DurableObjectStub);
    expect((await bob.send(chat, "two")).seq).toBe(2);
    await evictDurableObject(conversation(chat) as unknown as DurableObjectStub);
    alice.frames.length = 0;
    expect((await alice.send(chat, "one", id)).seq).toBe(1);
    expect((await alice.send(chat, "three")).seq).toBe(3);
    await eventually(() => expect(new Set(bob.received.map((message) => message.seq))).toEqual(new Set([1, 3])));
  });
});
