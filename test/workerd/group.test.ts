import { env } from "cloudflare:workers";
import { ulid } from "ulid";
import { afterEach, describe, expect, it, vi } from "vitest";
import { UserObject } from "../../durable-objects/user/object.ts";
import { MAX_CARRIED_STATE_BYTES } from "../../shared/limits.ts";
import type { DeliverReply } from "../../shared/rpc.ts";
import { sealedBytes } from "../sealed.ts";
import { eventually, newDevice, type TestDevice } from "./device.ts";
import {
  alarmOf,
  conversation,
  crash,
  fireAlarm,
  logOf,
  openGroup,
  rowsOf,
  sendsToQueue,
  storedDevice,
} from "./objects.ts";

afterEach(() => vi.restoreAllMocks());

const nothing = { delivered: 0, read: 0, kept: 0 };

/** A group of so many: some connected, some registered and away, the rest without an object of their own. */
async function groupOf(size: number, connected: number, away = 0) {
  const here = await Promise.all(Array.from({ length: connected }, () => newDevice()));
  const gone = await Promise.all(Array.from({ length: away }, () => newDevice()));
  await Promise.all(here.map((device) => device.connect()));
  const absent = Array.from({ length: size - connected - away }, () => ulid());
  const called = standInFor(absent);
  const members = [...here, ...gone].map((device) => device.user).concat(absent);
  const group = ulid();
  await openGroup(group, members);
  return { group, members, here, gone, called, author: here[0] as TestDevice };
}

/**
 * Answers for these people what the object of somebody who never registered answers: hundreds of real ones take their
 * time here. Returns who was asked to take a delivery, these and all others, in the order of calls.
 */
function standInFor(absent: readonly string[]): string[] {
  const called: string[] = [];
  const dormant: DeliverReply = { state: "dormant", epoch: 0, watermark: nothing };
  const { getByName } = env.USER;
  vi.spyOn(env.USER, "getByName").mockImplementation((name, options) => {
    if (!absent.includes(name)) return getByName.call(env.USER, name, options);
    const deliver = async () => {
      called.push(name);
      return dormant;
    };
    return { deliver, notifyTyping: async () => {} } as unknown as ReturnType<typeof getByName>;
  });
  const { deliver } = UserObject.prototype;
  vi.spyOn(UserObject.prototype, "deliver").mockImplementation(function (this: UserObject, call) {
    called.push((this as unknown as { ctx: DurableObjectState }).ctx.id.name ?? "");
    return deliver.call(this, call);
  });
  return called;
}

describe.each([
  { size: 3, connected: 3, away: 0 },
  { size: 12, connected: 4, away: 3 },
  { size: 300, connected: 3, away: 2 },
])("a group of $size", ({ size, connected, away }) => {
  it("R1 R2 everyone who is here gets every message in the same order, each sender's own in theirs", async () => {
    const { group, here } = await groupOf(size, connected, away);
    const perSender = 8;
    await Promise.all(
      here.map(async (device, index) => {
        const sent = Array.from({ length: perSender }, (_, count) => device.send(group, `${index}/${count}`));
        const seqs = (await Promise.all(sent)).map(({ seq }) => seq);
        expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
      }),
    );
    const log = await logOf(conversation(group));
    expect(log.map(({ seq }) => seq)).toEqual(Array.from({ length: here.length * perSender }, (_, index) => index + 1));
    for (const device of here) {
      await device.texts((here.length - 1) * perSender);
      const seqs = device.received.map(({ seq }) => seq);
      expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
      const expected = log.filter(({ id }) => !device.of("sent").some((f) => f.messages.some((m) => m.id === id)));
      expect(device.received.map(({ seq, id }) => ({ seq, id }))).toEqual(expected);
    }
  });

  it("R7 R9 who is away gets one push, is called once, and has everything after coming back", async () => {
    const { group, members, here, gone, called, author } = await groupOf(size, connected, away);
    const pushes = sendsToQueue();
    await author.send(group, "one");
    await eventually(() => expect(called.toSorted()).toEqual(members.filter((m) => m !== author.user).toSorted()));
    await Promise.all(here.slice(1).map((device) => device.texts(1)));
    await eventually(() => expect(pushes).toHaveBeenCalledTimes(gone.length));
    await eventually(async () => {
      for (const device of gone) expect((await storedDevice(device)).dirty).toEqual([[group, 0, true]]);
    });
    await author.settled();
    called.length = 0;
    for (const text of ["two", "three"]) {
      await author.send(group, text);
      await author.settled();
    }
    await Promise.all(here.slice(1).map((device) => device.texts(3)));
    expect(new Set(called)).toEqual(new Set(here.slice(1).map((device) => device.user)));
    expect(pushes).toHaveBeenCalledTimes(gone.length);

    for (const device of gone) {
      await device.connect();
      expect(await device.texts(3)).toEqual(["one", "two", "three"]);
    }
    await author.send(group, "four");
    for (const device of gone) expect((await device.texts(4)).at(-1)).toBe("four");
  });
});

describe("R6 who is no member", () => {
  it("gets not_found for everything, as in a group that does not exist", async () => {
    const { group, here, author } = await groupOf(3, 3);
    await author.send(group, "private");
    const eve = await (await newDevice()).connect();
    const ask = async (id: string) => {
      const stub = conversation(id);
      const message = { id: eve.newId(), device: eve.device, body: sealedBytes(id, 1, "hello") };
      const { results } = await stub.append({
        user: eve.user,
        messages: [message],
        watermark: nothing,
        requestId: "r",
      });
      const read = { user: eve.user, epoch: 1, after: 0, watermark: nothing, notify: true, requestId: "r" };
      const put = { user: eve.user, watermark: { delivered: 1, read: 1, kept: 1 }, notify: true, requestId: "r" };
      await stub.signalTyping({ user: eve.user, requestId: "r" });
      return [{ ...results[0], id: "" }, await stub.readLog(read), await stub.putWatermark(put)];
    };
    const answers = await ask(group);
    expect(answers).toEqual([
      { ok: false, id: "", code: "not_found", retry: "never" },
      { ok: false, code: "not_found" },
      { ok: false, code: "not_found" },
    ]);
    expect(await ask(ulid())).toEqual(answers);
    await Promise.all(here.map((device) => device.settled()));
    expect(here.flatMap((device) => [...device.of("typing"), ...device.of("receipt")])).toEqual([]);
    expect(await logOf(conversation(group))).toHaveLength(1);
  });
});

describe("typing in a group", () => {
  it("reaches the other members who are here, and not the one who types", async () => {
    const { group, here, author } = await groupOf(12, 3);
    await author.send(group, "hello");
    author.up({ type: "typing", conversation: group });
    for (const device of here.slice(1)) {
      expect(await device.next("typing")).toEqual({ type: "typing", conversation: group, user: author.user });
    }
    await author.settled();
    expect(author.of("typing")).toEqual([]);
  });
});

describe.each([3, 12])("R5 receipts in a group of %i", (size) => {
  it("come to the author alone, and only when all have it; then when all have read it", async () => {
    const { group, here, author } = await groupOf(size, size);
    await author.send(group, "hello");
    const others = here.slice(1);
    for (const step of ["ack", "read"] as const) {
      const level = { delivered: 1, read: step === "read" ? 1 : 0 };
      const known = author.of("receipt").length;
      for (const [index, device] of others.entries()) {
        await device.texts(1);
        device.up({ type: step, conversation: group, seq: 1 });
        await eventually(async () => {
          const claim = { user: device.user, watermark: nothing, notify: false, requestId: "r" };
          expect(await conversation(group).putWatermark(claim)).toMatchObject({ watermark: level });
        });
        await author.settled();
        if (index < others.length - 1) expect(author.of("receipt")).toHaveLength(known);
      }
      const receipt = await author.next("receipt", (frame) => frame.read === level.read);
      expect(receipt).toEqual({ type: "receipt", conversation: group, ...level });
    }
    await Promise.all(others.map((device) => device.settled()));
    expect(others.flatMap((device) => device.of("receipt"))).toEqual([]);
  });

  it("reach an author who was away when the last one got it", async () => {
    const { group, here, author } = await groupOf(size, size);
    await author.send(group, "hello");
    author.ack(group, 1);
    await author.settled();
    await author.leave();
    for (const device of here.slice(1)) {
      await device.texts(1);
      device.read(group, 1);
    }
    await eventually(async () => expect((await storedDevice(author)).dirty).toHaveLength(1));
    author.frames.length = 0;
    await author.connect();
    const levels = author.of("receipt").filter((frame) => frame.user !== author.user);
    expect(levels.length).toBeGreaterThan(0);
    expect(levels.map(({ delivered, read }) => ({ delivered, read }))).toEqual(
      levels.map(() => ({ delivered: 1, read: 1 })),
    );
  });

  it("what one has read is read on one's other device that was away", async () => {
    const { group, here, author } = await groupOf(size, size);
    const phone = here[1]!;
    const tablet = await (await newDevice(phone.user)).connect();
    await author.send(group, "hello");
    await Promise.all([phone.texts(1), tablet.texts(1)]);
    tablet.ack(group, 1);
    await tablet.settled();
    await tablet.leave();
    phone.read(group, 1);
    await eventually(async () => {
      const claim = { user: phone.user, watermark: nothing, notify: false, requestId: "r" };
      expect(await conversation(group).putWatermark(claim)).toMatchObject({ watermark: { read: 1 } });
    });
    tablet.frames.length = 0;
    await tablet.connect();
    await tablet.next("receipt", (frame) => frame.user === phone.user && frame.read === 1);
  });
});

describe("a group whose state is too large to ride with its messages", () => {
  it("R2 R3 R4 knows its head, its members and what it has after a crash", async () => {
    const { group, members, author } = await groupOf(30, 2);
    const sent = [];
    for (let count = 1; count <= 5; count++) sent.push(await author.send(group, `${count}`));
    const rows = await rowsOf(conversation(group), "SELECT length(packed) AS size FROM state");
    expect(rows[0]?.size).toBeGreaterThan(MAX_CARRIED_STATE_BYTES);
    await crash(conversation(group));
    author.frames.length = 0;
    for (const [index, { id, seq }] of sent.entries()) {
      expect(await author.send(group, `${index + 1}`, id)).toEqual({ id, seq });
    }
    expect((await author.send(group, "6")).seq).toBe(6);
    const read = { user: members[29]!, epoch: 1, after: 0, watermark: nothing, notify: false, requestId: "r" };
    expect(await conversation(group).readLog(read)).toMatchObject({ ok: true, head: 6 });
  });

  it("R3 knows a device's newest message after a crash even if an older one was stored after it", async () => {
    const { group, members } = await groupOf(30, 0);
    const device = ulid();
    const append = async (id: string) => {
      const message = { id, device, body: sealedBytes(group, 1, "hello") };
      const call = { user: members[0]!, messages: [message], watermark: nothing, requestId: "r" };
      const [result] = (await conversation(group).append(call)).results;
      return result?.ok ? result.seq : result?.code;
    };
    const [first, older, newer] = [ulid(1_000), ulid(2_000), ulid(3_000)];
    expect([await append(first), await append(newer), await append(older)]).toEqual([1, 2, 3]);
    await crash(conversation(group));
    expect([await append(newer), await append(older), await append(first)]).toEqual([2, 3, 1]);
    expect(await logOf(conversation(group))).toHaveLength(3);
  });

  it("R5 R8 watermarks that nothing carried are written by the alarm", async () => {
    const { group, here, author } = await groupOf(30, 2);
    await author.send(group, "hello");
    await here[1]!.texts(1);
    here[1]!.read(group, 1);
    const claim = { user: here[1]!.user, watermark: nothing, notify: false, requestId: "r" };
    await eventually(async () => {
      expect(await conversation(group).putWatermark(claim)).toMatchObject({ watermark: { read: 1 } });
    });
    expect(await fireAlarm(conversation(group))).toBe(true);
    await crash(conversation(group));
    expect(await conversation(group).putWatermark(claim)).toMatchObject({ watermark: { read: 1 } });
  });

  it("R1 whoever slept and read is called again after a crash", async () => {
    const { group, gone, author } = await groupOf(30, 1, 1);
    await author.send(group, "one");
    const [sleeper] = gone as [TestDevice];
    await eventually(async () => expect((await storedDevice(sleeper)).dirty).toHaveLength(1));
    await eventually(async () => {
      await fireAlarm(conversation(group));
      const rows = await rowsOf(conversation(group), "SELECT packed FROM state");
      expect(String(rows[0]?.packed)).toContain(`["${sleeper.user}",0,0,0,1]`);
    });
    await sleeper.connect();
    await sleeper.texts(1);
    await crash(conversation(group));
    await author.send(group, "two");
    expect(await sleeper.texts(2)).toEqual(["one", "two"]);
  });
});

describe("✓ for many recipients", () => {
  it("R8 does not wait for them, and comes with an alarm that finishes what a crash leaves", async () => {
    const { group, here, author } = await groupOf(12, 3);
    const answered = Promise.withResolvers<never>();
    const deliver = vi.spyOn(UserObject.prototype, "deliver").mockReturnValue(answered.promise);
    await author.send(group, "hello");
    expect(await alarmOf(conversation(group))).not.toBeNull();
    expect(here[1]!.received).toEqual([]);
    deliver.mockRestore();
    await crash(conversation(group));
    expect(await fireAlarm(conversation(group))).toBe(true);
    for (const device of here.slice(1)) {
      // Delivered once or again: a device drops what it has by its place, which these devices do not.
      expect(new Set(await device.texts(1))).toEqual(new Set(["hello"]));
      expect(new Set(device.received.map(({ seq }) => seq))).toEqual(new Set([1]));
    }
  });
});
