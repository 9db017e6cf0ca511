import { ulid } from "ulid";
import { afterEach, describe, expect, it, vi } from "vitest";
import { UserObject } from "../../durable-objects/user/object.ts";
import { directConversation } from "../../shared/ids.ts";
import {
  ACKED_GRACE_MS,
  MAX_APPEND_MESSAGES,
  MAX_PAGE_ENTRIES,
  RETENTION_MS,
  SEGMENT_AGE_MS,
  SEGMENT_ENTRIES,
} from "../../shared/limits.ts";
import type { Appended } from "../../shared/rpc.ts";
import { sealedBytes } from "../sealed.ts";
import { eventually, newDevice, newFriends, type TestDevice } from "./device.ts";
import { alarmOf, conversation, crash, fireAlarm, logOf, storedDevice, tablesOf } from "./objects.ts";

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const nothing = { delivered: 0, read: 0, kept: 0 };

async function pair(): Promise<{ alice: TestDevice; bob: TestDevice; chat: string }> {
  const [alice, bob] = await newFriends(2);
  await Promise.all([alice.connect(), bob.connect()]);
  return { alice, bob, chat: directConversation(alice.user, bob.user) };
}

const passes = (ms: number) => vi.setSystemTime(Date.now() + ms);
const segmentsOf = async (chat: string) =>
  (await tablesOf(conversation(chat))).filter((name) => name.startsWith("log_"));

/** Everything that the log still holds above a position, as a device would read it page by page. */
async function readAll(chat: string, user: string, after = 0): Promise<{ seqs: number[]; through: number }> {
  const seqs: number[] = [];
  for (let position = after; ; ) {
    const call = { user, epoch: 1, after: position, watermark: nothing, notify: false, requestId: "r" };
    const page = await conversation(chat).readLog(call);
    if (!page.ok) throw new Error(page.code);
    expect(page.entries.length).toBeLessThanOrEqual(MAX_PAGE_ENTRIES);
    seqs.push(...page.entries.map((entry) => entry.seq));
    position = page.through;
    if (position >= page.head) return { seqs, through: position };
  }
}

/** Two messages that both devices have acked. */
async function ackedByAll() {
  const { alice, bob, chat } = await pair();
  const first = await alice.send(chat, "one");
  const last = await alice.send(chat, "two");
  await bob.texts(2);
  for (const device of [alice, bob]) {
    device.ack(chat, 2);
    await device.settled();
  }
  return { alice, bob, chat, first, last };
}

describe("R10 what every device has acked", () => {
  it("stays for a day and then leaves the log as whole tables", async () => {
    const { chat } = await ackedByAll();
    passes(ACKED_GRACE_MS - 60_000);
    await fireAlarm(conversation(chat));
    expect(await segmentsOf(chat)).toHaveLength(1);
    passes(61_000);
    await eventually(async () => {
      await fireAlarm(conversation(chat));
      expect(await segmentsOf(chat)).toEqual([]);
    });
  });

  it("stays while one device has not, however long the others have", async () => {
    const { alice, bob, chat } = await pair();
    const tablet = await newDevice(bob.user);
    await alice.send(chat, "hello");
    await bob.texts(1);
    for (const device of [alice, bob]) {
      device.ack(chat, 1);
      await device.settled();
    }
    for (let day = 0; day < 3; day++) {
      passes(8 * ACKED_GRACE_MS);
      await fireAlarm(conversation(chat));
    }
    expect(await segmentsOf(chat)).toHaveLength(1);
    await tablet.connect();
    expect(await tablet.texts(1)).toEqual(["hello"]);
  });

  it("R1 stays while a device that is away was never told of it, though the others have fetched it by themselves", async () => {
    const { alice, bob, chat } = await pair();
    const tablet = await newDevice(bob.user);
    await tablet.connect();
    await alice.send(chat, "one");
    for (const device of [bob, tablet]) {
      await device.texts(1);
      device.ack(chat, 1);
      await device.settled();
    }
    await tablet.leave();
    const deliver = vi.spyOn(UserObject.prototype, "deliver").mockRejectedValue(new Error("down"));
    await alice.send(chat, "two");
    await bob.sync("listed", [[chat, 1, 0]]);
    for (const device of [alice, bob]) {
      device.ack(chat, 2);
      await device.settled();
    }
    passes(ACKED_GRACE_MS + 1_000);
    const asked = vi.spyOn(UserObject.prototype, "askWatermark");
    await fireAlarm(conversation(chat));
    await eventually(() => expect(asked).toHaveBeenCalledTimes(2));
    await fireAlarm(conversation(chat));
    expect(await segmentsOf(chat)).toHaveLength(1);
    deliver.mockRestore();
    await fireAlarm(conversation(chat));
    await eventually(async () => expect((await storedDevice(tablet)).dirty).toEqual([[chat, 1, true]]));
    await tablet.connect();
    expect(await tablet.texts(2)).toEqual(["one", "two"]);
  });

  it("is looked at by an alarm that was set when it was written", async () => {
    const { alice, bob, chat } = await pair();
    await alice.send(chat, "hello");
    await bob.texts(1);
    const at = await alarmOf(conversation(chat));
    expect(at).toBeGreaterThan(Date.now());
    expect(at).toBeLessThanOrEqual(Date.now() + ACKED_GRACE_MS);
  });

  describe.each([false, true])("leaves behind, after a crash: %s", (crashes) => {
    async function dropped() {
      const scene = await ackedByAll();
      passes(ACKED_GRACE_MS + 1_000);
      await eventually(async () => {
        await fireAlarm(conversation(scene.chat));
        expect(await segmentsOf(scene.chat)).toEqual([]);
      });
      if (crashes) await crash(conversation(scene.chat));
      const append = async (id: string, text: string): Promise<Appended> => {
        const message = { id, device: scene.alice.device, body: sealedBytes(scene.chat, 1, text) };
        const call = { user: scene.alice.user, messages: [message], watermark: nothing, requestId: "r" };
        const { results } = await conversation(scene.chat).append(call);
        return results[0]!;
      };
      return { ...scene, append };
    }

    it("R2 the head: the next message gets the place that follows", async () => {
      const { alice, chat, append } = await dropped();
      expect(await append(alice.newId(), "three")).toMatchObject({ ok: true, seq: 3 });
      expect(await readAll(chat, alice.user)).toEqual({ seqs: [3], through: 3 });
    });

    it("R3 R10 what it had: a message that comes again is not stored anew", async () => {
      const { chat, first, last, append } = await dropped();
      for (const [{ id }, text] of [
        [last, "two"],
        [first, "one"],
      ] as const) {
        const result = await append(id, text);
        expect(result).toEqual({ ok: false, id, code: "id_expired", retry: "never" });
      }
      expect(await logOf(conversation(chat))).toEqual([]);
      expect(await append(ulid(Date.now()), "three")).toMatchObject({ ok: true, seq: 3 });
      expect(await append(first.id, "one")).toMatchObject({ ok: false, code: "id_expired" });
    });

    it("R5 how far everyone has got: what is gone still counts as delivered", async () => {
      const { alice, bob, chat } = await dropped();
      const read = { user: alice.user, epoch: 1, after: 0, watermark: nothing, notify: false, requestId: "r" };
      const page = await conversation(chat).readLog(read);
      expect(page).toMatchObject({ ok: true, entries: [], through: 2, head: 2 });
      expect(page.ok && page.watermarks.find(({ user }) => user === bob.user)).toMatchObject({ delivered: 2 });
    });
  });
});

describe("R10 what is older than a month", () => {
  it("goes although a device never came, and that device is told that the rest is gone and is not stuck", async () => {
    const [alice, bob] = await newFriends(2);
    const chat = directConversation(alice.user, bob.user);
    await alice.connect();
    for (const text of ["one", "two", "three"]) await alice.send(chat, text);
    passes(RETENTION_MS + 1_000);
    await eventually(async () => {
      await fireAlarm(conversation(chat));
      expect(await segmentsOf(chat)).toEqual([]);
    });
    await bob.connect();
    expect(bob.of("entries")).toEqual([{ type: "entries", conversation: chat, after: 0, through: 3, entries: [] }]);
    bob.ack(chat, 3);
    await eventually(async () => expect((await storedDevice(bob)).dirty).toEqual([]));
    await alice.connect();
    expect((await alice.send(chat, "four")).seq).toBe(4);
    expect(await bob.texts(1)).toEqual(["four"]);
    expect(bob.received[0]?.seq).toBe(4);
    expect(bob.of("error")).toEqual([]);
  });

  it("goes, and what is younger stays: one page says both", async () => {
    const [alice, bob] = await newFriends(2);
    const chat = directConversation(alice.user, bob.user);
    await alice.connect();
    for (const text of ["one", "two"]) await alice.send(chat, text);
    passes(RETENTION_MS - 3_600_000);
    await alice.connect();
    await alice.send(chat, "three");
    await alice.send(chat, "four");
    passes(3_600_000 + 1_000);
    await eventually(async () => {
      await fireAlarm(conversation(chat));
      expect(await segmentsOf(chat)).toHaveLength(1);
    });
    await bob.connect();
    expect(await bob.texts(2)).toEqual(["three", "four"]);
    expect(bob.of("entries")).toMatchObject([{ after: 0, through: 4 }]);
  });

  it("is not taken anew from a device that was away with it in its outbox", async () => {
    const { alice, bob, chat } = await pair();
    const { id } = await alice.send(chat, "one");
    await alice.send(chat, "two");
    await bob.texts(2);
    await alice.leave();
    passes(RETENTION_MS + 1_000);
    await eventually(async () => {
      await fireAlarm(conversation(chat));
      expect(await segmentsOf(chat)).toEqual([]);
    });
    alice.frames.length = 0;
    await alice.connect();
    await expect(alice.send(chat, "one", id)).rejects.toThrow("id_expired");
    expect((await alice.send(chat, "new", ulid(Date.now()))).seq).toBe(3);
    await bob.connect();
    bob.ack(chat, 2);
    await bob.settled();
    expect(bob.received.filter((message) => message.text === "one")).toHaveLength(1);
  });
});

describe("the log's tables", () => {
  it("begin anew after a day, and R2 R4 are read across as one", async () => {
    const { alice, bob, chat } = await pair();
    await alice.send(chat, "one");
    passes(SEGMENT_AGE_MS - 1_000);
    await alice.connect();
    await alice.send(chat, "two");
    expect(await segmentsOf(chat)).toHaveLength(1);
    passes(1_000);
    await alice.send(chat, "three");
    expect(await segmentsOf(chat)).toHaveLength(2);
    expect(await readAll(chat, bob.user)).toEqual({ seqs: [1, 2, 3], through: 3 });
    await crash(conversation(chat));
    expect(await readAll(chat, bob.user, 1)).toEqual({ seqs: [2, 3], through: 3 });
  });

  it("begin anew after as many entries as one may hold, and R2 R3 R4 are read across as one", async () => {
    const [alice, bob] = await newFriends(2);
    const chat = directConversation(alice.user, bob.user);
    const total = SEGMENT_ENTRIES + 2 * MAX_APPEND_MESSAGES;
    const ids: string[] = [];
    for (let at = 0; at < total; at += MAX_APPEND_MESSAGES) {
      const messages = Array.from({ length: MAX_APPEND_MESSAGES }, () => ({
        id: alice.newId(),
        device: alice.device,
        body: sealedBytes(chat, 1, "x"),
      }));
      ids.push(...messages.map((message) => message.id));
      await conversation(chat).append({ user: alice.user, messages, watermark: nothing, requestId: "r" });
    }
    expect(await segmentsOf(chat)).toHaveLength(2);
    const seqs = Array.from({ length: total }, (_, index) => index + 1);
    expect((await readAll(chat, bob.user)).seqs).toEqual(seqs);
    expect(await logOf(conversation(chat))).toEqual(seqs.map((seq) => ({ seq, id: ids[seq - 1] })));
    await crash(conversation(chat));
    for (const seq of [1, SEGMENT_ENTRIES, SEGMENT_ENTRIES + 1, total]) {
      const message = { id: ids[seq - 1]!, device: alice.device, body: sealedBytes(chat, 1, "x") };
      const call = { user: alice.user, messages: [message], watermark: nothing, requestId: "r" };
      expect((await conversation(chat).append(call)).results).toMatchObject([{ ok: true, seq }]);
    }
  });
});
