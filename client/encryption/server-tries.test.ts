import { afterEach, describe, expect, test, vi } from "vitest";
import { RETENTION_MS } from "../../shared/limits.ts";
import {
  alice,
  bob,
  carol,
  deviceOf,
  mls,
  newServer,
  open,
  said,
  sendAll,
  shown,
  soon,
} from "../../test/fake/chats.ts";
import type { FakeServer } from "../../test/fake/server.ts";
import type { Chat } from "../chat.ts";
import { makeAccountKey } from "../identity/account-key.ts";
import { makeDeviceKeys } from "../identity/device-keys.ts";
import { createMls } from "../mls/ts-mls.ts";
import type { ReceivedMessage } from "../session/contract.ts";
import type { GroupOnServer } from "./delivery-service.ts";
import type { HistoryDifference } from "./write.ts";

afterEach(() => {
  vi.useRealTimers();
});

const anybody = createMls({ authenticate: async () => true });
const lifetime = () => ({ notBefore: Date.now() - 60_000, notAfter: Date.now() + 3_600_000 });

async function friends() {
  const server = newServer();
  const accountKey = await makeAccountKey();
  const a = await open(server, alice, "A1");
  const b = await open(server, bob, "B1", { accountKey });
  return { server, a, b, accountKey, conversation: a.conversations.direct(bob) };
}

async function talking() {
  const known = await friends();
  await sendAll(known.a, known.conversation, ["hello"]);
  await soon(known.b, known.conversation).toEqual(["hello"]);
  return known;
}

/** What this device is warned of. */
function warnings(chat: Chat): (readonly [seq: number, how: HistoryDifference])[] {
  const seen: (readonly [number, HistoryDifference])[] = [];
  chat.on("history_differs", ({ seq, how }) => seen.push([seq, how]));
  return seen;
}

function tamperFor(server: FakeServer, name: string, tamper: (entry: ReceivedMessage) => ReceivedMessage | undefined) {
  server.tamper.entry = (entry, to) => (to === deviceOf(name) ? tamper(entry) : entry);
}

describe("R17 the server tries", () => {
  test("a ghost device beside somebody's own: nothing is sent", async () => {
    const { server, a, conversation } = await friends();
    const ghost = await makeDeviceKeys(await makeAccountKey(), { user: bob, device: deviceOf("BX"), issuedAt: 1 });
    const made = await anybody.makeKeyPackage(ghost, 83, lifetime());
    server.tamper.claimed = (user, claimed) =>
      user === bob
        ? { ...claimed, packages: [...claimed.packages, { device: deviceOf("BX"), keyPackage: made.keyPackage }] }
        : claimed;
    const message = await a.messages.send(conversation, "secret");
    await expect(message.sent).rejects.toMatchObject({ code: "tampered" });
    expect(server.conversations.get(conversation)?.log ?? []).toEqual([]);
  });

  test("a key package of somebody else's in the place of the right one: nothing is sent", async () => {
    const { server, a, conversation } = await friends();
    await open(server, carol, "C1");
    const [mallory] = server.devices.get(deviceOf("C1"))?.packages.filter(({ suite }) => suite === 83) ?? [];
    if (!mallory) throw new Error("no key package");
    server.tamper.claimed = (user, claimed) =>
      user === bob ? { ...claimed, packages: [{ device: deviceOf("B1"), keyPackage: mallory.keyPackage }] } : claimed;
    const message = await a.messages.send(conversation, "secret");
    await expect(message.sent).rejects.toMatchObject({ code: "tampered" });
  });

  test("a certificate that the account key has signed for another key: nothing is sent", async () => {
    const { server, a, conversation, accountKey } = await friends();
    const fields = { user: bob, device: deviceOf("B1"), issuedAt: 1 };
    const theirs = await makeDeviceKeys(accountKey, fields);
    const own = await makeDeviceKeys(await makeAccountKey(), fields);
    const stolen = { ...own, credential: theirs.credential };
    const { keyPackage } = await anybody.makeKeyPackage(stolen, 83, lifetime());
    server.tamper.claimed = (user, claimed) =>
      user === bob ? { ...claimed, packages: [{ device: deviceOf("B1"), keyPackage }] } : claimed;
    await expect((await a.messages.send(conversation, "secret")).sent).rejects.toMatchObject({ code: "tampered" });
  });

  test("another account key for somebody who is known: everybody is shown that", async () => {
    const { server, a, b, conversation } = await talking();
    const changes: string[] = [];
    a.on("key_changed", ({ user }) => changes.push(user));
    // As the server would, it plays a phone of Bob's that has lost its key.
    const ghost = await open(server, bob, "BX", { resetIdentity: true });
    await ghost.messages.send(conversation, "it is me");
    await expect.poll(() => changes).toEqual([bob]);
    await soon(b, conversation).toContain("hello");
  });

  test("a commit that was taken before: it is noticed, and changes nothing", async () => {
    const { server, a, b, conversation } = await talking();
    const seen = warnings(b);
    const commit = server.conversation(conversation).log[0];
    if (!commit) throw new Error("no commit");
    tamperFor(server, "B1", (entry) => (entry.seq === 3 ? { ...entry, id: commit.id, body: commit.body } : entry));
    await sendAll(a, conversation, ["three"]);
    await expect.poll(() => seen).toEqual([[3, "altered"]]);
    server.tamper = {};
    await sendAll(a, conversation, ["four"]);
    await soon(b, conversation).toContain("four");
  });

  test("a forked history, two members being shown different messages: the next message tells", async () => {
    const { server, a, b, conversation } = await talking();
    const seen = warnings(a);
    tamperFor(server, "B1", (entry) =>
      entry.seq === 3 ? { ...entry, body: Uint8Array.from([...entry.body, 0]) } : entry,
    );
    await sendAll(a, conversation, ["three"]);
    await expect.poll(async () => (await b.messages.list(conversation)).length).toBe(3);
    await sendAll(b, conversation, ["answer"]);
    await expect.poll(() => seen).toEqual([[4, "altered"]]);
  });

  test("another sender than the one who wrote it: it is not shown as theirs", async () => {
    const { server, a, b, conversation } = await talking();
    tamperFor(server, "B1", (entry) => (entry.seq === 3 ? { ...entry, user: bob, device: deviceOf("B2") } : entry));
    await sendAll(a, conversation, ["transfer the money"]);
    await expect.poll(() => said(b, conversation)).toEqual(["hello", "<unreadable>"]);
    const [, , forged] = await b.messages.list(conversation);
    expect(forged?.content).toMatchObject({ kind: "unreadable", reason: "forged" });
  });

  test("the same message under another id: it is not shown", async () => {
    const { server, a, b, conversation } = await talking();
    tamperFor(server, "B1", (entry) => (entry.seq === 3 ? { ...entry, id: "01J00000000000000000000009" } : entry));
    await sendAll(a, conversation, ["once"]);
    await expect.poll(() => said(b, conversation)).toEqual(["hello", "<unreadable>"]);
  });

  test("the same message again at another place: it is not shown twice", async () => {
    const { server, a, b, conversation } = await talking();
    let first: ReceivedMessage | undefined;
    tamperFor(server, "B1", (entry) => {
      if (entry.seq === 3) first = entry;
      return entry.seq === 4 && first ? { ...first, seq: 4 } : entry;
    });
    await sendAll(a, conversation, ["pay", "thanks"]);
    await expect.poll(() => said(b, conversation)).toEqual(["hello", "pay", "<unreadable>"]);
  });

  test("to withhold a message as if it had expired: the next one tells", async () => {
    const { server, a, b, conversation } = await talking();
    const seen = warnings(b);
    b.connection.close();
    tamperFor(server, "B1", (entry) => (entry.seq === 3 ? undefined : entry));
    await sendAll(a, conversation, ["do not come", "see you"]);
    b.connection.open();
    await soon(b, conversation).toEqual(["hello", "see you"]);
    expect(seen).toEqual([[4, "missing"]]);
  });

  test.each([
    ["which may be so after as long as the log is kept", RETENTION_MS, "expired"],
    ["which cannot be so before that", RETENTION_MS - 60_000, "missing"],
  ])("the same while a device is away, %s", async (_, ms, how) => {
    const { server, a, b, conversation } = await talking();
    const seen = warnings(b);
    await b.connection.caughtUp();
    b.connection.close();
    tamperFor(server, "B1", (entry) => (entry.seq === 3 ? undefined : entry));
    await sendAll(a, conversation, ["long ago"]);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + ms });
    await sendAll(a, conversation, ["today"]);
    b.connection.open();
    await soon(b, conversation).toEqual(["hello", "today"]);
    expect(seen).toEqual([[4, how]]);
    // Whatever is missing while it is there has not expired.
    await b.connection.caughtUp();
    tamperFor(server, "B1", (entry) => (entry.seq === 3 || entry.seq === 5 ? undefined : entry));
    await sendAll(a, conversation, ["withheld", "seen"]);
    b.connection.close();
    b.connection.open();
    await soon(b, conversation).toEqual(["hello", "today", "seen"]);
    expect(seen.slice(1)).toEqual([[6, "missing"]]);
  });

  test("the group as it stood before somebody was removed, for a device to join it anew: it does not", async () => {
    const server = newServer();
    const { account } = server.signIn(alice, deviceOf("A1"));
    let shown: GroupOnServer[] = [];
    const group = async (id: string) => shown.shift() ?? account.delivery.group(id);
    const a = await open(server, alice, "A1", { account: { ...account, delivery: { ...account.delivery, group } } });
    await open(server, bob, "B1");
    await open(server, carol, "C1");
    const conversation = await a.conversations.createGroup([bob, carol]);
    const stale = await account.delivery.group(conversation);
    if (!stale) throw new Error("no group");
    await a.conversations.remove(conversation, [carol]);
    // It says that the group is far ahead, so that the device believes that it has lost its place, and brings back the old one.
    Object.assign(server.conversation(conversation), { epoch: stale.epoch, group: stale });
    shown = [{ ...stale, epoch: 9 }];
    const message = await a.messages.send(conversation, "not for carol");
    await expect(message.sent).rejects.toMatchObject({ code: "tampered" });
    await expect(a.conversations.members(conversation)).resolves.not.toContain(carol);
  });

  test("a device under a key that somebody has given up, beside their new ones: nothing is sent", async () => {
    const { server, a, conversation, accountKey } = await friends();
    await sendAll(a, conversation, ["hello"]);
    const stolen = await makeDeviceKeys(accountKey, { user: bob, device: deviceOf("B1"), issuedAt: 1 });
    const made = await anybody.makeKeyPackage(stolen, 83, lifetime());
    const changes: string[] = [];
    a.on("key_changed", ({ user }) => changes.push(user));
    const fresh = await open(server, bob, "B2", { resetIdentity: true });
    await fresh.messages.send(conversation, "I have lost my phone");
    await expect.poll(() => changes).toEqual([bob]);
    server.tamper.claimed = (user, claimed) =>
      user === bob ? { packages: [{ device: deviceOf("B1"), keyPackage: made.keyPackage }], missing: [] } : claimed;
    await expect(a.conversations.createGroup([bob])).rejects.toMatchObject({ code: "tampered" });
  });

  test("a key of its own as the one that a person gives up: what they say then is not for its devices", async () => {
    const server = newServer();
    const key = await makeAccountKey();
    server.accountKeys.set(alice, key.publicKey);
    const a = await open(server, alice, "A1", { resetIdentity: true });
    const b = await open(server, bob, "B1");
    const conversation = a.conversations.direct(bob);
    await sendAll(a, conversation, ["hello"]);
    await soon(b, conversation).toEqual(["hello"]);
    const ghost = await makeDeviceKeys(key, { user: alice, device: deviceOf("AX"), issuedAt: 1 });
    const { account } = server.signIn(alice, deviceOf("AX"));
    const standing = await account.delivery.group(conversation);
    if (!standing?.groupInfo || !standing.tree) throw new Error("no group");
    const theirs = mls(async () => true);
    const { group, ...made } = await theirs.joinExternally(standing.groupInfo, standing.tree, ghost, Date.now());
    await account.delivery.submit(conversation, { ...made, id: "01J00000000000000000000009", after: 0 });
    await sendAll(a, conversation, ["secret"]);
    await soon(b, conversation).toEqual(["hello", "secret"]);
    const [secret] = server.conversation(conversation).log.slice(-1);
    if (!secret) throw new Error("no message");
    await expect(theirs.open(group, secret.body)).rejects.toMatchObject({ code: "wrong_epoch" });
  });

  test("a group of its own making for a device to join from outside: it does not", async () => {
    const { server, b, conversation } = await friends();
    const forger = await makeDeviceKeys(await makeAccountKey(), { user: alice, device: deviceOf("AX"), issuedAt: 1 });
    const group = await anybody.create(new TextEncoder().encode(conversation), 83, forger, Date.now());
    const stranger = await makeDeviceKeys(await makeAccountKey(), { user: carol, device: deviceOf("CX"), issuedAt: 1 });
    const { keyPackage } = await anybody.makeKeyPackage(stranger, 83, lifetime());
    const made = await anybody.commit(group, { add: [keyPackage] });
    Object.assign(server.conversation(conversation), {
      epoch: 1,
      group: { seq: 0, groupInfo: made.groupInfo, tree: made.tree },
    });
    await expect((await b.messages.send(conversation, "secret")).sent).rejects.toMatchObject({ code: "tampered" });
  });
});

test("R18 who was removed cannot read what follows, also when their leaf is filled again at once", async () => {
  const server = newServer();
  const [a, b, c] = [await open(server, alice, "A1"), await open(server, bob, "B1"), await open(server, carol, "C1")];
  const group = await a.conversations.createGroup([bob]);
  await sendAll(a, group, ["with bob"]);
  await soon(b, group).toEqual(["with bob"]);
  // In one commit: Carol gets the leaf that Bob leaves.
  await a.conversations.change(group, { add: [carol], remove: [bob] });
  // The server goes on delivering to Bob.
  server.conversation(group).members.add(bob);
  await sendAll(a, group, ["without bob"]);
  await soon(c, group).toEqual(["without bob"]);
  const bobs = async () => (await b.messages.list(group)).map(shown);
  await expect.poll(bobs).toEqual(["<group>", "with bob", "<group>", "<unreadable>"]);
  await expect(b.conversations.members(group)).resolves.toEqual([]);
});
