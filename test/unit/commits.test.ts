import { describe, expect, it } from "vitest";
import { pack, unpack } from "../../durable-objects/conversation/packed-state.ts";
import { directConversation } from "../../shared/ids.ts";
import type { LeafOwner, SubmitCommitReply } from "../../shared/rpc.ts";
import { commitBytes, foundingCommit, payloadOf, sealedBytes } from "../sealed.ts";
import { ConversationDriver } from "./conversation-driver.ts";
import { idOf } from "./core-driver.ts";

/** The first device of a person, or another. */
const deviceOf = (person: string, device = 1): LeafOwner => ({
  user: idOf(`0${person}`, 1),
  device: idOf(`1${person}`, device),
});
const [alice, bob, carol, dave] = ["A", "B", "C", "D"].map((person) => deviceOf(person)) as [
  LeafOwner,
  LeafOwner,
  LeafOwner,
  LeafOwner,
];
const chat = directConversation(alice.user, bob.user);
const groupId = idOf("0G", 1);

/** Alice's group with these others, and nothing in it but the commit that began it. */
function groupWith(...others: LeafOwner[]): ConversationDriver {
  const driver = new ConversationDriver(groupId);
  expect(driver.found(alice, ...others)).toMatchObject({ ok: true, seq: 1 });
  driver.deliveries = [];
  return driver;
}

function pair(): ConversationDriver {
  const driver = new ConversationDriver(chat);
  expect(driver.found(alice, bob)).toMatchObject({ ok: true, seq: 1 });
  driver.deliveries = [];
  return driver;
}

const codeOf = (reply: SubmitCommitReply) => (reply.ok ? "ok" : reply.code);
const notAllowed = { ok: false, code: "not_allowed", retry: "never" };
const notFound = { ok: false, code: "not_found", retry: "never" };

describe("R16 a message is taken only", () => {
  it("as a message of this conversation's group", () => {
    const driver = pair();
    const plain = new TextEncoder().encode("hello");
    const handshake = sealedBytes(chat, 1, "hello");
    handshake[5 + chat.length + 8] = 3;
    for (const body of [plain, sealedBytes(groupId, 1, "hello"), commitBytes("a commit"), handshake]) {
      expect(driver.appendBytes(bob, body)).toMatchObject({ ok: false, code: "not_sealed", retry: "never" });
    }
    expect(driver.texts(alice.user)).toEqual(["(commit)"]);
    expect(driver.append(bob, "hello", 1)).toMatchObject({ ok: true, seq: 2 });
  });

  it("in its device's order: behind a stale one of the same call nothing new of that device is (R2)", () => {
    const driver = pair();
    const placed = driver.append(bob, "before", 1);
    const bobs = (epoch: number, text: string) => ({
      ...{ id: driver.newId(), device: bob.device },
      body: sealedBytes(chat, epoch, text),
    });
    const laptop = { ...bobs(1, "from the laptop"), device: deviceOf("B", 2).device };
    const known = { ...bobs(1, "before"), id: placed.id };
    const results = driver.appendAll(bob.user, [bobs(0, "stale"), bobs(1, "behind"), laptop, known]);
    expect(results.map((result) => (result.ok ? result.seq : result.code))).toEqual(["epoch_stale", "busy", 3, 2]);
  });

  it("in the current epoch, and not before there is one", () => {
    const driver = new ConversationDriver(chat);
    for (const epoch of [0, 1]) {
      expect(driver.append(bob, "early", epoch)).toMatchObject({ ok: false, code: "epoch_stale", retry: "now" });
    }
    driver.found(alice, bob);
    driver.commit(bob, { epoch: 1, leaf: 1 });
    for (const epoch of [0, 1, 3, Number.MAX_SAFE_INTEGER]) {
      expect(driver.append(bob, "other", epoch), `${epoch}`).toMatchObject({ ok: false, code: "epoch_stale" });
    }
    expect(driver.append(bob, "now", 2)).toMatchObject({ ok: true, seq: 3 });
  });

  it("R3 but is at its place whatever epoch it is by now, and nothing else ever is", () => {
    const driver = pair();
    const id = driver.newId();
    expect(driver.append(bob, "hello", 1, id)).toMatchObject({ ok: true, seq: 2 });
    driver.commit(alice, { epoch: 1, leaf: 0 });
    expect(driver.append(bob, "hello", 1, id)).toMatchObject({ ok: true, seq: 2 });
    expect(driver.append(bob, "hello", 2, id)).toMatchObject({ ok: false, code: "id_conflict" });
    driver.evict();
    expect(driver.append(bob, "hello", 1, id)).toMatchObject({ ok: true, seq: 2 });
  });

  it("R6 from members", () => {
    for (const driver of [pair(), groupWith(bob)]) {
      expect(driver.append(carol, "hello", 1)).toMatchObject(notFound);
    }
  });
});

describe("R16 the first commit", () => {
  it("of a group makes its maker the owner, and those it adds members", () => {
    const driver = groupWith(bob, carol, deviceOf("C", 2));
    expect(codeOf(driver.commit(bob, { epoch: 1, leaf: 1, adds: [dave] }))).toBe("not_allowed");
    expect(codeOf(driver.commit(alice, { epoch: 1, leaf: 0, adds: [dave] }))).toBe("ok");
    const group = driver.readGroup(carol.user);
    expect(group).toMatchObject({ ok: true, epoch: 2, seq: 2 });
    expect(group.ok && group.leaves).toEqual([alice, bob, carol, deviceOf("C", 2), dave]);
  });

  it("wins the race, and the other one gets what they have missed", () => {
    const driver = new ConversationDriver(chat);
    expect(driver.found(alice, bob)).toMatchObject({ ok: true, seq: 1 });
    driver.append(alice, "hello", 1);
    const lost = driver.found(bob, alice);
    expect(lost).toMatchObject({ ok: false, code: "epoch_stale", epoch: 1, through: 2 });
    expect(!lost.ok && "entries" in lost && lost.entries.map(({ body }) => payloadOf(body))).toEqual([
      "(commit)",
      "hello",
    ]);
    const group = driver.readGroup(bob.user);
    expect(group.ok && group.leaves).toEqual([alice, bob]);
  });

  it("is of epoch 0, by a device that is in it", () => {
    const driver = new ConversationDriver(chat);
    const stale = { ok: false, code: "epoch_stale", epoch: null, entries: [], through: 0 };
    expect(driver.commit(alice, { epoch: 1, leaf: 0 })).toEqual(stale);
    expect(driver.commit(alice, { epoch: 0, leaf: null })).toEqual(stale);
    expect(driver.commit(alice, { epoch: 0, leaf: 1, adds: [bob] })).toEqual(notAllowed);
    expect(driver.readGroup(alice.user)).toMatchObject({ ok: false, code: "not_found" });
    expect(driver.storage.all("SELECT name FROM sqlite_master")).toEqual([]);
  });

  it("R6 of a group that is there is nobody else's to make, and one that is not there cannot be joined", () => {
    const driver = groupWith(bob);
    expect(driver.found(carol, bob)).toEqual(notFound);
    expect(driver.commit(carol, { epoch: 1, leaf: null })).toEqual(notFound);
    const empty = new ConversationDriver(groupId);
    expect(empty.commit(carol, { epoch: 1, leaf: null })).toEqual(notFound);
    expect(empty.commit(carol, { epoch: 0, leaf: null })).toEqual(notFound);
    expect(new ConversationDriver(chat).found(carol, bob)).toEqual(notFound);
  });

  it("R14 names nobody who does not exist", () => {
    for (const id of [chat, groupId]) {
      for (const gone of [alice, bob]) {
        const driver = new ConversationDriver(id);
        driver.unregistered.add(gone.user);
        expect(driver.found(alice, bob)).toEqual(notFound);
        expect(driver.storage.all("SELECT name FROM sqlite_master")).toEqual([]);
      }
    }
    const driver = groupWith(bob);
    driver.unregistered.add(carol.user);
    expect(driver.commit(alice, { epoch: 1, leaf: 0, adds: [carol, dave] })).toEqual(notFound);
    expect(driver.stored()).not.toContain(carol.user);
    expect(driver.commit(alice, { epoch: 1, leaf: 0, adds: [dave] })).toMatchObject({ ok: true, seq: 2 });
  });

  it("R14 waits for word about who exists, and fails with whoever is erased meanwhile", () => {
    const driver = new ConversationDriver(chat);
    driver.asked = [];
    const first = driver.begin(foundingCommit(chat, alice, [bob], driver.newId()));
    expect(driver.asked.toSorted()).toEqual([alice.user, bob.user]);
    driver.tell(alice.user, { ok: true });
    expect(driver.replyTo(first)).toBeUndefined();
    driver.erase(bob.user);
    expect(driver.replyTo(first)).toEqual(notFound);
    driver.tell(bob.user, { ok: true });
    expect(driver.stored()).toBe("[]");
    const unsure = driver.begin(foundingCommit(chat, alice, [bob], driver.newId()));
    driver.tell(alice.user, undefined);
    expect(driver.replyTo(unsure)).toMatchObject({ ok: false, code: "unavailable", retry: 1_000 });
    const second = driver.begin(foundingCommit(chat, alice, [bob], driver.newId()));
    for (const { user } of [bob, alice]) driver.tell(user, { ok: true });
    expect(driver.replyTo(second)).toMatchObject({ ok: true, seq: 1 });
  });
});

describe("R16 a commit that brings people in too often for one of them", () => {
  const tooOften = { ok: false, code: "rate_limited", retry: 60_000 } as const;

  it("is refused with the time to wait, and nothing of it stays", () => {
    const driver = groupWith(bob);
    const before = driver.stored();
    driver.asked = [];
    const files = { groupInfo: "info", tree: "tree" };
    const call = driver.begin(driver.made(alice, { epoch: 1, leaf: 0, adds: [carol, dave], ...files }));
    driver.tell(carol.user, { ok: true });
    driver.tell(dave.user, tooOften);
    expect(driver.replyTo(call)).toEqual(tooOften);
    expect(driver.deletedFiles).toEqual(["info", "tree"]);
    driver.tell(carol.user, { ok: true });
    expect(driver.stored()).toBe(before);
  });

  it("holds up no other one that waits for word about the same people", () => {
    const driver = groupWith(bob);
    driver.asked = [];
    const begin = () => driver.begin(driver.made(alice, { epoch: 1, leaf: 0, adds: [carol] }));
    const first = begin();
    const answer = driver.told(carol.user, tooOften);
    const second = begin();
    driver.do(answer);
    expect([first, second].map((call) => driver.replyTo(call))).toEqual([tooOften, undefined]);
    driver.tell(carol.user, { ok: true });
    expect(driver.replyTo(second)).toMatchObject({ ok: true, seq: 2 });
  });
});

describe("R16 a commit of which the gateway could make no tree, because the conversation was in another epoch", () => {
  it("is tried again if it is in that one by now, and told what it missed if not", () => {
    const driver = groupWith(bob);
    const { groupInfo: _, tree: __, ...late } = driver.made(bob, { epoch: 1, leaf: 1 });
    expect(driver.submit(late)).toMatchObject({ ok: false, code: "unavailable", retry: 1_000 });
    expect(driver.submit({ ...late, epoch: 2 })).toMatchObject({ ok: false, code: "epoch_stale", epoch: 1 });
    expect(driver.commit(bob, { epoch: 1, leaf: 1, id: late.id })).toMatchObject({ ok: true, seq: 2 });
    expect(driver.submit(late)).toMatchObject({ ok: true, seq: 2 });
  });
});

describe("R16 a commit", () => {
  it("begins the next epoch, and is brought to all members, to whoever made it too", () => {
    const driver = groupWith(bob, carol);
    expect(driver.commit(bob, { epoch: 1, leaf: 1 })).toMatchObject({ ok: true, seq: 2 });
    expect(driver.deliveries.map(({ user }) => user).toSorted()).toEqual([alice.user, bob.user, carol.user]);
    expect(driver.deliveries.every(({ seqs }) => seqs.join() === "2")).toBe(true);
    driver.deliveries = [];
    driver.append(bob, "hello", 2);
    expect(driver.deliveries.map(({ user }) => user).toSorted()).toEqual([alice.user, carol.user]);
  });

  it("of another epoch is refused with what was missed, page by page", () => {
    const driver = groupWith(bob);
    for (let number = 1; number <= 70; number++) driver.append(bob, `${number}`, 1);
    driver.commit(bob, { epoch: 1, leaf: 1 });
    for (const epoch of [0, 1, 3]) {
      const reply = driver.commit(alice, { epoch, leaf: 0, after: 60 });
      expect(reply).toMatchObject({ ok: false, code: "epoch_stale", epoch: 2, through: 72 });
      expect(!reply.ok && "entries" in reply && reply.entries.map(({ seq }) => seq)).toEqual(
        Array.from({ length: 12 }, (_, index) => 61 + index),
      );
    }
    expect(driver.commit(alice, { epoch: 1, leaf: 0 })).toMatchObject({ epoch: 2, through: 64 });
  });

  it("R3 that comes again gets the place it has, and other bytes under its id get none", () => {
    const driver = groupWith(bob);
    const given = driver.made(bob, { epoch: 1, leaf: 1, adds: [deviceOf("B", 2)] });
    const first = driver.submit(given);
    expect(first).toMatchObject({ ok: true, seq: 2 });
    driver.now += 1_000;
    expect(driver.submit(given)).toEqual(first);
    driver.evict();
    driver.commit(alice, { epoch: 2, leaf: 0 });
    expect(driver.submit({ ...given, epoch: 2 })).toEqual(first);
    expect(driver.submit({ ...given, body: commitBytes("another") })).toMatchObject({ ok: false, code: "id_conflict" });
    expect(driver.read(alice.user)).toMatchObject({ head: 3 });
    const group = driver.readGroup(bob.user);
    expect(group.ok && group.leaves).toEqual([alice, bob, deviceOf("B", 2)]);
  });

  it("R3 has no other place than a message of the same id", () => {
    const driver = groupWith(bob);
    const id = driver.newId();
    driver.append(bob, "hello", 1, id);
    expect(driver.commit(bob, { id, epoch: 1, leaf: 1 })).toMatchObject({ ok: false, code: "id_conflict" });
    expect(driver.commit(bob, { id: "7".padEnd(26, "Z"), epoch: 1, leaf: 1 })).toMatchObject({
      code: "id_from_future",
    });
  });

  it("keeps to whose changes it may make, against the group as it stands", () => {
    const driver = groupWith(bob, carol);
    expect(driver.commit(bob, { epoch: 1, leaf: 1, removes: [2] })).toEqual(notAllowed);
    expect(driver.commit(bob, { epoch: 1, leaf: 2 })).toEqual(notAllowed);
    expect(driver.commit(bob, { epoch: 1, leaf: 0 })).toEqual(notAllowed);
    driver.evict();
    expect(driver.commit(bob, { epoch: 1, leaf: 1, adds: [dave] })).toEqual(notAllowed);
    expect(driver.read(alice.user)).toMatchObject({ head: 1 });
    expect(driver.append(bob, "still epoch 1", 1)).toMatchObject({ ok: true });
  });

  it("of an admin adds and removes members, but not the owner", () => {
    const driver = groupWith(bob, carol);
    const [{ packed = "" } = {}] = driver.storage.all<{ packed: string }>(
      `SELECT state AS packed FROM log_1_${driver.now}`,
    );
    const state = unpack(packed);
    state.revision += 10;
    state.members.set(bob.user, { ...state.members.get(bob.user)!, role: "admin" });
    driver.storage.run("INSERT INTO state (id, packed) VALUES (1, ?)", pack(state));
    driver.evict();
    expect(driver.commit(bob, { epoch: 1, leaf: 1, removes: [0] })).toEqual(notAllowed);
    expect(driver.commit(bob, { epoch: 1, leaf: 1, removes: [2], adds: [dave] })).toMatchObject({ ok: true, seq: 2 });
    expect(driver.append(dave, "hello", 2)).toMatchObject({ ok: true });
  });

  it("costs the row of its entry, one for the group, and one for an epoch that others need to join", () => {
    const driver = groupWith(bob);
    driver.commit(alice, { epoch: 1, leaf: 0 });
    expect(driver.rows.map((row) => row.replace(/log_\w+/, "log"))).toEqual([
      "INSERT OR REPLACE INTO mls_group",
      "INSERT INTO log",
    ]);
    driver.commit(alice, { epoch: 2, leaf: 0, adds: [carol] });
    expect(driver.rows.map((row) => row.replace(/log_\w+/, "log"))).toEqual([
      "INSERT OR REPLACE INTO mls_group",
      "INSERT INTO mls_epoch",
      "INSERT INTO log",
    ]);
  });
});
