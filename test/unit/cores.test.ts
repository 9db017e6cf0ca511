import { describe, expect, it } from "vitest";
import { directConversation } from "../../shared/ids.ts";
import { MAX_TRACKED_PER_SOCKET, SENDS_PER_MINUTE } from "../../shared/limits.ts";
import type { DeliverReply } from "../../shared/rpc.ts";
import { commitBytes } from "../sealed.ts";
import { ConversationDriver } from "./conversation-driver.ts";
import { alice, bob, body, chat, idOf, laptop, pageOf, phone, UserDriver } from "./core-driver.ts";

const peers = (count: number) => Array.from({ length: count }, (_, n) => directConversation(bob, idOf("0C", n + 1)));

/** Was offline for one message in each of these conversations. */
function missed(...conversations: string[]): UserDriver {
  const driver = new UserDriver(phone);
  for (const conversation of conversations) {
    driver.deliver(conversation, 1);
    driver.answer(() => null);
  }
  return driver;
}

describe("R9 what wakes a device that is away", () => {
  const delivered = (driver: UserDriver, seq: number, user: string, bytes: Uint8Array) => {
    const entry = { seq, id: idOf("00", seq), user, device: idOf("0D", 9), at: 0, body: bytes };
    driver.do({ type: "deliver", call: 1, args: { conversation: chat, entries: [entry], requestId: "" } });
  };
  const stateOf = (driver: UserDriver) => (driver.replies.at(-1) as DeliverReply).state;

  it("is no commit, whoever makes it, but what is said next", () => {
    const driver = new UserDriver(phone);
    for (const [index, user] of [bob, alice].entries()) {
      delivered(driver, index + 1, user, commitBytes("anything"));
      expect(driver.pushes).toBe(0);
      // What is said next has to come here, although the device is marked.
      expect(stateOf(driver)).toBe("live");
    }
    delivered(driver, 3, alice, body);
    expect(driver.pushes).toBe(1);
    driver.answer(() => null);
    expect(stateOf(driver)).toBe("dormant");
    driver.connect(phone);
    expect(driver.reads).toEqual([0]);
  });

  it("is no commit that a connection took with it either", () => {
    for (const [bytes, pushes] of [
      [commitBytes("anything"), 0],
      [body, 1],
    ] as const) {
      const driver = new UserDriver(phone);
      const socket = driver.connect(phone);
      delivered(driver, 1, alice, bytes);
      driver.close(socket);
      driver.do({ type: "alarm" });
      expect(driver.pushes).toBe(pushes);
      driver.connect(phone);
      expect(driver.reads).toEqual([0]);
    }
  });
});

describe("a person's object", () => {
  it("R14 says that it is nobody's to a conversation of which no removal can know", () => {
    const entry = { seq: 1, id: idOf("00", 1), user: alice, device: idOf("0D", 9), at: 0, body };
    const deliver = (driver: UserDriver) => {
      driver.do({ type: "deliver", call: 1, args: { conversation: idOf("0G", 1), entries: [entry], requestId: "" } });
      return driver.replies.at(-1);
    };
    expect(deliver(new UserDriver())).toMatchObject({ state: "gone" });
    const driver = new UserDriver(phone);
    deliver(driver);
    driver.do({ type: "removePerson", call: 2, args: { requestId: "" } });
    expect(deliver(driver)).toMatchObject({ state: "dormant" });
  });

  it("R8 brings a device up to date that missed something in more conversations than a socket can remember", () => {
    const conversations = peers(150);
    const driver = missed(...conversations);
    const socket = driver.connect(phone);
    for (let round = 0; round < 200 && driver.of("drained").length === 0; round++) {
      const reads = driver.asked.length;
      driver.answer(() => pageOf(0, 1));
      const unacked = driver.of("message").slice(-reads);
      // Its acks are late: what is read meanwhile stays within what the socket can remember.
      for (const { conversation, seq } of unacked) driver.up(socket, { type: "ack", conversation, seq });
    }
    expect(driver.closed).toEqual([]);
    expect(new Set(driver.of("message").map(({ conversation }) => conversation)).size).toBe(150);
    expect(driver.of("drained")).toEqual([{ type: "drained", request: 0 }]);
  });

  it("R8 reads no more than the socket can remember while the device acks nothing", () => {
    const driver = missed(...peers(150));
    driver.connect(phone);
    for (let round = 0; round < 50; round++) driver.answer(() => pageOf(0, 1));
    expect(driver.closed).toEqual([]);
    expect(driver.of("message").length).toBeLessThan(MAX_TRACKED_PER_SOCKET);
  });

  it("R8 a catch-up longer than what may be unacked goes on where the last connection had got to", () => {
    const driver = missed(chat);
    const head = 3_000;
    let after = 0;
    for (let attempt = 0; attempt < 3; attempt++) {
      const socket = driver.connect(phone);
      expect(driver.reads).toEqual([after]);
      for (let page = 0; page < 10; page++) {
        driver.answer(() => pageOf(after, head));
        after += 64;
        driver.up(socket, { type: "ack", conversation: chat, seq: after });
        driver.deliver(chat, head + 1 + page);
      }
      expect(driver.closed).toEqual([]);
      driver.asked = [];
      driver.close(socket);
    }
  });

  it("gives nobody more sends for connecting anew", () => {
    const driver = new UserDriver(phone);
    driver.deliver(chat, 1);
    driver.answer(() => null);
    for (let connection = 0; connection < 3; connection++) {
      const socket = driver.connect(phone);
      for (let n = 0; n < SENDS_PER_MINUTE; n++) {
        driver.up(socket, { type: "send", id: idOf("00", connection * 1_000 + n), conversation: chat }, body);
      }
      driver.close(socket);
    }
    // After the first refusal of each connection what comes behind it is held back.
    expect(driver.of("error").map(({ code }) => code)).toContain("rate_limited");
    expect(driver.of("error")).toHaveLength(2 * SENDS_PER_MINUTE);
  });

  it("R7 R9 what was acked after a sleep is not dirty any more, and the next message asks for its own push", () => {
    const driver = missed(chat);
    const socket = driver.connect(phone);
    driver.answer(() => pageOf(0, 1));
    expect(driver.of("drained")).toHaveLength(1);
    driver.hibernate();
    driver.up(socket, { type: "ack", conversation: chat, seq: 1 });
    driver.answer(() => ({ everyDevice: true }));
    driver.close(socket);
    driver.deliver(chat, 2);
    expect(driver.pushes).toBe(1);
  });

  it("R9 a push paid for an earlier absence does not pay for a later one", () => {
    const driver = missed(chat);
    driver.close(driver.connect(phone));
    driver.asked = [];
    driver.do({ type: "alarm" });
    const [paying] = driver.asked.splice(0);
    driver.close(driver.connect(phone));
    driver.asked = [];
    driver.do({ type: "result", token: paying!.token, result: { ok: true, value: null } });
    driver.do({ type: "alarm" });
    expect(driver.pushes).toBe(1);
  });

  it("R1 devices that are here do not wait for a queue that is down", () => {
    const driver = new UserDriver(phone, laptop);
    driver.connect(phone);
    driver.deliver(chat, 1);
    expect(driver.of("message").map(({ seq }) => seq)).toEqual([1]);
    for (let attempt = 0; attempt < 5; attempt++) driver.answer(() => undefined);
    expect(driver.failed).toBe(1);
  });

  it("counts a comparison that names many strangers' conversations as one offence", () => {
    const driver = new UserDriver(phone);
    const socket = driver.connect(phone);
    const cursors = peers(100).map((conversation): [string, number, number] => [conversation, 0, 0]);
    driver.up(socket, { type: "sync", request: 1, cursors, scope: "all", more: false });
    expect(driver.closed).toEqual([]);
    expect(driver.of("error")).toHaveLength(100);
  });
});

describe("a conversation", () => {
  it("R3 brings a message that comes again after a sleep to the others once more, and nothing else", () => {
    const driver = new ConversationDriver(chat);
    const device = { user: alice, device: idOf("0D", 3) };
    driver.found(device, { user: bob, device: phone });
    const ids = Array.from({ length: 100 }, () => driver.newId());
    for (const id of ids) driver.append(device, id, 1, id);
    for (const repeat of [1, 2]) {
      driver.evict();
      const [id = ""] = ids.slice(6);
      for (const _ of [1, 2]) expect(driver.append(device, id, 1, id)).toMatchObject({ ok: true, seq: 8 });
      const again = { user: bob, seqs: [8] };
      expect(driver.deliveries, `sleep ${repeat}`).toEqual([again, again]);
    }
  });
});
