import { ulid } from "ulid";
import { describe, expect, it } from "vitest";
import { pack, unpack } from "../../durable-objects/conversation/packed-state.ts";
import { emptyState, endMembership, newMember } from "../../durable-objects/conversation/state.ts";
import { directConversation } from "../../shared/ids.ts";
import {
  ACKED_GRACE_MS,
  FAN_OUT_RETRY_MS,
  FILE_RETRY_MS,
  MAX_CARRIED_STATE_BYTES,
  MAX_FORMER_DEVICES,
  MAX_FORMER_MEMBERS,
  MAX_TIMES_AS_MEMBER,
  RETENTION_MS,
  SEGMENT_AGE_MS,
  UNCLAIMED_FILES_MS,
} from "../../shared/limits.ts";
import type { LeafOwner } from "../../shared/rpc.ts";
import { foundingCommit } from "../sealed.ts";
import { ConversationDriver } from "./conversation-driver.ts";
import { idOf } from "./core-driver.ts";

const deviceOf = (person: string, device = 1): LeafOwner => ({
  user: idOf(`0${person}`, 1),
  device: idOf(`1${person}`, device),
});
const alice = deviceOf("A");
const bob = deviceOf("B");
const carol = deviceOf("C");
const chat = directConversation(alice.user, bob.user);
const groupId = idOf("0G", 1);

function groupWith(...others: LeafOwner[]): ConversationDriver {
  const driver = new ConversationDriver(groupId);
  expect(driver.found(alice, ...others)).toMatchObject({ ok: true, seq: 1 });
  driver.deliveries = [];
  return driver;
}

/** Places that were delivered to somebody, each once. */
const deliveredTo = ({ deliveries }: ConversationDriver, { user }: LeafOwner) => [
  ...new Set(deliveries.filter((delivery) => delivery.user === user).flatMap(({ seqs }) => seqs)),
];

/** Alice's group with Bob; Carol comes in at 3 and goes at 5. */
function visited(): ConversationDriver {
  const driver = groupWith(bob);
  driver.append(alice, "before", 1);
  driver.commit(alice, { epoch: 1, leaf: 0, adds: [carol] });
  driver.append(bob, "hello Carol", 2);
  driver.commit(alice, { epoch: 2, leaf: 0, removes: [2] });
  driver.append(bob, "after", 3);
  return driver;
}

describe("R6 who joins later", () => {
  it("has what came since, from the commit that added them on", () => {
    const driver = groupWith(bob);
    driver.append(alice, "before", 1);
    driver.commit(alice, { epoch: 1, leaf: 0, adds: [carol] });
    driver.append(bob, "hello Carol", 2);
    expect(driver.texts(carol.user)).toEqual(["(commit)", "hello Carol"]);
    expect(driver.read(carol.user)).toMatchObject({ ok: true, through: 4, head: 4 });
    expect(deliveredTo(driver, carol)).toEqual([3, 4]);
    driver.evict();
    expect(driver.texts(carol.user)).toEqual(["(commit)", "hello Carol"]);
    expect(driver.texts(bob.user)).toEqual(["(commit)", "before", "(commit)", "hello Carol"]);
    const stale = driver.commit(carol, { epoch: 1, leaf: 2 });
    expect(!stale.ok && "entries" in stale && stale.entries.map(({ seq }) => seq)).toEqual([3, 4]);
  });

  it("has it in the first page, however much came before", () => {
    const driver = groupWith(bob);
    for (let number = 1; number <= 100; number++) driver.append(alice, `${number}`, 1);
    driver.commit(alice, { epoch: 1, leaf: 0, adds: [carol] });
    expect(driver.texts(carol.user)).toEqual(["(commit)"]);
    expect(driver.read(carol.user)).toMatchObject({ through: 102, head: 102 });
  });

  it("R5 holds back no receipt of what came before, and has a part in what comes after", () => {
    const driver = groupWith(bob);
    driver.append(alice, "before", 1);
    driver.commit(alice, { epoch: 1, leaf: 0, adds: [carol] });
    driver.receipts = [];
    driver.ack(bob.user, 2);
    expect(driver.receipts).toMatchObject([{ user: alice.user, delivered: 2 }]);
    driver.append(alice, "after", 2);
    driver.receipts = [];
    driver.ack(bob.user, 4);
    expect(driver.receipts).toEqual([]);
    driver.ack(carol.user, 4);
    expect(driver.receipts.filter(({ user }) => user === alice.user)).toMatchObject([{ delivered: 4 }]);
  });

  it("R10 keeps nothing in the log that they never could have had", () => {
    const driver = groupWith(bob);
    driver.append(alice, "before", 1);
    driver.now += SEGMENT_AGE_MS;
    driver.commit(alice, { epoch: 1, leaf: 0, adds: [carol] });
    for (const { user } of [alice, bob]) driver.ack(user, 3);
    driver.now += ACKED_GRACE_MS + 1;
    driver.alarm();
    driver.alarm();
    expect(driver.storage.all("SELECT name FROM sqlite_master WHERE name LIKE 'log%'")).toHaveLength(1);
    expect(driver.texts(bob.user)).toEqual(["(commit)"]);
  });

  it("R1 is told of a commit that nobody was told of because of a crash", () => {
    const driver = groupWith(bob);
    driver.append(alice, "before", 1);
    const args = driver.made(alice, { epoch: 1, leaf: 0, adds: [carol] });
    driver.asked = [];
    driver.begin(args);
    driver.crashAfter(driver.told(carol.user, { ok: true }));
    expect(deliveredTo(driver, carol)).toEqual([]);
    expect(driver.submit(args)).toMatchObject({ ok: true, seq: 3 });
    for (const person of [alice, bob, carol]) expect(deliveredTo(driver, person)).toEqual([3]);
    driver.append(bob, "hello", 2);
    expect(deliveredTo(driver, carol)).toEqual([3, 4]);
  });
});

describe("R6 who was removed", () => {
  it("gets the commit that did it, and nothing after it", () => {
    const driver = visited();
    expect(deliveredTo(driver, carol)).toEqual([3, 4, 5]);
    for (const evicted of [false, true]) {
      if (evicted) driver.evict();
      expect(driver.texts(carol.user)).toEqual(["(commit)", "hello Carol", "(commit)"]);
      expect(driver.read(carol.user)).toMatchObject({ ok: true, through: 5, head: 5, watermarks: [] });
      expect(driver.read(carol.user, 5)).toMatchObject({ ok: true, entries: [], through: 5 });
      expect(driver.append(carol, "still here?", 3)).toMatchObject({ ok: false, code: "not_found" });
      expect(driver.commit(carol, { epoch: 3, leaf: null })).toMatchObject({ ok: false, code: "not_found" });
      expect(driver.readGroup(carol.user)).toMatchObject({ ok: false, code: "not_found" });
      expect(driver.ack(carol.user, 5)).toMatchObject({ ok: true, head: 5 });
    }
    driver.append(alice, "more", 3);
    expect(deliveredTo(driver, carol)).toEqual([]);
  });

  it("R8 gets it though their object could not be reached, and the one that has it is not called again", () => {
    const driver = groupWith(bob, carol);
    driver.unreachable.add(carol.user);
    expect(driver.commit(alice, { epoch: 1, leaf: 0, removes: [2] })).toMatchObject({ ok: true, seq: 2 });
    expect(driver.storage.alarmAt()).not.toBeNull();
    driver.evict();
    driver.unreachable.clear();
    driver.alarm();
    expect(deliveredTo(driver, carol)).toEqual([2]);
    driver.deliveries = [];
    driver.alarm();
    driver.append(alice, "more", 2);
    expect(deliveredTo(driver, carol)).toEqual([]);
  });

  it("R8 gets it even if they were back before they could be reached", () => {
    const driver = groupWith(bob, carol);
    driver.unreachable.add(carol.user);
    driver.commit(alice, { epoch: 1, leaf: 0, removes: [2] });
    driver.commit(alice, { epoch: 2, leaf: 0, adds: [carol] });
    driver.evict();
    driver.unreachable.clear();
    driver.alarm();
    expect(deliveredTo(driver, carol)).toEqual([2, 3]);
  });

  it("R8 hears of being back at once, however much came in between", () => {
    const driver = groupWith(bob);
    driver.commit(alice, { epoch: 1, leaf: 0, removes: [1] });
    for (let number = 1; number <= 500; number++) driver.append(alice, `${number}`, 2);
    driver.deliveries = [];
    driver.commit(alice, { epoch: 2, leaf: 0, adds: [bob] });
    expect(deliveredTo(driver, bob)).toEqual([503]);
  });

  it("and is back often, is remembered with their last times; nor are more people remembered than fit", () => {
    const state = { ...emptyState(groupId), epoch: 1 };
    for (let seq = 1; seq <= 50_000; seq++) endMembership(state, bob.user, seq);
    expect(state.former.get(bob.user)?.map(({ left }) => left)).toEqual(
      Array.from({ length: MAX_TIMES_AS_MEMBER }, (_, index) => 50_001 - MAX_TIMES_AS_MEMBER + index),
    );
    const people = Array.from({ length: 2 * MAX_FORMER_MEMBERS }, (_, index) => idOf("0F", index));
    for (const [index, user] of [...people, people[0]!].entries()) endMembership(state, user, 60_000 + index);
    expect(state.former.size).toBe(MAX_FORMER_MEMBERS);
    expect([...state.former.keys()].at(-1)).toBe(people[0]);
    expect(state.former.has(bob.user)).toBe(false);
  });

  it("R5 hears no more of what becomes of their messages", () => {
    const driver = groupWith(bob, carol);
    driver.append(carol, "hello", 1);
    driver.commit(alice, { epoch: 1, leaf: 0, removes: [2] });
    driver.receipts = [];
    for (const { user } of [alice, bob]) driver.ack(user, 3);
    expect(driver.receipts.filter(({ user }) => user === carol.user)).toEqual([]);
  });

  it("is not called if all of their devices are marked already", () => {
    const driver = groupWith(bob, carol);
    driver.asleep.add(carol.user);
    driver.append(alice, "hello", 1);
    driver.deliveries = [];
    driver.commit(alice, { epoch: 1, leaf: 0, removes: [2] });
    expect(deliveredTo(driver, carol)).toEqual([]);
    expect(driver.texts(carol.user, 1)).toEqual(["hello", "(commit)"]);
  });

  it("R10 finds nothing any more when that has left the log", () => {
    const driver = visited();
    driver.now += SEGMENT_AGE_MS;
    driver.append(bob, "later", 3);
    for (const { user } of [alice, bob]) driver.ack(user, 7);
    driver.now += ACKED_GRACE_MS + 1;
    driver.alarm();
    driver.alarm();
    expect(driver.texts(carol.user)).toEqual(["(commit)", "hello Carol", "(commit)"]);
    driver.now += RETENTION_MS - SEGMENT_AGE_MS - ACKED_GRACE_MS;
    driver.alarm();
    expect(driver.read(carol.user)).toEqual({ ok: false, code: "not_found" });
    expect(driver.stored()).not.toContain(carol.user);
  });

  it("and is back has both times, and not what came in between", () => {
    const driver = visited();
    driver.deliveries = [];
    driver.commit(alice, { epoch: 3, leaf: 0, adds: [carol] });
    driver.append(bob, "welcome back", 4);
    expect(deliveredTo(driver, carol)).toEqual([7, 8]);
    for (const evicted of [false, true]) {
      if (evicted) driver.evict();
      expect(driver.texts(carol.user)).toEqual(["(commit)", "hello Carol", "(commit)", "(commit)", "welcome back"]);
      expect(driver.texts(carol.user, 5)).toEqual(["(commit)", "welcome back"]);
      expect(driver.read(carol.user, 5)).toMatchObject({ through: 8, head: 8 });
    }
    expect(driver.append(carol, "glad to be back", 4)).toMatchObject({ ok: true });
  });

  it("can join without help if a device of theirs is left in the group", () => {
    const driver = groupWith(carol, deviceOf("C", 2));
    driver.commit(alice, { epoch: 1, leaf: 0, removes: [1] });
    expect(driver.commit(carol, { epoch: 2, leaf: null })).toMatchObject({ ok: true, seq: 3 });
    const group = driver.readGroup(carol.user);
    expect(group.ok && group.leaves).toEqual([alice, carol, deviceOf("C", 2)]);
  });
});

describe("R12 who has blocked the other one", () => {
  it("gets the other one's commits all the same, and none of their messages", () => {
    const driver = new ConversationDriver(chat);
    driver.found(alice, bob);
    driver.block(bob.user, true, 1);
    driver.deliveries = [];
    driver.append(alice, "unwanted", 1);
    driver.commit(alice, { epoch: 1, leaf: 0, adds: [deviceOf("A", 2)] });
    driver.append(alice, "unwanted", 2);
    expect(deliveredTo(driver, bob)).toEqual([3]);
    expect(driver.texts(bob.user)).toEqual(["(commit)", "(commit)"]);
    expect(driver.read(bob.user)).toMatchObject({ through: 4, head: 4 });
    driver.block(bob.user, false, 2);
    driver.evict();
    driver.append(alice, "wanted", 2);
    expect(driver.texts(bob.user)).toEqual(["(commit)", "(commit)", "wanted"]);
  });

  it("commits nothing there", () => {
    const driver = new ConversationDriver(chat);
    driver.found(alice, bob);
    driver.block(bob.user, true, 1);
    expect(driver.commit(bob, { epoch: 1, leaf: 1 })).toMatchObject({ ok: false, code: "blocked" });
    driver.block(bob.user, false, 2);
    expect(driver.commit(bob, { epoch: 1, leaf: 1 })).toMatchObject({ ok: true });
  });
});

describe("R14 who is erased from a group", () => {
  it("leaves a leaf that is nobody's, which anybody may remove, and no way in until there is a new one", () => {
    const driver = groupWith(bob, carol, deviceOf("C", 2));
    driver.append(carol, "mine", 1);
    expect(driver.erase(carol.user, carol.device)).toEqual({ found: true });
    expect(driver.readGroup(bob.user)).toMatchObject({ ok: true, leaves: [alice, bob, null, null] });
    expect(driver.readEpoch(bob.user, 1)).toEqual({ ok: false, code: "not_found" });
    driver.evict();
    expect(driver.texts(bob.user)).toEqual(["(commit)"]);
    expect(driver.append(bob, "onwards", 1)).toMatchObject({ ok: true, seq: 3 });
    expect(driver.commit(bob, { epoch: 1, leaf: 1 })).toMatchObject({ ok: true });
    const between = driver.readGroup(bob.user);
    expect(between.ok && between.leaves).toEqual([alice, bob, null, null]);
    expect(driver.commit(alice, { epoch: 2, leaf: 0, adds: [deviceOf("D")] })).toMatchObject({ ok: true });
    expect(driver.commit(bob, { epoch: 3, leaf: 1, removes: [2, 3] })).toMatchObject({ ok: true });
    const group = driver.readGroup(bob.user);
    expect(group.ok && group.leaves).toEqual([alice, bob, null, null, deviceOf("D")]);
  });

  it("is named by nothing but commits and the tree, by that until there is another one, by those while the log lasts", () => {
    const driver = visited();
    driver.commit(alice, { epoch: 3, leaf: 0, adds: [carol] });
    driver.commit(carol, { epoch: 4, leaf: 2, tree: `of ${carol.user}` });
    driver.append(carol, "mine", 5);
    driver.deletedFiles.length = 0;
    driver.erase(carol.user, carol.device);
    expect(driver.deletedFiles).toEqual([]);
    driver.commit(bob, { epoch: 5, leaf: 1, removes: [2] });
    expect(driver.deletedFiles).toEqual([`of ${carol.user}`]);
    const rows = driver.storage.all<{ user: string; body: Uint8Array }>(
      `SELECT user, body FROM log_1_${Date.parse("2026-11-20T10:00:00Z")} WHERE user = ?`,
      carol.user,
    );
    expect(rows).toHaveLength(1);
    driver.storage.run(
      `UPDATE log_1_${Date.parse("2026-11-20T10:00:00Z")} SET user = '', device = '', body = x'00010001'`,
    );
    expect(driver.stored()).not.toContain(carol.user);
    expect(driver.stored()).not.toContain(carol.device);
    expect(driver.read(carol.user)).toEqual({ ok: false, code: "not_found" });
    driver.now += RETENTION_MS + 1;
    driver.alarm();
    expect(driver.storage.all("SELECT name FROM sqlite_master WHERE name LIKE 'log%'")).toEqual([]);
  });

  it("before they could hear of it leaves nothing either, though nobody says so but their own object", () => {
    const driver = groupWith(bob);
    driver.asked = [];
    const dave = deviceOf("D");
    const args = driver.made(alice, { epoch: 1, leaf: 0, adds: [carol, dave] });
    const call = driver.begin({ ...args, tree: `of ${carol.user}` });
    driver.tell(carol.user, { ok: true });
    driver.gone.add(carol.user);
    driver.tell(dave.user, { ok: true });
    expect(driver.replyTo(call)).toMatchObject({ ok: true, seq: 2 });
    expect(driver.read(carol.user)).toEqual({ ok: false, code: "not_found" });
    expect(driver.commit(bob, { epoch: 2, leaf: 1, removes: [2] })).toMatchObject({ ok: true });
    expect(driver.stored()).not.toContain(carol.user);
    expect(driver.deletedFiles).toEqual([`of ${carol.user}`]);
    expect(driver.append(dave, "hello", 3)).toMatchObject({ ok: true });
  });

  it("takes a 1:1 conversation that they never heard of along, once the other one has forgotten it, whatever crashes", () => {
    const driver = new ConversationDriver(chat);
    driver.asked = [];
    const args = foundingCommit(chat, alice, [bob], driver.newId());
    const call = driver.begin({ ...args, tree: "tree" });
    driver.gone.add(bob.user);
    driver.unreachable.add(alice.user);
    for (const { user } of [alice, bob]) driver.tell(user, { ok: true });
    driver.do({ type: "timer", name: "hold" });
    expect(driver.replyTo(call)).toMatchObject({ ok: true, seq: 1 });
    const pass = () => {
      driver.now += FAN_OUT_RETRY_MS;
      driver.alarm();
    };
    pass();
    expect([driver.isWiped, driver.forgotten.map(({ user }) => user)]).toEqual([false, [bob.user, bob.user]]);
    expect(driver.read(alice.user)).toMatchObject({ code: "not_found" });
    driver.evict();
    driver.unreachable.clear();
    pass();
    expect(driver.forgotten).toContainEqual({ user: alice.user, peer: bob.user });
    expect(driver.isWiped).toBe(true);
    expect(driver.stored()).toBe("[]");
  });

  it("is an orphan in what whoever joins is told", () => {
    const driver = groupWith(bob, carol, deviceOf("C", 2));
    expect(driver.readGroup(bob.user)).toMatchObject({ ok: true, orphans: [] });
    driver.erase(carol.user, carol.device);
    expect(driver.readGroup(bob.user)).toMatchObject({ ok: true, epoch: 1, orphans: [2, 3] });
    driver.commit(bob, { epoch: 1, leaf: 1 });
    driver.evict();
    expect(driver.readGroup(bob.user)).toMatchObject({ ok: true, orphans: [2, 3] });
    driver.commit(bob, { epoch: 2, leaf: 1, removes: [2, 3] });
    expect(driver.readGroup(bob.user)).toMatchObject({ ok: true, orphans: [] });
  });

  it("is said to whoever sends, until a commit takes their leaves out", () => {
    const driver = groupWith(bob, carol);
    const tellsOf = (epoch: number) => driver.appendReply(bob, "hello", epoch).hasOrphans ?? false;
    expect(tellsOf(1)).toBe(false);
    driver.erase(carol.user, carol.device);
    expect(tellsOf(1)).toBe(true);
    driver.commit(bob, { epoch: 1, leaf: 1 });
    driver.evict();
    expect(tellsOf(2)).toBe(true);
    driver.commit(bob, { epoch: 2, leaf: 1, removes: [2] });
    expect(tellsOf(3)).toBe(false);
  });

  it("hands the group on if it was theirs: to the oldest admin, else to the oldest member", () => {
    const driver = groupWith(bob);
    driver.commit(alice, { epoch: 1, leaf: 0, adds: [carol] });
    driver.erase(alice.user, alice.device);
    driver.evict();
    expect(driver.commit(carol, { epoch: 2, leaf: 2, adds: [deviceOf("D")] })).toMatchObject({ code: "not_allowed" });
    expect(driver.commit(bob, { epoch: 2, leaf: 1, removes: [0, 2] })).toMatchObject({ ok: true });
    expect(driver.append(carol, "hello", 3)).toMatchObject({ code: "not_found" });
  });

  it("takes the whole of it along if nobody else is left", () => {
    const driver = groupWith(bob);
    expect(driver.erase(bob.user)).toEqual({ found: true });
    expect(driver.isWiped).toBe(false);
    expect(driver.erase(alice.user)).toEqual({ found: true });
    expect(driver.isWiped).toBe(true);
    expect(driver.stored()).toBe("[]");
  });

  it("after they were removed leaves nothing either, and takes nothing of those who are there", () => {
    const driver = visited();
    driver.erase(carol.user, carol.device);
    expect(driver.read(carol.user)).toEqual({ ok: false, code: "not_found" });
    expect(driver.readGroup(bob.user)).toMatchObject({ ok: true, epoch: 3 });
    driver.evict();
    expect(driver.append(bob, "hello", 3)).toMatchObject({ ok: true });
  });

  it("a second time, or without having been in it, changes nothing, whatever crashes", () => {
    const driver = groupWith(bob, carol);
    driver.erase(carol.user);
    driver.commit(alice, { epoch: 1, leaf: 0 });
    for (const { user } of [carol, deviceOf("D")]) expect(driver.erase(user)).toEqual({ found: false });
    driver.evict();
    expect(driver.append(bob, "hello", 2)).toMatchObject({ ok: true, seq: 3 });
  });
});

describe("what is too large for the object", () => {
  const files = (number: number) => ({ groupInfo: `info ${number}`, tree: `tree ${number}` });
  const large = (number: number) => ({ ...files(number), welcome: `welcome ${number}`, commit: `commit ${number}` });

  it("is deleted when nothing needs it any more", () => {
    const driver = groupWith(bob);
    driver.commit(alice, { epoch: 1, leaf: 0, adds: [carol], ...large(1) });
    expect(driver.readEpoch(carol.user, 2)).toEqual({
      ok: true,
      commit: "commit 1",
      welcome: "welcome 1",
      tree: "tree 1",
    });
    driver.commit(alice, { epoch: 2, leaf: 0, ...files(2) });
    expect(driver.deletedFiles.splice(0)).toEqual(["info 1"]);
    driver.commit(alice, { epoch: 3, leaf: 0, ...files(3) });
    expect(driver.deletedFiles.splice(0)).toEqual(["info 2", "tree 2"]);
    driver.now += RETENTION_MS + 1;
    driver.alarm();
    expect(driver.deletedFiles.splice(0)).toEqual(["commit 1", "welcome 1", "tree 1"]);
    expect(driver.readEpoch(carol.user, 2)).toEqual({ ok: false, code: "not_found" });
    expect(driver.readGroup(carol.user)).toMatchObject({ ok: true, ...files(3) });
  });

  it("stays as long as it is how to join, though the log does not reach back there", () => {
    const driver = groupWith(bob);
    driver.commit(alice, { epoch: 1, leaf: 0, adds: [carol], ...large(1) });
    driver.now += RETENTION_MS + 1;
    driver.alarm();
    expect(driver.deletedFiles.splice(0)).toEqual(["commit 1", "welcome 1"]);
    expect(driver.readGroup(bob.user)).toMatchObject({ ok: true, ...files(1) });
    driver.commit(alice, { epoch: 2, leaf: 0 });
    expect(driver.deletedFiles).toEqual(["info 1", "tree 1"]);
  });

  it("is deleted at once if the commit is not taken, or came before", () => {
    const driver = groupWith(bob);
    const id = driver.newId();
    driver.commit(alice, { id, epoch: 1, leaf: 0, ...files(1) });
    driver.commit(alice, { id, epoch: 1, leaf: 0, ...files(2) });
    expect(driver.deletedFiles.splice(0)).toEqual(["info 2", "tree 2"]);
    driver.commit(alice, { epoch: 1, leaf: 0, ...files(3) });
    driver.commit(alice, { epoch: 2, leaf: 1, ...files(4) });
    driver.commit(carol, { epoch: 2, leaf: null, ...files(5) });
    driver.unregistered.add(carol.user);
    driver.commit(alice, { epoch: 2, leaf: 0, adds: [carol], ...large(6) });
    expect(driver.deletedFiles).toEqual([
      ...["info 3", "tree 3", "info 4", "tree 4", "info 5", "tree 5"],
      ...["commit 6", "info 6", "tree 6", "welcome 6"],
    ]);
    expect(driver.readGroup(bob.user)).toMatchObject({ ok: true, ...files(1) });
  });

  it("is deleted by alarm where that has failed, or nobody was there any more to do it; more and more seldom", () => {
    const driver = groupWith(bob);
    driver.isFileStoreDown = true;
    driver.commit(alice, { epoch: 1, leaf: 0, ...files(1) });
    driver.crashAfter({
      ...{ type: "submitCommit", call: 99 },
      args: driver.made(alice, { epoch: 2, leaf: 0, ...files(2) }),
    });
    driver.commit(carol, { epoch: 3, leaf: null, ...files(3) });
    const pauses: number[] = [];
    for (const isFileStoreDown of [true, true, true, true, false]) {
      const at = driver.storage.alarmAt() ?? Number.NaN;
      pauses.push(at - driver.now);
      Object.assign(driver, { now: at, isFileStoreDown });
      driver.alarm();
    }
    expect(pauses).toEqual(pauses.toSorted((a, b) => a - b));
    expect(pauses.at(-1)).toBeGreaterThan(FILE_RETRY_MS);
    expect(driver.deletedFiles.toSorted()).toEqual(["info 1", "info 3", "tree 1", "tree 3"]);
    driver.alarm();
    expect(driver.deletedFiles).toHaveLength(4);
    expect(driver.stored()).not.toContain("info 3");
    expect(driver.readGroup(bob.user)).toMatchObject({ ok: true, ...files(2) });
  });

  it("is deleted after a while if it is never handed in, of a group that never was too", () => {
    const late = (driver: ConversationDriver) => {
      driver.now += UNCLAIMED_FILES_MS;
      driver.alarm();
      return driver.deletedFiles.splice(0).toSorted();
    };
    const driver = groupWith(bob);
    driver.expectFiles("info 1", "tree 1");
    driver.expectFiles("info 2", "tree 2");
    driver.expectFiles("info 3", "tree 3");
    driver.commit(alice, { epoch: 1, leaf: 0, ...files(1) });
    driver.commit(carol, { epoch: 2, leaf: null, ...files(3) });
    expect(driver.deletedFiles.splice(0)).toEqual(["info 3", "tree 3"]);
    driver.evict();
    expect(late(driver)).toEqual(["info 2", "tree 2"]);
    expect(late(driver)).toEqual([]);
    const never = new ConversationDriver(groupId);
    never.expectFiles("info 1");
    never.evict();
    expect(never.commit(alice, { epoch: 1, leaf: 0, ...files(2) })).toMatchObject({ ok: false });
    expect(never.deletedFiles.splice(0)).toEqual(["info 2", "tree 2"]);
    expect(late(never)).toEqual(["info 1"]);
    expect(never.storage.all("SELECT name FROM sqlite_master")).toEqual([]);
  });

  it("R14 goes with somebody whom it names, but for commits and what the group goes on from", () => {
    const driver = groupWith(bob);
    driver.commit(alice, { epoch: 1, leaf: 0, adds: [carol], ...large(1) });
    driver.commit(alice, { epoch: 2, leaf: 0, ...files(2) });
    driver.deletedFiles.length = 0;
    driver.erase(carol.user);
    expect(driver.deletedFiles.toSorted()).toEqual(["tree 1", "welcome 1"]);
    expect(driver.readEpoch(bob.user, 2)).toEqual({ ok: true, commit: "commit 1" });
  });

  it("R6 is for members of that time", () => {
    const driver = visited();
    const found = (person: LeafOwner) => [1, 3].map((seq) => driver.readEpoch(person.user, seq).ok);
    expect(found(bob)).toEqual([true, true]);
    expect(found(carol)).toEqual([false, true]);
    expect(found(deviceOf("D"))).toEqual([false, false]);
    expect(driver.readEpoch(bob.user, 5)).toEqual({ ok: false, code: "not_found" });
  });
});

describe("the state", () => {
  it("is what it was, packed and unpacked", () => {
    const state = { ...emptyState(groupId), revision: 3, head: 9, owedAbove: 4, epoch: 7 };
    const forgetful = { ...state, forgottenUntil: 5 };
    expect(unpack(pack(forgetful))).toEqual(forgetful);
    const orphaned = { ...state, hasOrphans: true };
    expect(unpack(pack(orphaned))).toEqual(orphaned);
    state.members.set(alice.user, newMember(0, "owner"));
    state.members.set(bob.user, { ...newMember(5, "member"), dormant: true, hidden: [[2, null]], blockVersion: 1 });
    state.members.set(carol.user, newMember(3, "admin"));
    state.newest.set(alice.device, { id: idOf("00", 1), seq: 9 });
    endMembership(state, carol.user, 8);
    expect(unpack(pack(state))).toEqual(state);
    expect(unpack(pack(emptyState(chat)))).toEqual(emptyState(chat));
  });

  it("R3 remembers only so many devices that have left group and log, and takes nothing of the others twice", () => {
    const driver = groupWith(bob, carol);
    const sent = (by: LeafOwner, epoch: number, at: number) => driver.append(by, "hello", epoch, ulid(at));
    const first = driver.now;
    const hers = sent(carol, 1, first + 10);
    sent(bob, 1, first);
    const others = Array.from({ length: MAX_FORMER_DEVICES }, (_, n) => ({ ...carol, device: idOf("1X", n) }));
    for (const other of others) sent(other, 1, first + 8);
    driver.commit(alice, { epoch: 1, leaf: 0, removes: [2] });
    driver.now += RETENTION_MS + 1;
    driver.alarm();
    expect(driver.stored()).not.toContain(carol.device);
    for (const { device } of [bob, ...others]) expect(driver.stored()).toContain(device);
    driver.evict();
    expect(sent(others[0]!, 1, first + 7)).toMatchObject({ ok: false, code: "id_expired" });
    driver.commit(alice, { epoch: 2, leaf: 0, adds: [carol] });
    expect(driver.append(carol, "hello", 1, hers.id)).toMatchObject({ ok: false, code: "id_expired" });
    expect(sent(carol, 1, first + 9)).toMatchObject({ ok: false, code: "id_expired" });
    expect(sent(bob, 3, first + 5)).toMatchObject({ ok: true });
    expect(sent(carol, 3, first + 11)).toMatchObject({ ok: true });
  });

  it("R3 takes what is sealed in an epoch that began in the log, however old its id is: it cannot have been there before", () => {
    const driver = groupWith(bob);
    const first = driver.now;
    driver.append(bob, "later", 1, ulid(first + 10));
    driver.append(alice, "hello", 1);
    driver.now += RETENTION_MS + 1;
    driver.alarm();
    const again = (epoch: number) => driver.append(bob, "earlier", epoch, ulid(first + 5));
    expect(again(1)).toMatchObject({ ok: false, code: "id_expired" });
    driver.commit(alice, { epoch: 1, leaf: 0 });
    expect(again(1)).toMatchObject({ ok: false, code: "id_expired" });
    const placed = again(2);
    expect(placed).toMatchObject({ ok: true, seq: 5 });
    expect(again(2)).toMatchObject({ ok: true });
  });

  it("can be read as it was packed before there were groups of devices", () => {
    const packed = `[3,9,null,[["${alice.user}",9,8,7,0],["${bob.user}",1,1,1,1,[[2,4]],2]],[["${alice.device}","X",9]]]`;
    const state = unpack(packed);
    expect(state).toMatchObject({ revision: 3, head: 9, owedAbove: null, epoch: null, former: new Map() });
    expect([...state.members.values()]).toEqual([
      { ...newMember(0, "member"), delivered: 9, read: 8, kept: 7 },
      { ...newMember(0, "member"), delivered: 1, read: 1, kept: 1, dormant: true, hidden: [[2, 4]], blockVersion: 2 },
    ]);
    expect(pack(state)).toBe(packed);
  });

  it("R16 is written with every commit however large it is, and kept once: after a crash the group is where it was", () => {
    const driver = new ConversationDriver(groupId);
    const others = Array.from({ length: 60 }, (_, n) => deviceOf("F", n)).map((leaf, n) => ({
      ...leaf,
      user: idOf("0F", n),
    }));
    driver.submit(foundingCommit(groupId, alice, others, driver.newId()));
    driver.commit(alice, { epoch: 1, leaf: 0, removes: [1], adds: [bob] });
    expect(driver.storage.all(`SELECT 1 FROM log_1_${driver.now} WHERE state IS NOT NULL`)).toEqual([]);
    const [row] = driver.storage.all<{ size: number }>("SELECT length(packed) AS size FROM state");
    expect(row?.size).toBeGreaterThan(MAX_CARRIED_STATE_BYTES);
    driver.append(alice, "hello", 2);
    driver.evict();
    expect(driver.append(bob, "hello", 2)).toMatchObject({ ok: true, seq: 4 });
    expect(driver.append(others[0]!, "hello", 2)).toMatchObject({ ok: false, code: "not_found" });
    expect(driver.texts(bob.user)).toEqual(["(commit)", "hello", "hello"]);
    expect(driver.texts(others[0]!.user)).toEqual(["(commit)", "(commit)"]);
  });
});
