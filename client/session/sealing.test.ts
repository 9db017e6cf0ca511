import { describe, expect, test } from "vitest";
import { directConversation } from "../../shared/ids.ts";
import {
  EPOCH_WAIT_MS,
  MAX_IN_FLIGHT_SENDS,
  MAX_OUTBOX_MESSAGES,
  PING_INTERVAL_MS,
  RECONNECT_MAX_MS,
} from "../../shared/limits.ts";
import { bodyOf, chat, emptyStore, idOf, myDevice, peer, sentIn, TestDriver, unseal } from "./test-driver.ts";

const other = directConversation(peer, myDevice);
const live = (options: ConstructorParameters<typeof TestDriver>[0] = {}) => new TestDriver(options).goLive();
/** Live with so many messages in flight; the store is as fast as `live` has it. */
const sending = (count: number, driver = live()) => {
  for (let n = 1; n <= count; n++) driver.send(n);
  driver.forget();
  return driver;
};
const sealsAsked = (driver: TestDriver) =>
  driver.persisted.flatMap((change) => (change.type === "seal" ? [change] : []));
const idsSealed = (driver: TestDriver) => sealsAsked(driver).map(({ id }) => id);
const sealings = (driver: TestDriver) => driver.messagesSent.map(({ body }) => unseal(body));
const bodiesKept = (driver: TestDriver) => driver.outbox.map(({ body }) => body);
const reconnect = (driver: TestDriver) => {
  driver.loseSocket();
  driver.goLive();
};
const welcomeAgain = (driver: TestDriver) => {
  driver.openSocket();
  driver.forget();
  driver.welcome();
};

/** Takes what is sealed in its epoch, and keeps the order as docs/protocol.md §7 says. */
class Server {
  readonly epochs = new Map<string, number>();
  readonly taken = new Map<string, { id: string; content: Uint8Array }[]>();
  readonly #stalled = new Map<string, string>();
  #read = 0;

  /** Answers what has gone up since. @returns how many messages that was */
  serve(driver: TestDriver): number {
    const { effects } = driver;
    const sent = sentIn(effects.slice(this.#read));
    this.#read = effects.length;
    for (const { conversation, id, body } of sent) this.#answer(driver, conversation, id, body);
    return sent.length;
  }

  #answer(driver: TestDriver, conversation: string, id: string, body: Uint8Array): void {
    const { epoch, content } = unseal(body);
    const log = this.taken.get(conversation) ?? [];
    const stalled = this.#stalled.get(conversation);
    if (stalled !== undefined && stalled !== id) driver.refuse(id, "busy");
    else if (epoch !== (this.epochs.get(conversation) ?? driver.epoch)) {
      this.#stalled.set(conversation, id);
      driver.refuse(id, "epoch_stale");
    } else {
      this.#stalled.delete(conversation);
      this.taken.set(conversation, [...log, { id, content }]);
      driver.receive({ type: "sent", conversation, messages: [{ id, seq: log.length + 1, at: 1 }] });
    }
  }
}

describe("when", () => {
  test("online, a message is sealed in the write that queues it, and goes once that is durable", () => {
    const driver = live({ storeIsFast: false });
    driver.send(5);
    expect(driver.wanted).toEqual(["persist"]);
    expect(driver.persisted.map(({ type }) => type)).toEqual(["queue", "seal"]);
    expect(bodiesKept(driver)).toEqual([]);
    driver.finishWrite();
    expect(driver.messagesSent.map(({ body }) => body)).toEqual(bodiesKept(driver));
    expect(sealings(driver)).toMatchObject([{ id: driver.pending()[0], epoch: 1, content: bodyOf(5) }]);
  });

  test("nothing is sealed before the server has answered hello; then in order, in the epoch that holds by then", () => {
    const driver = new TestDriver();
    for (const n of [1, 2, 3]) driver.send(n);
    driver.openSocket();
    driver.send(4);
    expect(driver.persisted.map(({ type }) => type)).toEqual(["queue", "queue", "queue", "queue"]);
    driver.epoch = 7;
    driver.forget();
    driver.welcome();
    const ids = driver.pending();
    expect(sealsAsked(driver)).toEqual(
      ids.map((id, index) => ({ type: "seal", conversation: chat, id, content: bodyOf(index + 1) })),
    );
    expect(sealings(driver).map(({ id, epoch }) => [id, epoch])).toEqual(ids.map((id) => [id, 7]));
  });

  test("nothing is sealed while offline, backing off or closed", () => {
    const driver = live();
    driver.loseSocket();
    driver.send(1);
    driver.do({ type: "disconnect" });
    driver.send(2);
    expect(idsSealed(driver)).toEqual([]);
    const closed = new TestDriver();
    closed.send(1);
    closed.openSocket();
    closed.receive({ type: "bye", code: "revoked", retry: "never" });
    closed.do({ type: "sealable", conversation: chat });
    expect(idsSealed(closed)).toEqual([]);
  });

  test("no more is sealed than may be under way, and one more with every place that gets free", () => {
    const driver = new TestDriver();
    for (let n = 0; n < 2 * MAX_IN_FLIGHT_SENDS; n++) driver.send(n);
    const ids = driver.pending();
    driver.openSocket();
    driver.forget();
    driver.welcome();
    expect(idsSealed(driver)).toEqual(ids.slice(0, MAX_IN_FLIGHT_SENDS));
    driver.forget();
    driver.sent([ids[0] ?? "", 1]);
    expect(idsSealed(driver)).toEqual([ids[MAX_IN_FLIGHT_SENDS]]);
    expect(driver.idsSent).toEqual([ids[MAX_IN_FLIGHT_SENDS]]);
  });

  test("with many conversations no more is sealed either, and each has its turn", () => {
    const driver = new TestDriver();
    const server = new Server();
    for (let n = 0; n < 3 * 200; n++) driver.send(n, idOf(n % 200));
    driver.openSocket();
    driver.welcome();
    let most = 0;
    const sealedAhead = () => {
      const { conversations, inFlight } = driver.state;
      const queued = [...conversations].flatMap(([, { queue }]) => queue);
      return queued.filter(({ id, body }) => body !== undefined && !inFlight.has(id)).length;
    };
    for (let served = 1; served > 0; ) {
      most = Math.max(most, sealedAhead());
      served = server.serve(driver);
    }
    expect(most).toBeLessThanOrEqual(MAX_IN_FLIGHT_SENDS);
    expect([...server.taken.values()].map((log) => log.length)).toEqual(Array(200).fill(3));
  });

  test("a message that waits for a write is sealed behind a commit that comes meanwhile", () => {
    const driver = live({ storeIsFast: false });
    driver.send(1);
    driver.send(2);
    driver.message(1);
    driver.forget();
    driver.finishWrite();
    expect(driver.persisted.map(({ type }) => type)).toEqual(["queue", "message", "seal", "cursor"]);
  });

  test("what a crash left is sealed if it was not; what was sealed goes as it is", () => {
    const outbox = [
      { conversation: chat, id: idOf(1), content: bodyOf(1), body: bodyOf(77) },
      { conversation: chat, id: idOf(2), content: bodyOf(2) },
    ];
    const driver = new TestDriver({ stored: { ...emptyStore, outbox, lastMinted: idOf(2) } });
    driver.openSocket();
    driver.welcome();
    expect(sealsAsked(driver)).toEqual([{ type: "seal", conversation: chat, id: idOf(2), content: bodyOf(2) }]);
    expect(driver.idsSent).toEqual([idOf(1), idOf(2)]);
    expect(driver.messagesSent[0]?.body).toEqual(bodyOf(77));
  });

  test("an outbox of 10,000 goes in order, each sealed once, and never more than may be under way", () => {
    const outbox = Array.from({ length: MAX_OUTBOX_MESSAGES }, (_, n) => {
      const id = `01J000000000000000000${String(n).padStart(5, "0")}`;
      return { conversation: chat, id, content: bodyOf(n) };
    });
    const driver = new TestDriver({ stored: { ...emptyStore, outbox } });
    driver.openSocket();
    driver.welcome();
    for (let seq = 0; driver.state.outboxSize > 0; ) {
      const { queue = [] } = driver.state.conversations.get(chat) ?? {};
      expect(queue.filter(({ body }) => body !== undefined)).toHaveLength(Math.min(MAX_IN_FLIGHT_SENDS, queue.length));
      driver.sent(...[...driver.state.inFlight.keys()].map((id): [string, number] => [id, ++seq]));
    }
    expect(idsSealed(driver)).toEqual(outbox.map(({ id }) => id));
    expect(sealings(driver).map(({ id, content }) => [id, content])).toEqual(
      outbox.map(({ id, content }) => [id, content]),
    );
  });
});

describe("the same bytes again", () => {
  test("a connection that breaks between sealing and its end seals nothing anew", () => {
    const driver = live({ storeIsFast: false });
    driver.send(1);
    driver.loseSocket();
    driver.finishWrite();
    expect(driver.messagesSent).toEqual([]);
    const kept = bodiesKept(driver);
    welcomeAgain(driver);
    driver.finishWrite();
    expect(idsSealed(driver)).toEqual([]);
    expect(driver.messagesSent.map(({ body }) => body)).toEqual(kept);
  });

  test("an app that goes offline and online while sealing is under way seals nothing twice", () => {
    const driver = live({ storeIsFast: false });
    driver.send(1);
    driver.do({ type: "disconnect" });
    welcomeAgain(driver);
    expect([idsSealed(driver), driver.idsSent]).toEqual([[], []]);
    driver.finishWrite();
    expect(driver.idsSent).toEqual(driver.pending());
    expect(idsSealed(driver)).toEqual([]);
  });

  test.each(["busy", "unavailable", "rate_limited"] as const)("after %s", (code) => {
    const driver = live();
    driver.send(1);
    const before = driver.messagesSent;
    driver.epoch = 2;
    driver.refuse(driver.pending()[0] ?? "", code);
    driver.forget();
    driver.pass(driver.timerMs("retry") ?? 0);
    expect(driver.messagesSent).toEqual(before);
    expect(idsSealed(driver)).toEqual([]);
  });

  test("what is sealed while its conversation has come to wait is sealed", () => {
    const driver = sending(1, live());
    driver.storeIsFast = false;
    const [first = ""] = driver.pending();
    driver.send(2);
    driver.refuse(first, "rate_limited", 700);
    driver.finishWrite();
    const kept = bodiesKept(driver);
    driver.forget();
    driver.pass(700);
    expect(idsSealed(driver)).toEqual([]);
    expect(driver.messagesSent.map(({ body }) => body)).toEqual(kept);
  });

  test.each([true, false])("after a crash while sealing is under way (the write happens: %s)", (writeLands) => {
    const driver = live({ storeIsFast: false });
    driver.send(1);
    driver.finishWrite();
    const [sent] = driver.messagesSent;
    driver.send(2);
    driver.crash({ writeLands });
    expect(driver.outbox.map(({ body }) => body !== undefined)).toEqual(writeLands ? [true, true] : [true]);
    const kept = bodiesKept(driver);
    driver.openSocket();
    driver.forget();
    driver.welcome();
    expect(idsSealed(driver)).toEqual([]);
    expect(driver.messagesSent.map(({ body }) => body)).toEqual(kept);
    expect(driver.messagesSent[0]).toEqual(sent);
  });

  test.each([true, false])("a crash while it is sealed anew (the write happens: %s)", (writeLands) => {
    const driver = live();
    driver.send(1);
    const [old] = bodiesKept(driver);
    driver.refuse(driver.pending()[0] ?? "", "epoch_stale");
    driver.storeIsFast = false;
    driver.epoch = 2;
    driver.pass(EPOCH_WAIT_MS);
    expect(idsSealed(driver)).toHaveLength(2);
    driver.crash({ writeLands });
    const kept = bodiesKept(driver);
    expect(unseal(kept[0] ?? bodyOf(0)).epoch).toBe(writeLands ? 2 : 1);
    expect(kept[0] === old).toBe(!writeLands);
    driver.openSocket();
    driver.welcome();
    expect(driver.messagesSent.map(({ body }) => body)).toEqual(kept);
  });

  test("a store that fails transmits nothing of what it should have sealed", () => {
    const driver = live({ storeIsFast: false });
    driver.send(1);
    driver.do({ type: "persist_failed", batch: driver.state.writing?.number ?? 0 });
    driver.do({ type: "sealable", conversation: chat });
    expect(driver.emitted("state").at(-1)).toEqual({ type: "state", state: "closed", code: "store_failed" });
    expect([driver.idsSent, driver.emitted("queued")]).toEqual([[], []]);
  });

  test("a late or foreign answer seals nothing", () => {
    const driver = live({ storeIsFast: false });
    driver.send(1);
    const [id = ""] = driver.pending();
    const batch = driver.state.writing?.number ?? 0;
    const sealed = [{ conversation: chat, id, body: bodyOf(9) }];
    driver.do({ type: "persisted", batch: batch - 1, sealed });
    driver.do({ type: "persisted", batch: batch + 1, sealed });
    expect(driver.idsSent).toEqual([]);
    driver.answer({ batch }, [{ conversation: other, id, body: bodyOf(8) }, ...sealed]);
    expect(driver.messagesSent.map(({ body }) => body)).toEqual([bodyOf(9)]);
  });
});

describe("an epoch that is over", () => {
  test("the message waits, asks for news, and is sealed anew under its id", () => {
    const driver = live();
    driver.page(0, 4, []);
    driver.send(1);
    const [id = ""] = driver.pending();
    driver.forget();
    driver.refuse(id, "epoch_stale");
    expect(driver.transmitted("sync")).toEqual([
      { type: "sync", request: 1, cursors: [[chat, 4, 0]], scope: "listed", more: false },
    ]);
    driver.epoch = 2;
    driver.pass(EPOCH_WAIT_MS - 1);
    expect([idsSealed(driver), driver.idsSent]).toEqual([[], []]);
    driver.pass(1);
    expect(idsSealed(driver)).toEqual([id]);
    expect(sealings(driver)).toMatchObject([{ id, epoch: 2, content: bodyOf(1) }]);
    expect(driver.persisted.map(({ type }) => type)).toEqual(["seal"]);
    driver.sent([id, 5]);
    expect(driver.emitted("sent")).toMatchObject([{ id, seq: 5 }]);
    expect([driver.outbox, driver.emitted("failed"), driver.emitted("problem")]).toEqual([[], [], []]);
  });

  test("the answer to that question ends nothing else", () => {
    const driver = new TestDriver();
    driver.openSocket();
    driver.welcome();
    driver.send(1);
    driver.refuse(driver.pending()[0] ?? "", "epoch_stale");
    driver.receive({ type: "drained", request: 1 });
    expect(driver.state.phase).toBe("catching_up");
    driver.receive({ type: "error", code: "busy", retry: 250, request: 1 });
    driver.receive({ type: "error", code: "not_found", retry: "never", request: 1, conversation: chat });
    expect([driver.state.phase, driver.emitted("problem")]).toEqual(["catching_up", []]);
    driver.receive({ type: "drained", request: 0 });
    expect(driver.state.phase).toBe("live");
  });

  test("one is taken, the next is not, those behind are busy: all that is left is sealed once, and goes in order", () => {
    const driver = sending(MAX_IN_FLIGHT_SENDS);
    const [first = "", second = "", ...behind] = driver.pending();
    driver.sent([first, 1]);
    driver.refuse(second, "epoch_stale");
    driver.epoch = 2;
    for (const id of behind) driver.refuse(id, "busy");
    driver.forget();
    driver.pass(1_000);
    expect(sealings(driver).map(({ id, epoch }) => [id, epoch])).toEqual([second, ...behind].map((id) => [id, 2]));
    expect(idsSealed(driver)).toEqual([second, ...behind]);
    driver.sent(...driver.pending().map((id, index): [string, number] => [id, index + 2]));
    expect(driver.state.outboxSize).toBe(0);
  });

  test.each(["epoch_stale", "unavailable"] as const)(
    "all that is in flight is refused with it (%s): it counts once",
    (code) => {
      const driver = sending(MAX_IN_FLIGHT_SENDS);
      const ids = driver.pending();
      driver.refuse(ids[0] ?? "", "epoch_stale");
      driver.epoch = 2;
      for (const id of ids.slice(1)) driver.refuse(id, code);
      expect(driver.transmitted("sync")).toHaveLength(1);
      expect(driver.timerMs("retry")).toBe(code === "epoch_stale" ? EPOCH_WAIT_MS : 1_000);
      driver.forget();
      driver.pass(1_000);
      expect(sealings(driver).map(({ id, epoch }) => [id, epoch])).toEqual(ids.map((id) => [id, 2]));
    },
  );

  test("what is in flight behind it and taken all the same leaves the outbox", () => {
    const driver = sending(2);
    const [first = "", second = ""] = driver.pending();
    driver.refuse(first, "epoch_stale");
    driver.sent([second, 1]);
    expect(driver.pending()).toEqual([first]);
    driver.forget();
    driver.pass(EPOCH_WAIT_MS);
    expect(driver.idsSent).toEqual([first]);
  });

  test("what was in flight behind it when the connection broke goes as it was: it may have been taken", () => {
    const driver = sending(2);
    const [first = "", second = ""] = driver.pending();
    const kept = bodiesKept(driver)[1];
    driver.refuse(first, "epoch_stale");
    driver.epoch = 2;
    reconnect(driver);
    driver.pass(EPOCH_WAIT_MS);
    expect(sealings(driver).map(({ id, epoch }) => [id, epoch])).toEqual([
      [first, 2],
      [second, 1],
    ]);
    expect(driver.messagesSent[1]?.body).toEqual(kept);
  });

  test("what was in flight before it keeps its bytes: its own answer decides", () => {
    const driver = sending(3);
    const [first = "", second = "", third = ""] = driver.pending();
    const [kept] = bodiesKept(driver);
    driver.refuse(second, "epoch_stale");
    driver.refuse(third, "busy");
    driver.refuse(first, "unavailable");
    driver.epoch = 2;
    driver.forget();
    driver.pass(1_000);
    expect(idsSealed(driver)).toEqual([second, third]);
    expect(driver.idsSent).toEqual([first, second, third]);
    expect(driver.messagesSent[0]?.body).toEqual(kept);
  });

  test("what is being sealed behind it is sealed again, after it: receivers get keys in their order", () => {
    const driver = sending(1);
    driver.storeIsFast = false;
    for (const n of [2, 3]) driver.send(n);
    const ids = driver.pending();
    driver.refuse(ids[0] ?? "", "epoch_stale");
    driver.epoch = 2;
    driver.finishWrite();
    driver.finishWrite();
    driver.storeIsFast = true;
    driver.forget();
    driver.pass(EPOCH_WAIT_MS);
    const sent = sealings(driver);
    expect(sent.map(({ id, epoch }) => [id, epoch])).toEqual(ids.map((id) => [id, 2]));
    const generations = sent.map(({ generation }) => generation);
    expect(generations).toEqual(generations.toSorted((a, b) => a - b));
  });

  test("again and again: the waits double up to their maximum, and start over once something was taken", () => {
    const driver = live();
    const waits: (number | undefined)[] = [];
    const refuseFirst = () => {
      driver.refuse(driver.pending()[0] ?? "", "epoch_stale");
      waits.push(driver.timerMs("retry"));
      driver.pass(driver.timerMs("retry") ?? 0);
    };
    driver.send(1);
    for (let n = 0; n < 11; n++) refuseFirst();
    const doubled = Array.from({ length: 9 }, (_, n) => EPOCH_WAIT_MS * 2 ** n);
    expect(waits).toEqual([...doubled, RECONNECT_MAX_MS, RECONNECT_MAX_MS]);
    driver.send(2);
    driver.sent([driver.pending()[0] ?? "", 1]);
    waits.length = 0;
    refuseFirst();
    refuseFirst();
    expect(waits).toEqual([EPOCH_WAIT_MS, 2 * EPOCH_WAIT_MS]);
  });

  test("for ever: in an hour it is tried some 130 times, and another conversation notices nothing", () => {
    const driver = live();
    const server = new Server();
    server.epochs.set(chat, 99);
    for (let n = 0; n < 40; n++) driver.send(n);
    for (let second = 0; second < 3_600; second++) {
      if (second % 60 === 0) driver.send(1, other);
      server.serve(driver);
      driver.do({ type: "pong", connection: driver.state.connection });
      driver.pass(1_000);
    }
    const tries = driver.messagesSent.filter(({ id }) => id === driver.pending()[0]);
    expect(tries.length).toBeGreaterThan(100);
    expect(tries.length).toBeLessThan(140);
    expect(driver.transmitted("sync").length).toBe(tries.length);
    expect(driver.persisted.length).toBeLessThan(140 * 40);
    expect(server.taken.get(other)).toHaveLength(60);
    expect([driver.pending().length, driver.pending(other)]).toEqual([40, []]);
  });

  test("forty conversations whose epoch is over do not hold up one that goes well", () => {
    const driver = new TestDriver();
    const server = new Server();
    for (let n = 0; n < 40; n++) {
      for (let m = 0; m < 3; m++) driver.send(m, idOf(n));
      server.epochs.set(idOf(n), 99);
    }
    for (let n = 0; n < 50; n++) driver.send(n);
    const ids = driver.pending();
    driver.openSocket();
    driver.welcome();
    const begun = driver.now;
    while (driver.pending().length > 0 && driver.now < begun + 1_000) {
      while (server.serve(driver) > 0);
      if (driver.pending().length > 0) driver.pass(10);
    }
    expect(server.taken.get(chat)?.map(({ id }) => id)).toEqual(ids);
    expect(driver.now - begun).toBeLessThan(100);
    for (let n = 0; n < 40; n++) server.epochs.set(idOf(n), driver.epoch);
    for (let n = 0; n < 3_000 && driver.state.outboxSize > 0; n++) {
      server.serve(driver);
      driver.pass(10);
    }
    expect(driver.state.outboxSize).toBe(0);
  });

  test("the wait outlives the connection", () => {
    const driver = live();
    driver.send(1);
    for (let n = 0; n < 6; n++) {
      driver.refuse(driver.pending()[0] ?? "", "epoch_stale");
      if (n < 5) driver.pass(driver.timerMs("retry") ?? 0);
    }
    const wait = driver.timerMs("retry") ?? 0;
    expect(wait).toBe(EPOCH_WAIT_MS * 2 ** 5);
    reconnect(driver);
    driver.pass(wait - 1);
    expect([idsSealed(driver), driver.idsSent]).toEqual([[], []]);
    driver.pass(1);
    expect(driver.idsSent).toEqual(driver.pending());
  });

  test("whoever has left the group by then cannot seal, and does not try again", () => {
    const driver = live();
    driver.send(1);
    driver.refuse(driver.pending()[0] ?? "", "epoch_stale");
    driver.strangers.add(chat);
    driver.forget();
    driver.pass(EPOCH_WAIT_MS);
    expect(idsSealed(driver)).toHaveLength(1);
    driver.pass(PING_INTERVAL_MS);
    expect([idsSealed(driver).length, driver.idsSent]).toEqual([1, []]);
  });

  test("a message that gets its place while it is being sealed anew is gone", () => {
    const driver = live();
    driver.send(1);
    const [id = ""] = driver.pending();
    driver.refuse(id, "epoch_stale");
    driver.storeIsFast = false;
    driver.pass(EPOCH_WAIT_MS);
    driver.sent([id, 1]);
    driver.forget();
    driver.finishWrite();
    driver.finishWrite();
    expect([driver.idsSent, idsSealed(driver), driver.outbox]).toEqual([[], [], []]);
    expect(driver.state.unsealable.size).toBe(0);
  });
});

describe("a new id", () => {
  test("what is sealed under the old one is not used, and what is being sealed behind it is", () => {
    const driver = new TestDriver();
    driver.send(1);
    driver.openSocket();
    driver.welcome({ time: driver.now - 3_600_000 });
    driver.storeIsFast = false;
    const [old = ""] = driver.pending();
    const [body = bodyOf(0)] = bodiesKept(driver);
    driver.send(2);
    driver.refuse(old, "id_from_future");
    const [id = "", second = ""] = driver.pending();
    expect(id).not.toBe(old);
    driver.answer({ batch: driver.state.writing?.number ?? 0 }, [
      { conversation: chat, id: old, body },
      ...driver.landWrite(),
    ]);
    driver.storeIsFast = true;
    driver.finishWrite();
    expect(sealings(driver).map((sealing) => sealing.id)).toEqual([old, id, second]);
    expect(driver.outbox.map((message) => unseal(message.body ?? bodyOf(0)).id)).toEqual([id, second]);
  });

  test("nothing is sealed behind an id that may have to be changed: keys are used in the order of the queue", () => {
    const driver = new TestDriver();
    for (const n of [1, 2, 3]) driver.send(n);
    const [first = ""] = driver.pending();
    driver.openSocket();
    driver.welcome({ time: driver.now - 25_000 });
    expect(idsSealed(driver)).toEqual([first]);
    driver.refuse(first, "id_from_future");
    // Those behind it get new ones too: ids rise as the queue does.
    const [renamed = "", second = "", third = ""] = driver.pending();
    expect([renamed, second, third]).toEqual([renamed, second, third].toSorted());
    expect(idsSealed(driver)).toEqual([first, renamed]);
    driver.sent([renamed, 1]);
    expect(idsSealed(driver)).toEqual([first, renamed, second]);
    driver.pass(25_000);
    driver.sent([second, 2]);
    expect(idsSealed(driver)).toEqual([first, renamed, second, third]);
    expect(driver.idsSent).toEqual([first, renamed, second, third]);
  });

  test("a refusal that comes while the message is being sealed anew changes nothing", () => {
    const driver = live();
    driver.send(1);
    const [id = ""] = driver.pending();
    driver.refuse(id, "epoch_stale");
    driver.storeIsFast = false;
    driver.pass(EPOCH_WAIT_MS);
    for (const code of ["busy", "epoch_stale", "too_large"] as const) driver.refuse(id, code);
    expect(driver.pending()).toEqual([id]);
    driver.forget();
    driver.finishWrite();
    expect(driver.idsSent).toEqual([id]);
  });
});

describe("a conversation in which this device cannot seal", () => {
  const blocked = () => {
    const driver = live();
    driver.strangers.add(chat);
    driver.send(1);
    return driver;
  };

  test("the message is queued and waits; nothing is tried again by itself", () => {
    const driver = blocked();
    expect(driver.emitted("queued")).toHaveLength(1);
    driver.strangers.clear();
    driver.send(2);
    driver.message(1);
    driver.pass(PING_INTERVAL_MS);
    reconnect(driver);
    expect([idsSealed(driver).length, driver.idsSent]).toEqual([0, []]);
    expect(driver.pending()).toHaveLength(2);
  });

  test("goes on once it can, in order", () => {
    const driver = blocked();
    driver.send(2);
    driver.strangers.clear();
    driver.forget();
    driver.do({ type: "sealable", conversation: other });
    expect(idsSealed(driver)).toEqual([]);
    driver.do({ type: "sealable", conversation: chat });
    expect(idsSealed(driver)).toEqual(driver.pending());
    expect(driver.idsSent).toEqual(driver.pending());
    driver.do({ type: "sealable", conversation: chat });
    expect(idsSealed(driver)).toHaveLength(2);
  });

  test("it can while offline: it is sealed once the server has answered hello", () => {
    const driver = blocked();
    driver.loseSocket();
    driver.strangers.clear();
    driver.forget();
    driver.do({ type: "sealable", conversation: chat });
    expect(idsSealed(driver)).toEqual([]);
    driver.openSocket();
    driver.welcome();
    expect(driver.idsSent).toEqual(driver.pending());
  });

  test("it can, but not yet: it waits for the next time", () => {
    const driver = blocked();
    driver.forget();
    driver.do({ type: "sealable", conversation: chat });
    expect(idsSealed(driver)).toHaveLength(1);
    driver.strangers.clear();
    driver.pass(PING_INTERVAL_MS);
    expect(driver.idsSent).toEqual([]);
    driver.do({ type: "sealable", conversation: chat });
    expect(driver.idsSent).toEqual(driver.pending());
  });

  test("that it can is heard while a sealing is under way that fails: it is tried again", () => {
    const driver = live({ storeIsFast: false });
    driver.strangers.add(chat);
    driver.send(1);
    const sealed = driver.landWrite();
    driver.strangers.clear();
    driver.do({ type: "sealable", conversation: chat });
    driver.answer({ batch: driver.state.writing?.number ?? 0 }, sealed);
    expect([sealed, driver.idsSent]).toEqual([[], []]);
    driver.finishWrite();
    expect(driver.idsSent).toEqual(driver.pending());
  });

  test("others are not held up, were it forty before one", () => {
    const driver = new TestDriver();
    for (let n = 0; n < 40; n++) {
      driver.send(n, idOf(n));
      driver.strangers.add(idOf(n));
    }
    driver.send(1);
    driver.openSocket();
    driver.welcome();
    expect(driver.idsSent).toEqual(driver.pending());
    expect(driver.state.unsealable.size).toBe(40);
  });

  test("what is sealed there already goes", () => {
    const driver = live();
    driver.send(1);
    const [first = ""] = driver.pending();
    driver.strangers.add(chat);
    driver.send(2);
    driver.refuse(first, "busy", 100);
    driver.forget();
    driver.pass(100);
    expect(driver.idsSent).toEqual([first]);
  });

  test("what could be sealed of several is kept, and goes in its place", () => {
    const driver = new TestDriver();
    for (const n of [1, 2]) driver.send(n);
    driver.openSocket();
    driver.storeIsFast = false;
    driver.welcome();
    const [first = "", second = ""] = driver.pending();
    const sealed = driver.landWrite().filter(({ id }) => id === second);
    driver.answer({ batch: driver.state.writing?.number ?? 0 }, sealed);
    expect(driver.idsSent).toEqual([]);
    driver.storeIsFast = true;
    driver.forget();
    driver.do({ type: "sealable", conversation: chat });
    expect(idsSealed(driver)).toEqual([first]);
    expect(driver.idsSent).toEqual([first, second]);
  });

  test("after a restart it is tried once more", () => {
    const driver = blocked();
    driver.strangers.clear();
    driver.crash();
    driver.openSocket();
    driver.welcome();
    expect(driver.idsSent).toEqual(driver.pending());
  });
});

describe("a conversation in which nothing can ever be sent", () => {
  const giveUp = (driver: TestDriver) => driver.do({ type: "unsendable", conversation: chat, code: "not_found" });
  const failures = (driver: TestDriver) => driver.emitted("failed").map(({ id, code }) => [id, code]);

  test("what waits there fails, online and offline, and others stay", () => {
    for (const isOnline of [true, false]) {
      const driver = isOnline ? live() : new TestDriver();
      driver.strangers.add(chat).add(other);
      for (const n of [1, 2]) driver.send(n);
      driver.send(3, other);
      const ids = driver.pending();
      giveUp(driver);
      expect(failures(driver)).toEqual(ids.map((id) => [id, "not_found"]));
      expect([driver.pending(), driver.outbox.map(({ conversation }) => conversation)]).toEqual([[], [other]]);
      expect(driver.state.outboxSize).toBe(1);
    }
  });

  test("what is on its way there is the server's to answer, also if its epoch is over for one before it", () => {
    const driver = sending(3);
    const [first = "", second = "", third = ""] = driver.pending();
    driver.refuse(first, "epoch_stale");
    giveUp(driver);
    expect(failures(driver)).toEqual([[first, "not_found"]]);
    driver.sent([second, 1]);
    driver.refuse(third, "epoch_stale");
    driver.pass(RECONNECT_MAX_MS);
    expect(driver.idsSent).toEqual([third]);
  });

  test("what is being sealed there fails, and is not transmitted", () => {
    const driver = live({ storeIsFast: false });
    driver.send(1);
    const [id = ""] = driver.pending();
    giveUp(driver);
    driver.finishWrite();
    driver.finishWrite();
    expect([failures(driver), driver.idsSent, driver.outbox]).toEqual([[[id, "not_found"]], [], []]);
  });

  test("what is written later is tried again", () => {
    const driver = live();
    driver.strangers.add(chat);
    driver.send(1);
    giveUp(driver);
    driver.strangers.clear();
    driver.send(2);
    expect(driver.idsSent).toEqual(driver.pending());
    expect(driver.idsSent).toHaveLength(1);
  });
});
