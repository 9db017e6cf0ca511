import { describe, expect, it } from "vitest";
import { additionBucket, MAX_REQUESTERS_PER_USER } from "../../shared/limits.ts";
import type { AskAdditionReply } from "../../shared/rpc.ts";
import { alice, bob, chat, idOf, phone, UserDriver } from "./core-driver.ts";

const FULL_MS = additionBucket.capacity * additionBucket.refillMs;
/** Somebody whom nothing else in these tests is about. */
const stranger = (number: number) => idOf("0C", 1_000 + number);

/** Asks Bob's object whether he may be brought into a group by this commit. */
function add(driver: UserDriver, commit: number, by = alice): AskAdditionReply {
  driver.do({ type: "askAddition", call: 1, args: { by, commit: idOf("00", commit) } });
  return driver.replies.at(-1) as AskAdditionReply;
}

function addOften(driver: UserDriver, times: number, from = 1, by = alice): void {
  for (let count = 0; count < times; count++) expect(add(driver, from + count, by)).toEqual({ ok: true });
}

const tooOften = (retry: number) => ({ ok: false, code: "rate_limited", retry });

describe("R16 who brings somebody into groups", () => {
  it("may so often, whatever crashes, and others are not held up by it", () => {
    const driver = new UserDriver(phone);
    addOften(driver, additionBucket.capacity);
    driver.crash();
    expect(add(driver, 100)).toEqual(tooOften(additionBucket.refillMs));
    expect(add(driver, 100, stranger(1))).toEqual({ ok: true });
    driver.now += additionBucket.refillMs;
    expect(add(driver, 100)).toEqual({ ok: true });
    expect(add(driver, 101)).toEqual(tooOften(additionBucket.refillMs));
  });

  it("does not pay again for a commit that comes again, and is not held up with it", () => {
    const driver = new UserDriver(phone);
    addOften(driver, additionBucket.capacity);
    for (let count = 0; count < 10; count++) {
      driver.crash();
      expect(add(driver, additionBucket.capacity)).toEqual({ ok: true });
    }
    driver.now += additionBucket.refillMs;
    expect(add(driver, 100)).toEqual({ ok: true });
  });

  it("is not held up with themselves", () => {
    const driver = new UserDriver(phone);
    addOften(driver, 2 * additionBucket.capacity, 1, bob);
    expect(driver.adders).toBe(0);
  });

  it("R14 finds nobody who does not exist, and nothing is kept there", () => {
    const driver = new UserDriver();
    expect(add(driver, 1)).toEqual({ ok: false, code: "not_found", retry: "never" });
    driver.do({ type: "registerDevice", call: 1, args: { device: phone, name: "", requestId: "" } });
    driver.do({ type: "removePerson", call: 1, args: { requestId: "" } });
    expect(add(driver, 1)).toMatchObject({ ok: false, code: "not_found" });
    expect(driver.adders).toBe(0);
  });

  it("is remembered until nothing is held against them any more, and is one of so many", () => {
    const driver = new UserDriver(phone);
    addOften(driver, additionBucket.capacity);
    driver.now += 1;
    for (let number = 1; number <= MAX_REQUESTERS_PER_USER; number++) addOften(driver, 1, 1, stranger(number));
    expect(driver.adders).toBe(MAX_REQUESTERS_PER_USER);
    driver.now += FULL_MS;
    driver.do({ type: "alarm" });
    expect(driver.adders).toBe(0);
  });

  it("R14 is forgotten at once when they are removed and had to do with this person", () => {
    const driver = new UserDriver(phone);
    addOften(driver, 1);
    driver.deliver(chat, 1);
    driver.do({ type: "forgetPeer", call: 1, args: { peer: alice, requestId: "" } });
    driver.answer(() => ({}));
    expect(driver.adders).toBe(0);
  });
});
