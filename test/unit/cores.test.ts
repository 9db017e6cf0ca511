import { describe, expect, it } from "vitest";
import { directConversation } from "../../shared/ids.ts";
import { MAX_TRACKED_PER_SOCKET, SENDS_PER_MINUTE } from "../../shared/limits.ts";
import { bob, body, ConversationDriver, chat, idOf, laptop, pageOf, phone, UserDriver } from "./core-driver.ts";

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

describe("a person's object", () => {
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
    const driver = new ConversationDriver();
    for (let number = 1; number <= 100; number++) driver.append(number);
    for (const repeat of [1, 2]) {
      driver.evict();
      driver.append(7);
      driver.append(7);
      expect(driver.delivered, `sleep ${repeat}`).toEqual([[7], [7]]);
    }
    expect(driver.replies.at(-1)).toMatchObject({ results: [{ ok: true, seq: 7 }] });
  });
});
