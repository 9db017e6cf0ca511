import { describe, expect, test, vi } from "vitest";
import {
  alice,
  bob,
  deviceOf,
  newServer,
  type Opened,
  openOffline,
  reader,
  said,
  sendAll,
  soon,
} from "../../test/fake/chats.ts";
import { showCode } from "../../test/fake/devices.ts";
import type { FakeServer } from "../../test/fake/server.ts";
import type { ChatOptions } from "../chat.ts";
import { ChatError } from "../chat-error.ts";
import { encodeHandover, readHandover } from "../history/handover.ts";
import { makeAccountKey } from "../identity/account-key.ts";
import type { DeviceProgress, LinkedHistory } from "./devices.ts";

/** Nobody wants to wait here for what devices wait for to keep out of each other's way. */
vi.mock("../../shared/limits.ts", async (original) => ({
  ...(await original<typeof import("../../shared/limits.ts")>()),
  MIN_RECONCILIATION_DELAY_MS: 20,
  MAX_RECONCILIATION_DELAY_MS: 200,
  HISTORY_POLL_MS: 50,
  TRANSFER_RETRY_MS: 20,
}));

async function open(server: FakeServer, user: string, name: string, part: Partial<ChatOptions> = {}): Promise<Opened> {
  const opened = await openOffline(server, user, name, part);
  opened.chat.connection.open();
  await opened.chat.connection.caughtUp();
  return opened;
}

/** Alice has talked with bob, and in a group that bob has begun. */
async function scene() {
  const server = newServer();
  const a = await open(server, alice, "A1");
  const b = await open(server, bob, "B1");
  const chat = a.chat.conversations.direct(bob);
  await sendAll(a.chat, chat, ["one"]);
  await soon(b.chat, chat).toEqual(["one"]);
  await sendAll(b.chat, chat, ["two"]);
  const group = await b.chat.conversations.createGroup([alice]);
  await sendAll(b.chat, group, ["in the group"]);
  await soon(a.chat, chat).toEqual(["one", "two"]);
  await soon(a.chat, group).toEqual(["in the group"]);
  return { server, a, b, chat, group };
}

interface New extends Opened {
  readonly history: LinkedHistory;
}

/** What a new device does; `begin` once it has been let in. */
async function newDevice(server: FakeServer, name: string, begin: () => Promise<unknown>): Promise<New> {
  const shown = showCode(server, name);
  void begin().catch(() => {});
  const { payload, channel } = await shown;
  const { accountKey, backupKey, history } = await readHandover(payload, alice);
  server.alert(alice, "device_added");
  const opened = await open(server, alice, name, { accountKey });
  return { ...opened, history: { backupKey, history, channel } };
}

/** How many devices are in the conversation's group. */
function leavesOf(server: FakeServer, conversation: string): number {
  return reader.usersOf(server.conversation(conversation).group?.tree ?? new Uint8Array()).length;
}

describe("linking a device", { timeout: 60_000 }, () => {
  test("it reads all that was said, is told what comes, and can answer, in every conversation", async () => {
    const { server, a, b, chat, group } = await scene();
    const progress: DeviceProgress[] = [];
    let linked = Promise.resolve();
    const fresh = await newDevice(server, "A2", () => {
      linked = a.chat.devices.link("A2", { onProgress: (each) => progress.push(each) });
      return linked;
    });
    const received: DeviceProgress[] = [];
    expect(await fresh.chat.devices.receiveHistory(fresh.history, { onProgress: (each) => received.push(each) })).toBe(
      true,
    );
    await linked;
    await soon(fresh.chat, chat).toEqual(["one", "two"]);
    await soon(fresh.chat, group).toEqual(["in the group"]);
    await sendAll(b.chat, chat, ["three"]);
    await sendAll(b.chat, group, ["four"]);
    await soon(fresh.chat, chat).toEqual(["one", "two", "three"]);
    await soon(fresh.chat, group).toEqual(["in the group", "four"]);
    await sendAll(fresh.chat, group, ["from the new one"]);
    for (const { chat: each } of [a, b]) await soon(each, group).toContain("from the new one");
    expect(progress.filter(({ task }) => task === "members").at(-1)).toEqual({ task: "members", done: 2, total: 2 });
    expect(progress.some(({ task }) => task === "sending_history")).toBe(true);
    const histories = received.filter(({ task }) => task === "receiving_history");
    expect(histories.at(-1)).toMatchObject({ done: 1, total: 1 });
    // Nothing is left of it: not on the server, nor to be done.
    expect(server.archivesOf(alice).archives.size).toBe(0);
    const left = async () => {
      const records = await Promise.all([a, fresh].map(({ store }) => store.records("")));
      return records.flat().filter(([key]) => /history|reconcile|taken/.test(key));
    };
    await expect.poll(left).toEqual([]);
  });

  test("R17 it knows who was verified, from the start and after a restart", async () => {
    const { a, b, server } = await scene();
    await a.chat.identity.verify(bob, b.chat.identity.safetyCode(alice));
    const compared = a.chat.identity.status(bob);
    const fresh = await newDevice(server, "A2", () => a.chat.devices.link("A2"));
    expect(fresh.chat.identity.status(bob)?.verifiedAt).toBeUndefined();
    await fresh.chat.devices.receiveHistory(fresh.history);
    expect(fresh.chat.identity.status(bob)).toEqual(compared);
    const { chat: after } = await fresh.reopen();
    expect(after.identity.status(bob)).toEqual(compared);
  });

  test("what was said before it came is not counted as unread once it was read", async () => {
    const { server, a, chat, group } = await scene();
    const [last] = (await a.chat.messages.list(chat)).slice(-1);
    a.chat.conversations.markRead(chat, last?.seq ?? 0);
    const fresh = await newDevice(server, "A2", () => a.chat.devices.link("A2"));
    await fresh.chat.devices.receiveHistory(fresh.history);
    const summaries = await fresh.store.conversations();
    expect(Object.fromEntries(summaries.map(({ conversation, unread }) => [conversation, unread]))).toEqual({
      [chat]: 0,
      [group]: 1,
    });
  });

  test("without a history, if that is not wanted", async () => {
    const { server, a, b, chat } = await scene();
    let linked = Promise.resolve();
    const fresh = await newDevice(server, "A2", () => {
      linked = a.chat.devices.link("A2", { history: false });
      return linked;
    });
    expect(await fresh.chat.devices.receiveHistory(fresh.history)).toBe(false);
    await linked;
    await sendAll(b.chat, chat, ["three"]);
    await soon(fresh.chat, chat).toContain("three");
    expect(await said(fresh.chat, chat)).not.toContain("one");
    expect(server.archivesOf(alice).asked).toEqual([]);
  });

  test("without a history, if there are too many archives already", async () => {
    const { server, a, chat } = await scene();
    server.archivesOf(alice).fail = (what) => {
      if (what.startsWith("begin")) throw new ChatError("too_many");
    };
    const fresh = await newDevice(server, "A2", () => a.chat.devices.link("A2"));
    expect(await fresh.chat.devices.receiveHistory(fresh.history)).toBe(false);
    await sendAll(fresh.chat, chat, ["here all the same"]);
  });

  test("a code that is none lets nobody in, and leaves nothing behind", async () => {
    const { server, a } = await scene();
    await expect(a.chat.devices.link("nobody's")).rejects.toMatchObject({ code: "link_invalid" });
    expect(server.archivesOf(alice).archives.size).toBe(0);
    expect((await a.store.records("history-for-device/")).length).toBe(0);
  });

  test("goes on where the old device broke off, after it was closed", async () => {
    const { server, a, b, chat, group } = await scene();
    const archives = server.archivesOf(alice);
    archives.fail = (what) => {
      if (what.startsWith("put")) throw new ChatError("unavailable");
    };
    const fresh = await newDevice(server, "A2", () => a.chat.devices.link("A2"));
    const received = fresh.chat.devices.receiveHistory(fresh.history);
    await expect.poll(() => archives.asked, { timeout: 15_000 }).toContain("put 0");
    const again = await a.reopen();
    archives.fail = () => {};
    again.chat.connection.open();
    expect(await received).toBe(true);
    await soon(fresh.chat, chat).toEqual(["one", "two"]);
    await sendAll(b.chat, group, ["later"]);
    await soon(fresh.chat, group).toEqual(["in the group", "later"]);
  });

  test("goes on after the old device was closed before it had heard that the new one is ready", async () => {
    const { server, a, b, chat, group } = await scene();
    const fresh = await newDevice(server, "A2", () => a.chat.devices.link("A2"));
    const again = await a.reopen();
    await sendAll(b.chat, chat, ["meanwhile"]);
    again.chat.connection.open();
    expect(await fresh.chat.devices.receiveHistory(fresh.history)).toBe(true);
    await soon(fresh.chat, chat).toEqual(["one", "two", "meanwhile"]);
    await sendAll(b.chat, group, ["later"]);
    await soon(fresh.chat, group).toEqual(["in the group", "later"]);
  });

  test("the new device goes on receiving after it was closed, and it comes by itself", async () => {
    const { server, a, chat } = await scene();
    const archives = server.archivesOf(alice);
    archives.fail = (what) => {
      if (what === "get 0") throw new ChatError("unavailable");
    };
    const fresh = await newDevice(server, "A2", () => a.chat.devices.link("A2"));
    void fresh.chat.devices.receiveHistory(fresh.history).catch(() => {});
    await expect.poll(() => archives.asked, { timeout: 15_000 }).toContain("get 0");
    const again = await fresh.reopen();
    archives.fail = () => {};
    again.chat.connection.open();
    await soon(again.chat, chat).toEqual(["one", "two"]);
  });

  test("a history that comes before the first connection does not keep it from going through the log", async () => {
    const { server, a, b, chat, group } = await scene();
    const shown = showCode(server, "A2");
    const linked = a.chat.devices.link("A2");
    const { payload, channel } = await shown;
    const { accountKey, backupKey, history } = await readHandover(payload, alice);
    const offline = await openOffline(server, alice, "A2", { accountKey });
    expect(await offline.chat.devices.receiveHistory({ backupKey, history, channel })).toBe(true);
    await linked;
    await soon(offline.chat, chat).toEqual(["one", "two"]);
    const fresh = await offline.reopen();
    fresh.chat.connection.open();
    await fresh.chat.connection.caughtUp();
    await sendAll(b.chat, group, ["three"]);
    await soon(fresh.chat, group).toEqual(["in the group", "three"]);
    await soon(fresh.chat, chat).toEqual(["one", "two"]);
    // By the Welcomes, not from outside.
    expect([leavesOf(server, chat), leavesOf(server, group)]).toEqual([3, 3]);
    const commits = server.conversation(group).log.filter(({ device }) => device === deviceOf("A2"));
    expect(commits).toEqual([]);
  });

  test("a history that never comes is given up, and the device works without", async () => {
    const { server, a, b, chat } = await scene();
    const fresh = await newDevice(server, "A2", () => a.chat.devices.link("A2"));
    await a.chat[Symbol.asyncDispose]();
    const { archive = "" } = fresh.history.history ?? {};
    await server.archivesOf(alice).remove(archive);
    expect(await fresh.chat.devices.receiveHistory(fresh.history)).toBe(false);
    await sendAll(fresh.chat, chat, ["alone"]);
    await sendAll(b.chat, chat, ["not quite"]);
    await soon(fresh.chat, chat).toContain("not quite");
  });

  test("nobody adds it, and it joins by itself", async () => {
    const { server, a, b, chat, group } = await scene();
    const fresh = await newDevice(server, "A2", () => a.chat.devices.link("A2"));
    await a.chat[Symbol.asyncDispose]();
    await expect.poll(() => leavesOf(server, group), { timeout: 15_000 }).toBe(3);
    await expect.poll(() => leavesOf(server, chat), { timeout: 15_000 }).toBe(3);
    await sendAll(b.chat, group, ["welcome"]);
    await soon(fresh.chat, group).toContain("welcome");
  });

  test("a history that somebody else has put there is refused", async () => {
    const { server, a, chat } = await scene();
    const archives = server.archivesOf(alice);
    archives.fail = (what) => {
      if (what !== "get manifest") return;
      for (const { chunks } of archives.archives.values()) chunks.set(0, new Uint8Array(300).fill(7));
    };
    const fresh = await newDevice(server, "A2", () => a.chat.devices.link("A2"));
    await expect(fresh.chat.devices.receiveHistory(fresh.history)).rejects.toMatchObject({ code: "tampered" });
    expect(await said(fresh.chat, chat)).not.toContain("one");
  });
});

describe("revoking a device", { timeout: 60_000 }, () => {
  async function withTwo() {
    const { server, a, b, chat, group } = await scene();
    let linked = Promise.resolve();
    const fresh = await newDevice(server, "A2", () => {
      linked = a.chat.devices.link("A2", { history: false });
      return linked;
    });
    await fresh.chat.devices.receiveHistory(fresh.history);
    await linked;
    expect([leavesOf(server, chat), leavesOf(server, group)]).toEqual([3, 3]);
    return { server, a, b, fresh, chat, group };
  }

  test("takes it out of every conversation", async () => {
    const { server, a, fresh, chat, group } = await withTwo();
    const progress: DeviceProgress[] = [];
    await a.chat.devices.revoke(fresh.chat.device, { onProgress: (each) => progress.push(each) });
    expect([leavesOf(server, chat), leavesOf(server, group)]).toEqual([2, 2]);
    expect(progress.at(-1)).toEqual({ task: "members", done: 2, total: 2 });
    expect((await a.chat.devices.list()).map(({ device }) => device)).toEqual([deviceOf("A1")]);
  });

  test("goes on after the one who began it was closed", async () => {
    const { server, a, fresh, chat, group } = await withTwo();
    server.onRevoke = () => {
      throw new ChatError("unavailable");
    };
    await expect(a.chat.devices.revoke(fresh.chat.device)).rejects.toMatchObject({ code: "unavailable" });
    server.onRevoke = () => {};
    const again = await a.reopen();
    again.chat.connection.open();
    await expect.poll(() => leavesOf(server, chat), { timeout: 15_000 }).toBe(2);
    await expect.poll(() => leavesOf(server, group), { timeout: 15_000 }).toBe(2);
  });

  test("the others see to it if the one who began it is gone", async () => {
    const { server, a, fresh, chat, group } = await withTwo();
    const third = await newDevice(server, "A3", () => a.chat.devices.link("A3", { history: false }));
    await expect.poll(() => leavesOf(server, group), { timeout: 15_000 }).toBe(4);
    await expect.poll(() => leavesOf(server, chat), { timeout: 15_000 }).toBe(4);
    await a.chat[Symbol.asyncDispose]();
    server.revoke(fresh.chat.device);
    server.alert(alice, "device_removed");
    await expect.poll(() => leavesOf(server, chat), { timeout: 15_000 }).toBe(3);
    await expect.poll(() => leavesOf(server, group), { timeout: 15_000 }).toBe(3);
    await sendAll(third.chat, chat, ["still here"]);
  });

  test("of one that the server does not know is done all the same; what it refuses for good is not tried again", async () => {
    const { server, a } = await withTwo();
    await a.chat.devices.revoke(deviceOf("A9"));
    server.onRevoke = () => {
      throw new ChatError("signed_out");
    };
    await expect(a.chat.devices.revoke(deviceOf("A8"))).rejects.toMatchObject({ code: "signed_out" });
    expect(await a.store.records("revoke/")).toEqual([]);
  });
});

describe("what is handed over", () => {
  test("is read by the account that it names, and by nobody else", async () => {
    const accountKey = await makeAccountKey();
    const key = crypto.getRandomValues(new Uint8Array(32));
    const history = { archive: "AAAAAAAAAAAAAAAAAAAAAA", archiveKey: key };
    for (const handover of [
      { user: alice, accountKey, backupKey: undefined, history: undefined },
      { user: alice, accountKey, backupKey: key, history },
    ]) {
      const payload = encodeHandover(handover);
      expect(await readHandover(payload, alice)).toEqual(handover);
      await expect(readHandover(payload, bob)).rejects.toMatchObject({ code: "tampered" });
    }
  });

  test("is nothing else, and of no other version", async () => {
    const { seed } = await makeAccountKey();
    const good = JSON.parse(
      new TextDecoder().decode(
        encodeHandover({
          user: alice,
          accountKey: { seed, publicKey: seed },
          backupKey: undefined,
          history: undefined,
        }),
      ),
    );
    for (const change of [
      { version: 2 },
      { accountKey: good.accountKey.slice(4) },
      { accountKey: 7 },
      { backupKey: "x" },
      { history: { archive: "../x", archiveKey: good.accountKey } },
      { user: undefined },
    ]) {
      const payload = new TextEncoder().encode(JSON.stringify({ ...good, ...change }));
      await expect(readHandover(payload, alice)).rejects.toMatchObject({ code: "tampered" });
    }
    await expect(readHandover(new Uint8Array([1, 2]), alice)).rejects.toMatchObject({ code: "tampered" });
  });
});
