import { describe, expect, test } from "vitest";
import { defaultRetry } from "../../shared/errors.ts";
import { directConversation, messageTime } from "../../shared/ids.ts";
import {
  CONNECT_TIMEOUT_MS,
  GAP_WAIT_MS,
  MAX_BODY_BYTES,
  MAX_CONTENT_BYTES,
  MAX_CURSORS_PER_FRAME,
  MAX_HELD_MESSAGES,
  MAX_IN_FLIGHT_SENDS,
  MAX_OUTBOX_MESSAGES,
  PING_INTERVAL_MS,
  RECONNECT_MAX_MS,
  RECONNECT_MIN_MS,
  RECONNECT_STABLE_MS,
  TYPING_INTERVAL_MS,
  TYPING_SHOWN_MS,
} from "../../shared/limits.ts";
import type { Phase, StoredConversation } from "./contract.ts";
import {
  bodyOf,
  chat,
  emptyStore,
  idOf,
  me,
  myDevice,
  peer,
  sealAs,
  seededRandom,
  TestDriver,
  unseal,
} from "./test-driver.ts";

const other = directConversation(peer, myDevice);
const row = (part: Partial<StoredConversation> = {}): StoredConversation => ({
  ...{ conversation: chat, have: 0, read: 0, readConfirmed: 0, peers: [], ahead: [] },
  ...part,
});
const withRows = (...conversations: StoredConversation[]) =>
  new TestDriver({ stored: { ...emptyStore, conversations } });
const seqsTold = (driver: TestDriver) => driver.emitted("message").map(({ seq }) => seq);
const acks = (driver: TestDriver) => driver.transmitted("ack").map(({ seq }) => seq);

describe("connecting", () => {
  test("goes from ticket to socket to hello to live", () => {
    const driver = new TestDriver();
    const phases: Phase[] = [];
    const note = () => phases.push(driver.state.phase);
    expect(driver.do({ type: "connect" })).toContainEqual({ type: "obtainTicket", connection: 1 });
    note();
    const opened = driver.do({ type: "ticket_obtained", connection: 1, ticket: "t" });
    expect(opened).toEqual([{ type: "openSocket", connection: 1, ticket: "t" }]);
    driver.do({ type: "socket_opened", connection: 1 });
    expect(driver.transmitted("hello")).toEqual([{ type: "hello", client: "test 1" }]);
    note();
    driver.welcome();
    note();
    driver.receive({ type: "drained", request: 0 });
    note();
    expect(phases).toEqual(["connecting", "greeting", "catching_up", "live"]);
    expect(driver.emitted("state").map(({ state }) => state)).toEqual(phases);
    expect(driver.emitted("caught_up")).toHaveLength(1);
  });

  test("what an earlier connection still has to say is ignored", () => {
    const driver = new TestDriver().goLive();
    driver.do({ type: "disconnect" });
    driver.do({ type: "connect" });
    expect(driver.do({ type: "ticket_obtained", connection: 1, ticket: "old" })).toEqual([]);
    expect(driver.do({ type: "socket_closed", connection: 1, code: 1006 })).toEqual([]);
    expect(driver.state.phase).toBe("connecting");
  });

  test("disconnecting closes the socket and stays offline", () => {
    const driver = new TestDriver().goLive();
    driver.message(2);
    driver.do({ type: "disconnect" });
    expect(driver.effects).toContainEqual({ type: "closeSocket", connection: 1 });
    const left = (["connect", "reconnect", "stable", "ping", "gap"] as const).map((name) => driver.timerMs(name));
    expect(left.every((ms) => ms === undefined)).toBe(true);
    driver.pass(10 * RECONNECT_MAX_MS);
    expect(driver.state.phase).toBe("offline");
  });

  test("an opening or a greeting that hangs is given up", () => {
    for (const open of [(driver: TestDriver) => driver.do({ type: "connect" }), (d: TestDriver) => d.openSocket()]) {
      const driver = new TestDriver();
      open(driver);
      driver.pass(CONNECT_TIMEOUT_MS);
      expect(driver.state.phase).toBe("backing_off");
    }
  });

  test("a welcome for another account closes for good", () => {
    const driver = new TestDriver();
    driver.openSocket();
    driver.receive({ type: "welcome", user: peer, device: myDevice, epoch: 1, time: 1, compare: false });
    expect(driver.emitted("state").at(-1)).toEqual({ type: "state", state: "closed", code: "wrong_account" });
  });

  test.each(["replaced", "revoked", "signed_out"] as const)("%s closes for good, by bye and by close code", (code) => {
    const byBye = new TestDriver().goLive();
    byBye.receive({ type: "bye", code, retry: "never" });
    const byCode = new TestDriver().goLive();
    byCode.loseSocket({ replaced: 4002, revoked: 4001, signed_out: 4003 }[code]);
    for (const driver of [byBye, byCode]) {
      expect(driver.emitted("state")).toEqual([{ type: "state", state: "closed", code }]);
      driver.do({ type: "connect" });
      driver.pass(10 * RECONNECT_MAX_MS);
      expect(driver.state.phase).toBe("closed");
      driver.forget();
      driver.send(7);
      expect(driver.emitted("refused")).toEqual([{ type: "refused", ref: 7, code: "closed" }]);
    }
  });

  test("a ticket that is refused for good closes; one that fails for now is asked for again", () => {
    const driver = new TestDriver();
    driver.do({ type: "connect" });
    driver.do({ type: "ticket_failed", connection: 1, code: "unavailable", retry: 4_000 });
    expect(driver.state.phase).toBe("backing_off");
    expect(driver.timerMs("reconnect")).toBeGreaterThanOrEqual(4_000);
    driver.pass(driver.timerMs("reconnect") ?? 0);
    driver.do({ type: "ticket_failed", connection: 2, code: "unauthenticated", retry: "never" });
    expect(driver.state.phase).toBe("closed");
  });

  test("the back-off doubles with full jitter up to its maximum", () => {
    const driver = new TestDriver({ random: () => 0.999_999 });
    const waits = Array.from({ length: 9 }, () => {
      driver.openSocket();
      driver.loseSocket();
      return Math.ceil((driver.timerMs("reconnect") ?? 0) / RECONNECT_MIN_MS);
    });
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60]);
    const calm = new TestDriver({ random: () => 0 });
    calm.openSocket();
    calm.loseSocket();
    expect(calm.timerMs("reconnect")).toBe(0);
  });

  test("only a connection that has lasted starts the back-off over", () => {
    const driver = new TestDriver({ random: () => 0.999 });
    for (const lastsMs of [0, RECONNECT_STABLE_MS - 1, RECONNECT_STABLE_MS]) {
      driver.goLive();
      driver.pass(lastsMs);
      driver.loseSocket();
    }
    expect(driver.state.attempts).toBe(1);
  });

  test.each([
    ["bye", (driver: TestDriver) => driver.receive({ type: "bye", code: "restarting", retry: 9_000 }), 9_000],
    ["flooding", (driver: TestDriver) => driver.loseSocket(1008), defaultRetry.flooding as number],
  ])("the wait that %s asks for is the least", (_, end, atLeastMs) => {
    const driver = new TestDriver().goLive();
    end(driver);
    expect(driver.state.phase).toBe("backing_off");
    expect(driver.timerMs("reconnect")).toBeGreaterThanOrEqual(atLeastMs);
  });

  test("connecting while backing off does not wait", () => {
    const driver = new TestDriver().goLive();
    driver.loseSocket();
    driver.do({ type: "connect" });
    expect(driver.state.phase).toBe("connecting");
    expect(driver.timerMs("reconnect")).toBeUndefined();
  });

  test("pings, and takes a socket that is silent for two intervals for dead", () => {
    const driver = new TestDriver().goLive();
    driver.pass(PING_INTERVAL_MS);
    driver.do({ type: "pong", connection: 1 });
    driver.pass(2 * PING_INTERVAL_MS - 1);
    expect(driver.wanted.filter((type) => type === "ping")).toHaveLength(2);
    expect(driver.state.phase).toBe("live");
    driver.pass(1);
    expect(driver.state.phase).toBe("backing_off");
    expect(driver.effects).toContainEqual({ type: "closeSocket", connection: 1 });
  });

  test("bodies that do not fit their page end the connection, and nothing of it is applied", () => {
    const driver = new TestDriver().goLive();
    const entry = { seq: 1, id: idOf(1), user: peer, device: peer, at: 1, length: 9 };
    driver.receive({ type: "entries", conversation: chat, after: 0, through: 1, entries: [entry] }, bodyOf(1));
    expect(driver.state.phase).toBe("backing_off");
    expect(driver.persisted).toEqual([]);
  });
});

describe("comparing", () => {
  test("sends every cursor in chunks, and is live once that request is drained", () => {
    const count = MAX_CURSORS_PER_FRAME + 3;
    const conversations = Array.from({ length: count }, (_, n) => row({ conversation: idOf(n), have: n + 1 }));
    const driver = withRows(...conversations);
    driver.openSocket();
    driver.welcome({ compare: true });
    const frames = driver.transmitted("sync");
    expect(frames.map(({ cursors, more }) => [cursors.length, more])).toEqual([
      [MAX_CURSORS_PER_FRAME, true],
      [3, false],
    ]);
    expect(frames.every(({ scope, request }) => scope === "all" && request === 1)).toBe(true);
    const cursors = new Map(frames.flatMap((frame) => frame.cursors.map(([id, have]) => [id, have])));
    expect(cursors).toEqual(new Map(conversations.map(({ conversation, have }) => [conversation, have])));
    driver.receive({ type: "drained", request: 0 });
    expect(driver.state.phase).toBe("comparing");
    driver.receive({ type: "drained", request: 1 });
    expect(driver.state.phase).toBe("live");
  });

  test("a device that has nothing says so", () => {
    const driver = new TestDriver();
    driver.openSocket();
    driver.welcome({ compare: true });
    expect(driver.transmitted("sync")).toEqual([{ type: "sync", request: 1, cursors: [], scope: "all", more: false }]);
  });

  test("names what is persisted, not what is being written", () => {
    const driver = new TestDriver({ storeIsFast: false });
    driver.openSocket();
    driver.message(1);
    driver.welcome({ compare: true });
    expect(driver.transmitted("sync")[0]?.cursors).toEqual([]);
  });

  test("leaves out conversations of which it has nothing: the server may not know of them yet", () => {
    const driver = withRows(row({ conversation: chat, have: 0 }), row({ conversation: other, have: 2 }));
    driver.openSocket();
    driver.welcome({ compare: true });
    expect(driver.transmitted("sync")[0]?.cursors).toEqual([[other, 2, 0]]);
  });

  test("a comparison that is refused is tried on another connection", () => {
    const driver = new TestDriver();
    driver.openSocket();
    driver.welcome({ compare: true });
    driver.receive({ type: "error", code: "busy", retry: 250, request: 1 });
    expect(driver.state.phase).toBe("backing_off");
  });
});

describe("inbox", () => {
  test("the next message is persisted with its cursor first, then told and acknowledged", () => {
    const driver = new TestDriver({ storeIsFast: false }).goLive();
    driver.message(1);
    expect(driver.wanted).toEqual(["persist"]);
    expect(driver.persisted.map(({ type }) => type)).toEqual(["message", "cursor"]);
    driver.finishWrite();
    expect(seqsTold(driver)).toEqual([1]);
    expect(driver.transmitted("ack")).toEqual([{ type: "ack", conversation: chat, seq: 1 }]);
  });

  test("what arrives during a write goes together in the next, with one ack", () => {
    const driver = new TestDriver({ storeIsFast: false }).goLive();
    for (const seq of [1, 2, 3, 4]) driver.message(seq);
    driver.finishWrite();
    driver.finishWrite();
    expect(driver.wanted.filter((type) => type === "persist")).toHaveLength(2);
    expect(acks(driver)).toEqual([1, 4]);
    expect(seqsTold(driver)).toEqual([1, 2, 3, 4]);
  });

  test("a duplicate is dropped and acknowledged again", () => {
    const driver = new TestDriver().goLive();
    driver.message(1);
    driver.message(2);
    driver.forget();
    driver.message(1);
    expect(driver.persisted).toEqual([]);
    expect(seqsTold(driver)).toEqual([]);
    expect(acks(driver)).toEqual([2]);
  });

  test("a duplicate of what is still being written is not acknowledged before it is written", () => {
    const driver = new TestDriver({ storeIsFast: false }).goLive();
    driver.message(1);
    driver.message(1);
    expect(acks(driver)).toEqual([]);
    driver.finishWrite();
    expect(acks(driver)).toEqual([1, 1]);
    expect(seqsTold(driver)).toEqual([1]);
  });

  test("an early message is held back, and follows when the gap closes", () => {
    const driver = new TestDriver().goLive();
    driver.message(3);
    driver.message(2);
    expect(seqsTold(driver)).toEqual([]);
    expect(acks(driver)).toEqual([]);
    driver.message(1);
    expect(seqsTold(driver)).toEqual([1, 2, 3]);
    expect(acks(driver)).toEqual([3]);
    driver.pass(RECONNECT_MAX_MS);
    expect(driver.transmitted("sync")).toEqual([]);
  });

  test("a gap that stays is fetched from the cursor", () => {
    const driver = new TestDriver().goLive();
    driver.message(1);
    driver.message(4);
    driver.pass(GAP_WAIT_MS - 1);
    expect(driver.transmitted("sync")).toEqual([]);
    driver.pass(1);
    expect(driver.transmitted("sync")).toEqual([
      { type: "sync", request: 1, cursors: [[chat, 1, 0]], scope: "listed", more: false },
    ]);
    driver.page(1, 4, [2, 3, 4]);
    driver.receive({ type: "drained", request: 1 });
    expect(seqsTold(driver)).toEqual([1, 2, 3, 4]);
    driver.pass(RECONNECT_MAX_MS);
    expect(driver.transmitted("sync")).toHaveLength(1);
  });

  test("a fetch that did not help or was refused is repeated, ever more slowly", () => {
    const driver = new TestDriver().goLive();
    driver.message(2);
    const waits: (number | undefined)[] = [];
    for (let request = 1; request <= 4; request++) {
      waits.push(driver.timerMs("gap"));
      driver.pass(driver.timerMs("gap") ?? 0);
      if (request % 2) driver.receive({ type: "drained", request });
      else driver.receive({ type: "error", code: "unavailable", retry: 1_000, request });
    }
    expect(waits).toEqual([1, 2, 4, 8].map((factor) => factor * GAP_WAIT_MS));
  });

  test("a gap that may not be fetched is given up", () => {
    const driver = new TestDriver().goLive();
    driver.message(2);
    driver.pass(GAP_WAIT_MS);
    driver.receive({ type: "error", code: "not_found", retry: "never", request: 1, conversation: chat });
    driver.pass(RECONNECT_MAX_MS);
    expect(driver.transmitted("sync")).toHaveLength(1);
    expect(driver.state.gaps.size).toBe(0);
  });

  test("a gap outlives the connection and is fetched on the next", () => {
    const driver = new TestDriver().goLive();
    driver.message(2);
    driver.loseSocket();
    driver.goLive();
    expect(driver.emitted("caught_up")).toEqual([]);
    driver.pass(GAP_WAIT_MS);
    expect(driver.transmitted("sync")).toHaveLength(1);
    driver.page(0, 2, [1, 2]);
    expect(driver.emitted("caught_up")).toHaveLength(1);
  });

  test("a page is complete: what it skips is gone for good", () => {
    const driver = withRows(row({ have: 1 })).goLive();
    driver.message(4);
    driver.page(0, 6, [1, 3, 6]);
    expect(seqsTold(driver)).toEqual([3, 6]);
    expect(acks(driver)).toEqual([6]);
    driver.message(7);
    expect(seqsTold(driver)).toEqual([3, 6, 7]);
  });

  test("a page of nothing but expired messages moves the cursor", () => {
    const driver = new TestDriver().goLive();
    driver.page(0, 9, []);
    expect(driver.persisted).toEqual([{ type: "cursor", conversation: chat, have: 9 }]);
    expect(acks(driver)).toEqual([9]);
  });

  test("a page that brings nothing new is acknowledged with what there is", () => {
    const driver = withRows(row({ have: 5 })).goLive();
    driver.page(2, 4, [3, 4]);
    expect(driver.persisted).toEqual([]);
    expect(acks(driver)).toEqual([5]);
  });

  test("a page that begins above the cursor is held back and the gap fetched, even if it is empty", () => {
    for (const seqs of [[6, 7], []]) {
      const driver = withRows(row({ have: 2 })).goLive();
      driver.page(5, 7, seqs);
      expect(seqsTold(driver)).toEqual([]);
      driver.message(3);
      driver.pass(GAP_WAIT_MS);
      expect(driver.transmitted("sync")[0]?.cursors).toEqual([[chat, 3, 0]]);
      driver.page(3, 5, [4, 5]);
      expect(seqsTold(driver)).toEqual([3, 4, 5, ...seqs]);
    }
  });

  test("what is held back is bounded; the fetch brings what was dropped", () => {
    const driver = new TestDriver().goLive();
    for (let seq = 2; seq < MAX_HELD_MESSAGES + 10; seq++) driver.message(seq);
    expect(driver.state.conversations.get(chat)?.held.size).toBe(MAX_HELD_MESSAGES);
    driver.message(1);
    expect(driver.state.gaps.size).toBe(1);
    driver.pass(GAP_WAIT_MS);
    expect(driver.transmitted("sync")[0]?.cursors).toEqual([[chat, MAX_HELD_MESSAGES + 1, 0]]);
  });

  test("messages are heeded before the welcome too", () => {
    const driver = new TestDriver();
    driver.openSocket();
    driver.message(1);
    expect(seqsTold(driver)).toEqual([1]);
    expect(acks(driver)).toEqual([1]);
  });

  test("what is persisted after the socket has died is told but not acknowledged", () => {
    const driver = new TestDriver({ storeIsFast: false }).goLive();
    driver.message(1);
    driver.loseSocket();
    driver.finishWrite();
    expect(seqsTold(driver)).toEqual([1]);
    expect(acks(driver)).toEqual([]);
  });

  test("everything is caught up only once it is persisted", () => {
    const driver = new TestDriver({ storeIsFast: false });
    driver.openSocket();
    driver.welcome();
    driver.page(0, 1, [1]);
    driver.receive({ type: "drained", request: 0 });
    expect(driver.emitted("caught_up")).toEqual([]);
    driver.finishWrite();
    expect(driver.emitted("caught_up")).toHaveLength(1);
  });

  test("a store that fails ends the session, as a crash would", () => {
    const driver = new TestDriver({ storeIsFast: false }).goLive();
    driver.message(1);
    driver.message(2);
    driver.do({ type: "persist_failed", batch: driver.state.writing?.number ?? 0 });
    expect(driver.emitted("state")).toEqual([{ type: "state", state: "closed", code: "store_failed" }]);
    expect(seqsTold(driver)).toEqual([]);
    expect(driver.wanted.filter((type) => type === "persist")).toHaveLength(1);
  });
});

describe("outbox", () => {
  test("a message is persisted before it is transmitted", () => {
    const driver = new TestDriver({ storeIsFast: false }).goLive();
    driver.send(5);
    const [id = ""] = driver.pending();
    expect(driver.wanted).toEqual(["persist"]);
    expect(driver.persisted).toMatchObject([
      { type: "queue", conversation: chat, id, content: bodyOf(5) },
      { type: "seal", conversation: chat, id, content: bodyOf(5) },
    ]);
    driver.finishWrite();
    expect(driver.emitted("queued")).toMatchObject([{ ref: 5, id }]);
    expect(driver.effects).toContainEqual({
      type: "transmit",
      frame: { type: "send", id, conversation: chat },
      body: sealAs({ id, epoch: 1, generation: 1, content: bodyOf(5) }),
    });
  });

  test("it leaves with `sent`, in the same write as its place and the cursor", () => {
    const driver = new TestDriver().goLive();
    driver.send();
    const [id = ""] = driver.pending();
    driver.forget();
    driver.sent([id, 1]);
    expect(driver.wanted.filter((type) => type === "persist")).toHaveLength(1);
    expect(driver.persisted).toEqual([
      { type: "sent", conversation: chat, id, seq: 1, at: 1 },
      { type: "cursor", conversation: chat, have: 1 },
    ]);
    expect(driver.emitted("sent")).toEqual([{ type: "sent", conversation: chat, id, seq: 1, at: 1 }]);
    expect([driver.pending(), driver.state.outboxSize, driver.state.inFlight.size]).toEqual([[], 0, 0]);
  });

  test("`sent` beyond a gap confirms at once and holds its place", () => {
    const driver = new TestDriver().goLive();
    driver.send();
    const [id = ""] = driver.pending();
    driver.sent([id, 2]);
    expect(driver.emitted("sent")).toHaveLength(1);
    expect(driver.state.conversations.get(chat)?.have).toBe(0);
    driver.page(0, 2, [1, 2], { own: { 2: id } });
    expect(seqsTold(driver)).toEqual([1]);
    expect(driver.state.conversations.get(chat)?.have).toBe(2);
  });

  test("a place above the cursor is remembered over a restart, and its message not told again", () => {
    const driver = withRows(row({ have: 1, ahead: [3] })).goLive();
    driver.page(1, 3, [2, 3], { own: { 3: idOf(3) } });
    expect(seqsTold(driver)).toEqual([2]);
  });

  test("what lies below such a place is fetched if nobody sends it", () => {
    const driver = withRows(row({ have: 1, ahead: [3] })).goLive();
    driver.pass(GAP_WAIT_MS);
    expect(driver.transmitted("sync")[0]?.cursors).toEqual([[chat, 1, 0]]);
  });

  test("an own message that comes back takes its place, and is sent again until `sent` confirms it", () => {
    const driver = new TestDriver().goLive();
    driver.send();
    const [id = ""] = driver.pending();
    driver.loseSocket();
    driver.openSocket();
    driver.forget();
    driver.page(0, 2, [1, 2], { own: { 1: id } });
    expect(driver.emitted("sent")).toEqual([]);
    expect(driver.pending()).toEqual([id]);
    expect(seqsTold(driver)).toEqual([2]);
    expect(driver.state.conversations.get(chat)?.have).toBe(2);
    driver.forget();
    driver.sent([id, 1]);
    expect(driver.emitted("sent")).toMatchObject([{ id, seq: 1 }]);
    expect(driver.pending()).toEqual([]);
    expect(driver.state.conversations.get(chat)?.have).toBe(2);
  });

  test("what another device names as one of mine in the outbox is told, and takes no place of mine", () => {
    const driver = new TestDriver().goLive();
    driver.send();
    const [id = ""] = driver.pending();
    driver.forget();
    driver.message(1, { id });
    expect(driver.persisted).toMatchObject([{ type: "message", id, device: peer, seq: 1 }, { type: "cursor" }]);
    expect(seqsTold(driver)).toEqual([1]);
    expect(driver.pending()).toEqual([id]);
  });

  test("a message of another device of mine is told like any other", () => {
    const driver = new TestDriver().goLive();
    driver.message(1, { user: me, device: peer });
    expect(driver.emitted("message")).toMatchObject([{ user: me, seq: 1 }]);
  });

  test("offline, messages wait in the outbox", () => {
    const driver = new TestDriver();
    driver.send(1);
    driver.send(2);
    expect(driver.emitted("queued")).toHaveLength(2);
    const ids = driver.pending();
    driver.goLive();
    driver.pass(0);
    expect([...driver.state.inFlight.keys()]).toEqual(ids);
  });

  test("after a reconnect all that was in flight goes again: same ids, same bytes, same order", () => {
    const driver = new TestDriver().goLive();
    for (const n of [1, 2, 3]) driver.send(n);
    const before = driver.messagesSent;
    driver.loseSocket();
    driver.openSocket();
    driver.forget();
    driver.welcome();
    expect(before).toHaveLength(3);
    expect(driver.messagesSent).toEqual(before);
    driver.forget();
    driver.receive({ type: "drained", request: 0 });
    expect(driver.idsSent).toEqual([]);
  });

  test("what is ready at once goes in one frame a conversation, as far as it fits", () => {
    const driver = new TestDriver();
    for (const n of [1, 2]) driver.send(n);
    driver.send(3, other);
    driver.openSocket();
    driver.welcome();
    expect(driver.transmitted("sends").map(({ conversation, messages }) => [conversation, messages.length])).toEqual([
      [chat, 2],
    ]);
    expect(driver.transmitted("send").map(({ conversation }) => conversation)).toEqual([other]);
  });

  test("messages that do not fit into one frame go in several, in order", () => {
    const driver = new TestDriver();
    const content = new Uint8Array(MAX_BODY_BYTES / 2 - 100);
    for (let ref = 0; ref < 3; ref++) driver.do({ type: "send", ref, conversation: chat, content });
    driver.openSocket();
    driver.welcome();
    expect(driver.transmitted("sends").map(({ messages }) => messages.length)).toEqual([2]);
    expect(driver.transmitted("send")).toHaveLength(1);
    expect(driver.idsSent).toEqual(driver.pending());
  });

  test("what a crash left in the outbox goes again in the same order", () => {
    const outbox = [1, 2].map((n) => ({ conversation: chat, id: idOf(n), content: bodyOf(n), body: bodyOf(7 * n) }));
    const driver = new TestDriver({ stored: { ...emptyStore, outbox, lastMinted: idOf(2) } });
    driver.openSocket();
    driver.welcome();
    expect(driver.idsSent).toEqual([idOf(1), idOf(2)]);
    expect(driver.messagesSent.map(({ body }) => body)).toEqual([bodyOf(7), bodyOf(14)]);
  });

  test("no more than the window is in flight, and conversations take turns", () => {
    const driver = new TestDriver();
    for (let n = 0; n < 2 * MAX_IN_FLIGHT_SENDS; n++) driver.send(n);
    driver.send(0, other);
    driver.openSocket();
    driver.welcome();
    expect(driver.idsSent).toHaveLength(MAX_IN_FLIGHT_SENDS);
    expect(driver.messagesSent.filter(({ conversation }) => conversation === other)).toHaveLength(1);
    const [first = ""] = driver.pending();
    driver.forget();
    driver.sent([first, 1]);
    expect(driver.idsSent).toEqual([driver.pending()[MAX_IN_FLIGHT_SENDS - 2]]);
  });

  test("ids rise even when the clock does not, and follow the server's clock", () => {
    const driver = new TestDriver();
    driver.openSocket();
    driver.welcome({ time: driver.now - 3_600_000 });
    for (let n = 0; n < 50; n++) driver.send(n);
    const ids = driver.pending();
    expect(ids).toEqual([...new Set(ids)].sort());
    expect(messageTime(ids[0] ?? "")).toBe(driver.now - 3_600_000);
  });

  test.each(["too_large", "id_conflict", "id_expired", "not_found"] as const)(
    "%s is final: the message fails, is kept, and the next one is not held up",
    (code) => {
      const driver = new TestDriver().goLive();
      driver.send(1);
      driver.send(2);
      const [id = "", next = ""] = driver.pending();
      driver.forget();
      driver.refuse(id, code);
      expect(driver.persisted).toEqual([{ type: "failed", conversation: chat, id, code }]);
      expect(driver.emitted("failed")).toEqual([{ type: "failed", conversation: chat, id, code }]);
      expect(driver.pending()).toEqual([next]);
    },
  );

  test("after a refusal for now the conversation waits, then goes on in order; others are not held up", () => {
    const driver = new TestDriver().goLive();
    driver.send(1);
    const [id = ""] = driver.pending();
    driver.refuse(id, "rate_limited", 700);
    driver.send(2);
    driver.send(3, other);
    driver.forget();
    driver.pass(699);
    expect(driver.idsSent).toEqual([]);
    driver.pass(1);
    expect(driver.idsSent).toEqual(driver.pending());
    expect(driver.pending()[0]).toBe(id);
    expect(driver.state.inFlight.size).toBe(3);
  });

  test("what was refused does not go again before all that went behind it is answered", () => {
    const driver = new TestDriver().goLive();
    for (const n of [1, 2, 3]) driver.send(n);
    const ids = driver.pending();
    driver.forget();
    driver.refuse(ids[0] ?? "", "busy", 100);
    driver.refuse(ids[1] ?? "", "busy", 100);
    driver.pass(200);
    expect(driver.idsSent).toEqual([]);
    driver.refuse(ids[2] ?? "", "busy", 100);
    driver.pass(100);
    expect(driver.idsSent).toEqual(ids);
  });

  test("a wait outlives the connection", () => {
    const driver = new TestDriver().goLive();
    driver.send(1);
    driver.refuse(driver.pending()[0] ?? "", "rate_limited", 60_000);
    driver.loseSocket();
    driver.goLive();
    expect(driver.idsSent).toEqual([]);
    driver.pass(0);
    expect(driver.timerMs("retry")).toBeGreaterThan(0);
  });

  test("an id from the future gets a new one on the server's clock, persisted before it goes, in its old place", () => {
    const driver = new TestDriver({ storeIsFast: false });
    driver.send(1);
    driver.send(2);
    driver.finishWrite();
    driver.finishWrite();
    const [id = "", next = ""] = driver.pending();
    const serverTime = driver.now - 3_600_000;
    driver.openSocket();
    driver.welcome({ time: serverTime });
    driver.finishWrite();
    expect(driver.idsSent).toEqual([id]);
    driver.forget();
    driver.refuse(id, "id_from_future");
    expect(driver.idsSent).toEqual([]);
    const [newId = ""] = driver.pending();
    expect(driver.persisted).toEqual([
      { type: "rename", conversation: chat, id, newId, at: serverTime },
      { type: "seal", conversation: chat, id: newId, content: bodyOf(1) },
    ]);
    expect(messageTime(newId)).toBe(serverTime);
    driver.finishWrite();
    expect(driver.emitted("renamed")).toEqual([{ type: "renamed", conversation: chat, id, newId }]);
    expect(driver.idsSent).toEqual([newId]);
    expect(unseal(driver.messagesSent[0]?.body ?? bodyOf(0))).toMatchObject({ id: newId, content: bodyOf(1) });
    expect(driver.pending()).toEqual([newId, next]);
  });

  test("an id ahead of the server's clock travels alone in its conversation", () => {
    const driver = new TestDriver();
    for (const n of [1, 2, 3]) driver.send(n);
    driver.openSocket();
    driver.welcome({ time: driver.now - 20_000 });
    expect(driver.idsSent).toHaveLength(1);
    driver.sent([driver.pending()[0] ?? "", 1]);
    expect(driver.idsSent).toHaveLength(2);
  });

  test("so it does where all were sealed by an earlier run of the app", () => {
    const writer = new TestDriver();
    writer.send(1);
    writer.pass(10_000);
    for (const n of [2, 3]) writer.send(n);
    const [first = "", second = "", third = ""] = writer.pending();
    const outbox = writer.outbox.map((message) => ({ ...message, body: bodyOf(9) }));
    const driver = new TestDriver({ stored: { ...emptyStore, outbox, lastMinted: third } });
    driver.openSocket();
    driver.welcome({ time: messageTime(first) });
    expect(driver.idsSent).toEqual([first]);
    driver.sent([first, 1]);
    expect(driver.idsSent).toEqual([first, second]);
    driver.sent([second, 2]);
    expect(driver.idsSent).toEqual([first, second, third]);
  });

  test("one that was ahead when it went is answered before the next goes, though the clock has come there", () => {
    const driver = new TestDriver();
    for (const n of [1, 2]) driver.send(n);
    const [first = "", second = ""] = driver.pending();
    driver.openSocket();
    driver.welcome({ time: driver.now - 20_000 });
    driver.pass(21_000);
    driver.message(1);
    driver.message(2);
    expect(driver.idsSent).toEqual([first]);
    driver.sent([first, 3]);
    expect(driver.idsSent).toEqual([first, second]);
  });

  test("a refusal that our idea of the server's clock does not explain asks for a new welcome", () => {
    const driver = new TestDriver().goLive();
    driver.send(1);
    driver.refuse(driver.pending()[0] ?? "", "id_from_future");
    expect(driver.state.phase).toBe("backing_off");
    expect(driver.pending()).toHaveLength(1);
  });

  test("a refusal of what is not in flight changes nothing", () => {
    const driver = new TestDriver().goLive();
    driver.refuse(idOf(9), "too_large");
    expect(driver.effects).toEqual([]);
  });

  test("a full outbox and content that is too large are refused at once", () => {
    const driver = new TestDriver();
    driver.do({ type: "send", ref: 1, conversation: chat, content: new Uint8Array(MAX_CONTENT_BYTES + 1) });
    driver.state = { ...driver.state, outboxSize: MAX_OUTBOX_MESSAGES };
    driver.send(2);
    expect(driver.emitted("refused").map(({ ref, code }) => [ref, code])).toEqual([
      [1, "too_large"],
      [2, "outbox_full"],
    ]);
    expect(driver.persisted).toEqual([]);
  });
});

describe("read marks and receipts", () => {
  const read = (driver: TestDriver, seq: number) => driver.do({ type: "read", conversation: chat, seq });
  const reads = (driver: TestDriver) => driver.transmitted("read").map(({ seq }) => seq);
  const receipt = (driver: TestDriver, user: string | undefined, delivered: number, upTo: number) =>
    driver.receive({ type: "receipt", conversation: chat, user, delivered, read: upTo });

  test("a read mark is persisted, then told; never above what is there, never back", () => {
    const driver = withRows(row({ have: 5 }));
    driver.storeIsFast = false;
    driver.goLive();
    read(driver, 9);
    expect([driver.wanted, driver.persisted]).toEqual([["persist"], [{ type: "read", conversation: chat, seq: 5 }]]);
    driver.finishWrite();
    expect(reads(driver)).toEqual([5]);
    read(driver, 3);
    expect(reads(driver)).toEqual([5]);
    expect(driver.state.writing).toBeUndefined();
  });

  test("a mark moved while away is told on the next connection, after a restart too", () => {
    const driver = withRows(row({ have: 5 }));
    read(driver, 4);
    driver.openSocket();
    driver.welcome();
    expect(reads(driver)).toEqual([4]);
    const restarted = withRows(row({ have: 5, read: 4, readConfirmed: 2 }));
    restarted.openSocket();
    restarted.welcome();
    expect(reads(restarted)).toEqual([4]);
  });

  test("a mark that a broken connection may have lost is told again; one that a pong followed is not", () => {
    const driver = withRows(row({ have: 5 })).goLive();
    read(driver, 3);
    driver.loseSocket();
    driver.openSocket();
    driver.welcome();
    expect(reads(driver)).toEqual([3, 3]);
    driver.pass(PING_INTERVAL_MS);
    driver.do({ type: "pong", connection: driver.state.connection });
    expect(driver.persisted.at(-1)).toEqual({ type: "read_confirmed", conversation: chat, seq: 3 });
    driver.loseSocket();
    driver.openSocket();
    driver.welcome();
    expect(reads(driver)).toEqual([3, 3]);
  });

  test("a pong does not confirm a mark that has moved on meanwhile and is still being written", () => {
    const driver = withRows(row({ have: 5 })).goLive();
    read(driver, 3);
    driver.pass(PING_INTERVAL_MS);
    driver.storeIsFast = false;
    read(driver, 5);
    driver.do({ type: "pong", connection: 1 });
    driver.finishWrite();
    expect(driver.persisted.map(({ type }) => type)).not.toContain("read_confirmed");
    expect(reads(driver)).toEqual([3, 5]);
  });

  test("receipts only rise, and reading implies delivery", () => {
    const driver = new TestDriver().goLive();
    receipt(driver, peer, 4, 0);
    receipt(driver, peer, 3, 0);
    receipt(driver, peer, 0, 5);
    receipt(driver, peer, 4, 5);
    expect(driver.emitted("receipt").map(({ delivered, read: upTo }) => [delivered, upTo])).toEqual([
      [4, 0],
      [5, 5],
    ]);
    expect(driver.persisted).toHaveLength(2);
  });

  test("a receipt is told only once it is persisted", () => {
    const driver = new TestDriver({ storeIsFast: false }).goLive();
    receipt(driver, undefined, 4, 0);
    expect(driver.emitted("receipt")).toEqual([]);
    driver.finishWrite();
    expect(driver.emitted("receipt")).toMatchObject([{ user: undefined, delivered: 4 }]);
  });

  test("what I read elsewhere is read here, and need not be told to the server", () => {
    const driver = withRows(row({ have: 5, read: 2, readConfirmed: 2 })).goLive();
    receipt(driver, me, 5, 4);
    receipt(driver, me, 5, 4);
    receipt(driver, me, 5, 1);
    expect(driver.emitted("read").map(({ seq }) => seq)).toEqual([4]);
    expect(driver.persisted.map(({ type }) => type)).toEqual(["read", "read_confirmed"]);
    expect(reads(driver)).toEqual([]);
  });
});

describe("typing", () => {
  const type = (driver: TestDriver) => driver.do({ type: "typing", conversation: chat });

  test("is told at most once an interval, and not while away", () => {
    const driver = new TestDriver();
    type(driver);
    driver.goLive();
    type(driver);
    type(driver);
    expect(driver.transmitted("typing")).toHaveLength(1);
    driver.pass(TYPING_INTERVAL_MS);
    type(driver);
    expect(driver.transmitted("typing")).toHaveLength(2);
  });

  test("of several expires one by one", () => {
    const driver = new TestDriver().goLive();
    driver.receive({ type: "typing", conversation: chat, user: peer });
    driver.pass(1_000);
    driver.receive({ type: "typing", conversation: other, user: peer });
    driver.pass(TYPING_SHOWN_MS - 1_000);
    const stopped = () => driver.emitted("typing").filter(({ active }) => !active);
    expect(stopped().map(({ conversation }) => conversation)).toEqual([chat]);
    driver.pass(1_000);
    expect(stopped().map(({ conversation }) => conversation)).toEqual([chat, other]);
  });

  test("of others is shown until it expires, and ends with their message", () => {
    const driver = new TestDriver().goLive();
    const active = () => driver.emitted("typing").map((event) => event.active);
    driver.receive({ type: "typing", conversation: chat, user: peer });
    driver.pass(TYPING_SHOWN_MS - 1);
    driver.receive({ type: "typing", conversation: chat, user: peer });
    driver.pass(TYPING_SHOWN_MS - 1);
    expect(active()).toEqual([true]);
    driver.pass(1);
    expect(active()).toEqual([true, false]);
    driver.receive({ type: "typing", conversation: chat, user: peer });
    driver.message(1);
    expect(active()).toEqual([true, false, true, false]);
  });
});

test("a refusal that nobody waits for is told as a problem", () => {
  const driver = new TestDriver({ random: seededRandom(2) }).goLive();
  driver.receive({ type: "error", code: "seq_unknown", retry: "never", conversation: chat });
  expect(driver.emitted("problem")).toEqual([{ type: "problem", code: "seq_unknown", conversation: chat }]);
});

test("that few key packages are left is told to the app, as soon as the server says so", () => {
  const driver = new TestDriver();
  driver.openSocket();
  driver.receive({ type: "refill" });
  driver.welcome();
  driver.receive({ type: "refill" });
  expect(driver.emitted("keys_low")).toHaveLength(2);
});

test("an alert is told once and noted every time, after the app was told", () => {
  const driver = new TestDriver();
  driver.openSocket();
  const alert = { type: "alert", alert: 1, kind: "device_added", at: 7, name: "Laptop" } as const;
  driver.forget();
  driver.receive(alert);
  expect(driver.effects).toEqual([
    { type: "emit", event: alert },
    { type: "transmit", frame: { type: "noted", alert: 1 } },
  ]);
  driver.loseSocket();
  driver.openSocket();
  driver.receive(alert);
  driver.receive({ ...alert, alert: 2, kind: "device_removed" });
  expect(driver.emitted("alert").map(({ kind }) => kind)).toEqual(["device_added", "device_removed"]);
  expect(driver.transmitted("noted").map(({ alert: number }) => number)).toEqual([1, 1, 2]);
});
