import { ulid } from "ulid";
import { afterEach, describe, expect, it, vi } from "vitest";
import { meter } from "../../durable-objects/runtime/meter.ts";
import { directConversation } from "../../shared/ids.ts";
import { MAX_DEVICES_PER_USER, SOCKET_SILENCE_MS } from "../../shared/limits.ts";
import { sealedBytes } from "../sealed.ts";
import { eventually, newDevice, newFriends, type TestDevice } from "./device.ts";
import { conversation, openGroup, sendsToQueue, storedDevice } from "./objects.ts";

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** Alice with one device, Bob with two: all connected. */
async function household() {
  const [alice, phone] = await newFriends(2);
  const tablet = await newDevice(phone.user);
  await Promise.all([alice.connect(), phone.connect(), tablet.connect()]);
  return { alice, phone, tablet, chat: directConversation(alice.user, phone.user) };
}

describe("several devices of one person", () => {
  it("R1 R2 what one sends the others see at the same place, and the sender does not get it twice", async () => {
    const { alice, phone, tablet, chat } = await household();
    const { seq, id } = await phone.send(chat, "from the phone");
    expect(await tablet.texts(1)).toEqual(["from the phone"]);
    expect(tablet.received).toMatchObject([{ seq, id, user: phone.user }]);
    await alice.texts(1);
    await phone.settled();
    expect(phone.received).toEqual([]);
  });

  it("R1 what one sends reaches another that was away, without a push for one's own words", async () => {
    const { alice, phone, tablet, chat } = await household();
    await tablet.leave();
    const pushes = sendsToQueue();
    await phone.send(chat, "from the phone");
    await alice.texts(1);
    expect(pushes).not.toHaveBeenCalled();
    await tablet.connect();
    expect(await tablet.texts(1)).toEqual(["from the phone"]);
  });

  it("R5 what one has read is read on the others that are here", async () => {
    const { alice, phone, tablet, chat } = await household();
    await alice.send(chat, "hello");
    await Promise.all([phone.texts(1), tablet.texts(1)]);
    phone.read(chat, 1);
    expect(await tablet.next("receipt")).toMatchObject({ user: phone.user, read: 1 });
    await alice.next("receipt", (frame) => frame.user === phone.user && frame.read === 1);
  });

  it("R5 what one has read is read on one that was away", async () => {
    const { alice, phone, tablet, chat } = await household();
    await alice.send(chat, "hello");
    await Promise.all([phone.texts(1), tablet.texts(1)]);
    tablet.ack(chat, 1);
    await tablet.settled();
    await tablet.leave();
    phone.read(chat, 1);
    await alice.next("receipt", (frame) => frame.read === 1);
    await eventually(async () => {
      tablet.frames.length = 0;
      await tablet.connect();
      expect(tablet.of("receipt").find((frame) => frame.user === phone.user)).toMatchObject({ read: 1 });
      await tablet.leave();
    });
    expect(tablet.received).toHaveLength(1);
  });

  it("R5 delivered is told when the first of them has it, and kept only when all have", async () => {
    const { alice, phone, tablet, chat } = await household();
    await tablet.leave();
    await alice.send(chat, "hello");
    await phone.texts(1);
    phone.ack(chat, 1);
    await alice.next("receipt", (frame) => frame.delivered === 1);
    expect(await phone.stub.askWatermark({ conversation: chat })).toMatchObject({ delivered: 1, read: 0, kept: 0 });
    await tablet.connect();
    await tablet.texts(1);
    tablet.ack(chat, 1);
    await eventually(async () => {
      expect(await phone.stub.askWatermark({ conversation: chat })).toMatchObject({ delivered: 1, read: 0, kept: 1 });
    });
  });

  it("R5 receipts come to a sender's second device that was away", async () => {
    const { alice, phone, tablet, chat } = await household();
    await phone.send(chat, "hello");
    await tablet.texts(1);
    tablet.ack(chat, 1);
    await tablet.settled();
    await tablet.leave();
    await alice.texts(1);
    alice.read(chat, 1);
    await phone.next("receipt", (frame) => frame.user === alice.user && frame.read === 1);
    await eventually(async () => expect((await storedDevice(tablet)).dirty).toHaveLength(1));
    await eventually(async () => {
      const claim = { user: alice.user, watermark: { delivered: 0, read: 0, kept: 0 }, notify: false, requestId: "r" };
      expect(await conversation(chat).putWatermark(claim)).toMatchObject({ watermark: { read: 1 } });
    });
    await tablet.connect();
    await tablet.next("receipt", (frame) => frame.user === alice.user && frame.read === 1);
  });
});

describe("a device that is away", () => {
  it("R7 R9 costs one row and one push a conversation, however many messages come", async () => {
    const [alice, bob] = await newFriends(2);
    const chat = directConversation(alice.user, bob.user);
    await alice.connect();
    const pushes = sendsToQueue();
    await alice.send(chat, "first");
    const before = meter.rowsWritten;
    for (let count = 2; count <= 20; count++) await alice.send(chat, `${count}`);
    expect(meter.rowsWritten - before).toBe(19);
    expect(pushes).toHaveBeenCalledTimes(1);
    expect((await storedDevice(bob)).dirty).toEqual([[chat, 0, true]]);
  });

  it("R9 gets a push for every conversation and for every absence", async () => {
    const [alice, carol, bob] = await newFriends(3);
    await Promise.all([alice.connect(), carol.connect()]);
    const chats = [directConversation(alice.user, bob.user), directConversation(carol.user, bob.user)] as const;
    const pushes = sendsToQueue();
    const pushed = () => pushes.mock.calls.map(([job]) => job.conversation);
    await alice.send(chats[0], "one");
    await carol.send(chats[1], "two");
    expect(pushed()).toEqual(chats);
    bob.acksAtOnce = true;
    await bob.connect();
    await bob.texts(2);
    await eventually(async () => expect((await storedDevice(bob)).dirty).toEqual([]));
    await bob.leave();
    await alice.send(chats[0], "three");
    expect(pushed()).toEqual([...chats, chats[0]]);
  });

  it("R9 gets pushes of its own while another device of the person is here", async () => {
    const { alice, phone, tablet, chat } = await household();
    await tablet.leave();
    const pushes = sendsToQueue();
    await alice.send(chat, "hello");
    await phone.texts(1);
    expect(pushes.mock.calls.map(([job]) => job.devices)).toEqual([[tablet.device]]);
  });

  it("R7 that only missed receipts is marked without a push, and gets them", async () => {
    const { alice, phone, tablet, chat } = await household();
    await phone.send(chat, "hello");
    await alice.texts(1);
    tablet.ack(chat, 1);
    await tablet.settled();
    await Promise.all([phone.leave(), tablet.leave()]);
    const pushes = sendsToQueue();
    alice.ack(chat, 1);
    await eventually(async () => expect((await storedDevice(tablet)).dirty).toHaveLength(1));
    expect(pushes).not.toHaveBeenCalled();
    await eventually(async () => {
      tablet.frames.length = 0;
      await tablet.connect();
      expect(tablet.of("receipt").find((frame) => frame.user === alice.user)).toMatchObject({ delivered: 1 });
    });
    expect(tablet.received).toHaveLength(1);
    expect((await storedDevice(tablet)).dirty).toEqual([]);
  });

  it("R7 R9 that leaves before it has acked what came is marked and owed a push", async () => {
    const [alice, bob] = await newFriends(2);
    const chat = directConversation(alice.user, bob.user);
    await Promise.all([alice.connect(), bob.connect()]);
    const pushes = sendsToQueue();
    for (const text of ["one", "two", "three"]) await alice.send(chat, text);
    await bob.texts(3);
    bob.ack(chat, 1);
    await bob.settled();
    await bob.leave();
    await eventually(() => expect(pushes.mock.calls.map(([job]) => job.devices)).toEqual([[bob.device]]));
    bob.received.length = 0;
    await bob.connect();
    expect(await bob.texts(2)).toEqual(["two", "three"]);
  });

  it("R7 pages that were sent and not acked come again", async () => {
    const [alice, bob] = await newFriends(2);
    const chat = directConversation(alice.user, bob.user);
    await alice.connect();
    for (const text of ["one", "two"]) await alice.send(chat, text);
    for (let visit = 0; visit < 3; visit++) {
      bob.received.length = 0;
      await bob.connect();
      expect(await bob.texts(2)).toEqual(["one", "two"]);
      await bob.leave();
    }
  });

  it("R1 R2 R7 gets more than a page in pages, the next one only after it has acked the one before", async () => {
    const [alice, bob] = await newFriends(2);
    const chat = directConversation(alice.user, bob.user);
    await alice.connect();
    const texts = Array.from({ length: 200 }, (_, index) => `${index + 1}`);
    await appendAll(chat, alice, texts);
    await alice.send(chat, "201");
    expect((await bob.open()).status).toBe(101);
    bob.up({ type: "hello", client: "test" });
    expect(await bob.texts(64)).toHaveLength(64);
    await bob.settled();
    expect(bob.received).toHaveLength(64);
    expect(bob.of("drained").some((frame) => frame.request === 0)).toBe(false);
    bob.acksAtOnce = true;
    bob.ack(chat, 64);
    await bob.next("drained", (frame) => frame.request === 0);
    expect(await bob.texts(201)).toEqual([...texts, "201"]);
    expect(bob.received.map((message) => message.seq)).toEqual(Array.from({ length: 201 }, (_, index) => index + 1));
    await eventually(async () => expect((await storedDevice(bob)).dirty).toEqual([]));
    await alice.next("receipt", (frame) => frame.delivered === 201);
  });

  it("R7 that leaves in the middle of its pages goes on where it stopped", async () => {
    const [alice, bob] = await newFriends(2);
    const chat = directConversation(alice.user, bob.user);
    await alice.connect();
    await appendAll(
      chat,
      alice,
      Array.from({ length: 150 }, (_, index) => `${index + 1}`),
    );
    await bob.open();
    bob.up({ type: "hello", client: "test" });
    await bob.texts(64);
    bob.ack(chat, 64);
    await bob.texts(128);
    await bob.leave();
    bob.acksAtOnce = true;
    await bob.connect();
    await bob.texts(150);
    const seqs = [...new Set(bob.received.map((message) => message.seq))].toSorted((a, b) => a - b);
    expect(seqs).toEqual(Array.from({ length: 150 }, (_, index) => index + 1));
  });
});

/** Many messages at once, as a person's object hands them in, without a device's send rate. */
async function appendAll(chat: string, from: TestDevice, texts: readonly string[]): Promise<void> {
  const { device } = from;
  const messages = texts.map((text) => ({ id: from.newId(), device, body: sealedBytes(chat, 1, text) }));
  const watermark = { delivered: 0, read: 0, kept: 0 };
  for (let at = 0; at < messages.length; at += 64) {
    const batch = messages.slice(at, at + 64);
    await conversation(chat).append({ user: from.user, messages: batch, watermark, requestId: "r" });
  }
}

describe("linking and revoking", () => {
  it("R1 a device linked later is asked to compare and gets the whole log", async () => {
    const { alice, phone, tablet, chat } = await household();
    await alice.send(chat, "one");
    await phone.send(chat, "two");
    const laptop = await newDevice(phone.user);
    laptop.acksAtOnce = true;
    await laptop.connect();
    expect(laptop.of("welcome")).toMatchObject([{ compare: true }]);
    await laptop.sync("all");
    expect(await laptop.texts(2)).toEqual(["one", "two"]);
    await laptop.settled();
    await laptop.leave();
    await laptop.connect();
    expect(laptop.of("welcome").at(-1)).toMatchObject({ compare: false });
    expect(laptop.received).toHaveLength(2);
    expect(await tablet.texts(2)).toEqual(["one", "two"]);
  });

  it("takes no more devices than a person may have, and one again after one was revoked", async () => {
    const devices = [await newDevice()];
    const [{ user, stub }] = devices as [TestDevice];
    while (devices.length < MAX_DEVICES_PER_USER) devices.push(await newDevice(user));
    const further = { device: ulid(), name: "one too many", requestId: "r" };
    expect(await stub.registerDevice(further)).toMatchObject({ ok: false, code: "too_many_devices" });
    expect(await stub.registerDevice({ ...further, device: devices[0]!.device })).toMatchObject({ ok: true });
    await stub.revokeDevice({ device: devices[1]!.device, requestId: "r" });
    expect(await stub.registerDevice(further)).toMatchObject({ ok: true });
  });

  it("R6 a revoked device's socket is closed, nothing arrives after, and no ticket opens another", async () => {
    const { alice, phone, tablet, chat } = await household();
    await alice.send(chat, "before");
    await tablet.texts(1);
    await phone.stub.revokeDevice({ device: tablet.device, requestId: "r" });
    await eventually(() => expect(tablet.closed).toEqual({ code: 4001, reason: "revoked" }));
    expect(tablet.frames.at(-1)).toEqual({ type: "bye", code: "revoked", retry: "never" });
    const pushes = sendsToQueue();
    await alice.send(chat, "after");
    await phone.texts(2);
    expect(tablet.received).toHaveLength(1);
    expect(pushes).not.toHaveBeenCalled();
    const refused = await tablet.open();
    expect([refused.status, await refused.text()]).toEqual([401, "revoked"]);
  });

  it("R6 what a revoked device still sends has no effect", async () => {
    const { alice, phone, tablet, chat } = await household();
    const { socket } = tablet;
    await phone.stub.revokeDevice({ device: tablet.device, requestId: "r" });
    try {
      tablet.up({ type: "send", id: ulid(), conversation: chat }, sealedBytes(chat, 1, "late"));
    } catch {
      expect(socket?.readyState).not.toBe(WebSocket.OPEN);
    }
    await phone.settled();
    expect((await phone.send(chat, "only this")).seq).toBe(1);
    expect(await alice.texts(1)).toEqual(["only this"]);
  });

  it("a revoked device does not hold back what all devices keep", async () => {
    const { alice, phone, tablet, chat } = await household();
    await tablet.leave();
    await alice.send(chat, "hello");
    await phone.texts(1);
    phone.ack(chat, 1);
    await phone.settled();
    expect(await phone.stub.askWatermark({ conversation: chat })).toMatchObject({ kept: 0 });
    await phone.stub.revokeDevice({ device: tablet.device, requestId: "r" });
    expect(await phone.stub.askWatermark({ conversation: chat })).toMatchObject({ kept: 1 });
  });

  it("revoking a person's last device, and one that is not there, is harmless", async () => {
    const alice = await newDevice();
    await alice.stub.revokeDevice({ device: ulid(), requestId: "r" });
    expect(await alice.stub.isRegistered()).toBe(true);
    await alice.stub.revokeDevice({ device: alice.device, requestId: "r" });
    expect(await alice.stub.isRegistered(), "a person without a device can be written to").toBe(true);
    const again = await (await newDevice(alice.user)).connect();
    expect(again.of("welcome")).toHaveLength(1);
  });
});

describe("connecting again", () => {
  it("closes the same device's older socket as replaced, and the epoch rises", async () => {
    const [alice, bob] = await newFriends(2);
    const chat = directConversation(alice.user, bob.user);
    await Promise.all([alice.connect(), bob.connect()]);
    const closed = new Promise<{ code: number; reason: string }>((resolve) => {
      bob.socket?.addEventListener("close", ({ code, reason }) => resolve({ code, reason }));
    });
    const older = bob.socket;
    await bob.connect();
    expect(bob.socket).not.toBe(older);
    expect(await closed).toEqual({ code: 4002, reason: "replaced" });
    expect(bob.of("bye")).toEqual([{ type: "bye", code: "replaced", retry: "never" }]);
    const epochs = bob.of("welcome").map((frame) => frame.epoch);
    expect(epochs[1]).toBeGreaterThan(epochs[0]!);
    await alice.send(chat, "hello");
    await bob.texts(1);
    await bob.settled();
    expect(bob.received).toHaveLength(1);
  });

  it("R7 brings what the older socket had not acked", async () => {
    const [alice, bob] = await newFriends(2);
    const chat = directConversation(alice.user, bob.user);
    await Promise.all([alice.connect(), bob.connect()]);
    await alice.send(chat, "hello");
    await bob.texts(1);
    await bob.connect();
    expect(await bob.texts(2)).toEqual(["hello", "hello"]);
  });

  it("the epoch rises over revocations too", async () => {
    const [phone, alice] = await newFriends(2);
    const tablet = await newDevice(phone.user);
    for (const device of [phone, tablet, tablet]) {
      await device.connect();
      await device.leave();
    }
    await phone.stub.revokeDevice({ device: tablet.device, requestId: "r" });
    await phone.connect();
    expect(phone.of("welcome").map((frame) => frame.epoch)).toEqual([1, 4]);
    expect(alice.of("welcome")).toEqual([]);
  });
});

describe("a socket that nothing is heard on", () => {
  it("R9 is closed at the next delivery, and the device gets inbox entry and push", async () => {
    const [alice, bob] = await newFriends(2);
    const chat = directConversation(alice.user, bob.user);
    await bob.connect();
    vi.setSystemTime(Date.now() + SOCKET_SILENCE_MS + 1_000);
    await alice.connect();
    const pushes = sendsToQueue();
    await alice.send(chat, "hello");
    await eventually(() => expect(bob.closed).toMatchObject({ code: 1012 }));
    expect(bob.received).toEqual([]);
    expect(pushes.mock.calls.map(([job]) => job.devices)).toEqual([[bob.device]]);
    expect((await storedDevice(bob)).dirty).toEqual([[chat, 0, true]]);
    await bob.connect();
    expect(await bob.texts(1)).toEqual(["hello"]);
  });

  it.each([
    ["an answered ping", (device: TestDevice) => device.raw("ping")],
    [
      "a frame",
      (device: TestDevice) => device.up({ type: "sync", request: 9, cursors: [], scope: "listed", more: false }),
    ],
  ])("stays open after %s", async (_, speak) => {
    const [alice, bob] = await newFriends(2);
    const chat = directConversation(alice.user, bob.user);
    await bob.connect();
    const start = Date.now();
    vi.setSystemTime(start + SOCKET_SILENCE_MS - 5_000);
    const pongs = new Promise((resolve) => bob.socket?.addEventListener("message", resolve));
    speak(bob);
    await pongs;
    await alice.connect();
    await alice.send(chat, "hello");
    expect(await bob.texts(1)).toEqual(["hello"]);
    expect(bob.closed).toBeUndefined();
  });
});

describe("a conversation with oneself", () => {
  it("R1 R2 R5 reaches the person's other devices and can be read", async () => {
    const phone = await newDevice();
    const tablet = await newDevice(phone.user);
    await Promise.all([phone.connect(), tablet.connect()]);
    const notes = directConversation(phone.user, phone.user);
    await openGroup(notes);
    expect((await phone.send(notes, "milk")).seq).toBe(1);
    expect((await tablet.send(notes, "bread")).seq).toBe(2);
    expect(await tablet.texts(1)).toEqual(["milk"]);
    expect(await phone.texts(1)).toEqual(["bread"]);
    phone.read(notes, 2);
    await tablet.next("receipt", (frame) => frame.read === 2);
    await tablet.leave();
    await phone.send(notes, "butter");
    tablet.received.length = 0;
    await tablet.connect();
    expect((await tablet.texts(2)).at(-1)).toBe("butter");
  });

  it("R9 asks for no push", async () => {
    const phone = await newDevice();
    await newDevice(phone.user);
    const notes = directConversation(phone.user, phone.user);
    await openGroup(notes);
    await phone.connect();
    const pushes = sendsToQueue();
    await phone.send(notes, "milk");
    await phone.settled();
    expect(pushes).not.toHaveBeenCalled();
  });
});
