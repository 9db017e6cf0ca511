import { describe, expect, it } from "vitest";
import type { UserEvent } from "../../durable-objects/user/effects.ts";
import {
  claimBucket,
  KEY_PACKAGES_LOW,
  MAX_KEY_PACKAGES_PER_DEVICE,
  MAX_REQUESTERS_PER_USER,
} from "../../shared/limits.ts";
import type { AskKeysReply, ClaimKeyPackagesReply, PutKeys, PutKeysReply, Suite } from "../../shared/rpc.ts";
import { alice, bob, chat, idOf, laptop, phone, UserDriver } from "./core-driver.ts";

type Offered = PutKeys["packages"][number];
type Claimed = Extract<ClaimKeyPackagesReply, { ok: true }>;

const MONTH_MS = 30 * 24 * 3_600_000;
const FULL_MS = claimBucket.capacity * claimBucket.refillMs;
const accountKey = "the account key";
const another = "another account key";
/** Somebody whom nothing else in these tests is about. */
const stranger = (number: number) => idOf("0C", 1_000 + number);
const startedAt = new UserDriver().now;

/** Asks Bob's object something that it answers at once. */
function ask<Reply>(driver: UserDriver, event: UserEvent): Reply {
  driver.do(event);
  return driver.replies.at(-1) as Reply;
}

/** A key package whose bytes are its number. */
const numbered = (number: number, fields: Partial<Offered> = {}): Offered => ({
  suite: 1,
  ref: `ref ${number}`,
  isLastResort: false,
  notAfter: startedAt + MONTH_MS,
  keyPackage: new Uint8Array([number]),
  ...fields,
});
const several = (count: number, from = 1, fields: Partial<Offered> = {}) =>
  Array.from({ length: count }, (_, index) => numbered(from + index, fields));
const lastResort = (number: number, fields: Partial<Offered> = {}) =>
  numbered(number, { isLastResort: true, ...fields });

const put = (driver: UserDriver, packages: Offered[], { device = phone, key = accountKey, isReset = false } = {}) =>
  ask<PutKeysReply>(driver, { type: "putKeys", call: 1, args: { device, accountKey: key, isReset, packages } });

const claim = (driver: UserDriver, requester = alice, { suite = 1 as Suite, except = [] as string[] } = {}) =>
  ask<ClaimKeyPackagesReply>(driver, { type: "claimKeyPackages", call: 1, args: { requester, suite, except } });

/** What is given out, by device. */
function given(driver: UserDriver, requester = alice, asked = {}): Record<string, number | undefined> {
  const reply = claim(driver, requester, asked) as Claimed;
  expect(reply).toMatchObject({ ok: true, accountKey });
  return Object.fromEntries(reply.packages.map(({ device, keyPackage }) => [device, keyPackage[0]]));
}

/** Claims until nobody may; each requester may ask a few times. */
function drain(driver: UserDriver, times: number): (number | undefined)[] {
  return Array.from({ length: times }, (_, index) => given(driver, stranger(index))[phone]);
}

function left(driver: UserDriver, device = phone) {
  return ask<AskKeysReply>(driver, { type: "askKeys", call: 1, args: { device } }).left;
}

const revoke = (driver: UserDriver, device: string) =>
  driver.do({ type: "revokeDevice", call: 1, args: { device, requestId: "" } });
const refused = (code: string) => expect.objectContaining({ ok: false, code });

describe("key packages", () => {
  it("R15 are given out once, those that expire first before the others, one of each device", () => {
    const driver = new UserDriver(phone, laptop);
    put(driver, [numbered(1, { notAfter: startedAt + 2 * MONTH_MS }), numbered(2)]);
    put(driver, [numbered(3)], { device: laptop });
    expect(given(driver)).toEqual({ [phone]: 2, [laptop]: 3 });
    expect(given(driver)).toEqual({ [phone]: 1 });
    expect(claim(driver)).toMatchObject({ packages: [], missing: [phone, laptop] });
  });

  it("R15 what was given out is gone whatever happens to the object", () => {
    const driver = new UserDriver(phone);
    put(driver, several(3));
    const before = given(driver)[phone];
    driver.crash();
    const after = given(driver)[phone];
    expect([before, after]).toEqual([1, 2]);
  });

  it("R15 an upload whose answer was lost brings nothing back that was given out meanwhile", () => {
    const driver = new UserDriver(phone);
    const packages = several(3);
    put(driver, packages);
    given(driver);
    driver.crash();
    expect(put(driver, packages)).toMatchObject({ ok: true, left: [{ suite: 1, oneTime: 2 }, { suite: 83 }] });
    expect(drain(driver, 3)).toEqual([2, 3, undefined]);
  });

  it("R15 one that is a last resort too, or comes twice in an upload, is there once", () => {
    const driver = new UserDriver(phone);
    put(driver, [numbered(1), numbered(1)]);
    put(driver, [lastResort(1)]);
    expect(left(driver)[0]).toEqual({ suite: 1, oneTime: 1, hasLastResort: false });
    expect(drain(driver, 2)).toEqual([1, undefined]);
  });

  it("give the last resort where there is no other, as often as it takes, and a new one takes its place", () => {
    const driver = new UserDriver(phone);
    put(driver, [lastResort(9), numbered(1)]);
    expect(drain(driver, 3)).toEqual([1, 9, 9]);
    put(driver, [lastResort(10)]);
    expect(drain(driver, 1)).toEqual([10]);
    expect(left(driver)[0]).toEqual({ suite: 1, oneTime: 0, hasLastResort: true });
  });

  it("are of the suite that was asked for", () => {
    const driver = new UserDriver(phone);
    put(driver, [numbered(1), numbered(2, { suite: 83 }), lastResort(3, { suite: 83 })]);
    expect(given(driver, alice, { suite: 83 })).toEqual({ [phone]: 2 });
    expect(given(driver, alice, { suite: 83 })).toEqual({ [phone]: 3 });
    expect(given(driver)).toEqual({ [phone]: 1 });
    expect(claim(driver)).toMatchObject({ missing: [phone] });
  });

  it("are none of a device that needs none", () => {
    const driver = new UserDriver(phone, laptop);
    for (const device of [phone, laptop]) put(driver, several(2, device === phone ? 1 : 11), { device });
    expect(given(driver, alice, { except: [phone] })).toEqual({ [laptop]: 11 });
    expect(claim(driver, alice, { except: [phone, laptop] })).toMatchObject({ packages: [], missing: [] });
    expect(given(driver)).toEqual({ [phone]: 1, [laptop]: 12 });
  });

  it("are given out for as long as they are good", () => {
    const driver = new UserDriver(phone);
    put(driver, [numbered(1), numbered(2, { notAfter: startedAt + 2 * MONTH_MS }), lastResort(3)]);
    driver.now += MONTH_MS;
    expect(left(driver)[0]).toEqual({ suite: 1, oneTime: 1, hasLastResort: false });
    expect(drain(driver, 2)).toEqual([2, undefined]);
  });

  it("have room for so many of each suite, and what was given out or has expired makes some", () => {
    const driver = new UserDriver(phone);
    for (let count = 0; count < MAX_KEY_PACKAGES_PER_DEVICE; count += 20) put(driver, several(20, count));
    expect(put(driver, [numbered(200), lastResort(201)])).toEqual(refused("too_many"));
    expect(left(driver)).toEqual([
      { suite: 1, oneTime: MAX_KEY_PACKAGES_PER_DEVICE, hasLastResort: false },
      { suite: 83, oneTime: 0, hasLastResort: false },
    ]);
    expect(put(driver, [lastResort(201), ...several(5)])).toMatchObject({ ok: true });
    expect(put(driver, several(20, 0, { suite: 83 }))).toMatchObject({ ok: true });
    given(driver);
    expect(put(driver, several(2, 210))).toEqual(refused("too_many"));
    expect(put(driver, [numbered(210)])).toMatchObject({ ok: true });
    driver.now += MONTH_MS;
    const later = { notAfter: driver.now + MONTH_MS };
    expect(put(driver, several(20, 220, later))).toMatchObject({ ok: true, left: [{ oneTime: 20 }, { oneTime: 0 }] });
  });

  it("are nobody's where there is no account key, and of no device that is not theirs", () => {
    const driver = new UserDriver(phone);
    expect(claim(driver)).toEqual({ ok: false, code: "not_found", retry: "never" });
    expect(put(driver, several(1), { device: laptop })).toEqual(refused("not_found"));
    expect(ask(driver, { type: "askKeys", call: 1, args: { device: laptop } })).toEqual({
      accountKey: undefined,
      left: [1, 83].map((suite) => ({ suite, oneTime: 0, hasLastResort: false })),
    });
    expect(claim(new UserDriver())).toEqual({ ok: false, code: "not_found", retry: "never" });
  });

  it("go with their device, and those of the others stay", () => {
    const driver = new UserDriver(phone, laptop);
    put(driver, [numbered(1), lastResort(2)]);
    put(driver, [numbered(11)], { device: laptop });
    revoke(driver, laptop);
    driver.do({ type: "registerDevice", call: 1, args: { device: laptop, name: "", requestId: "again" } });
    expect(left(driver, laptop)[0]).toEqual({ suite: 1, oneTime: 0, hasLastResort: false });
    expect(claim(driver)).toMatchObject({ packages: [{ device: phone }], missing: [laptop] });
  });
});

describe("the account key", () => {
  it("is the first one, and another is refused with what comes with it", () => {
    const driver = new UserDriver(phone, laptop);
    put(driver, several(1));
    expect(put(driver, several(1, 11), { device: laptop, key: another })).toEqual(refused("taken"));
    driver.crash();
    expect(put(driver, several(1, 11), { key: another })).toEqual(refused("taken"));
    expect(given(driver)).toEqual({ [phone]: 1 });
    expect(put(driver, several(1, 11), { device: laptop })).toMatchObject({ ok: true });
  });

  it("gives way to a new one when the person begins anew: all others' key packages go, and their devices say so", () => {
    const driver = new UserDriver(phone, laptop);
    put(driver, [numbered(1), lastResort(2), numbered(3, { suite: 83 })]);
    put(driver, [numbered(11)], { device: laptop });
    driver.connect(phone);
    expect(put(driver, [numbered(12)], { device: laptop, key: another, isReset: true })).toMatchObject({ ok: true });
    expect(driver.of("alert").at(-1)).toMatchObject({ kind: "identity_reset", device: laptop });
    driver.crash();
    expect(claim(driver)).toEqual({
      ok: true,
      accountKey: another,
      packages: [{ device: laptop, keyPackage: new Uint8Array([12]) }],
      missing: [phone],
    });
    expect(put(driver, several(1, 4))).toEqual(refused("taken"));
  });

  it("gives way also where there was no room for more", () => {
    const driver = new UserDriver(phone);
    for (let count = 0; count < MAX_KEY_PACKAGES_PER_DEVICE; count += 20) put(driver, several(20, count));
    expect(put(driver, several(1, 1), { key: another, isReset: true })).toMatchObject({ left: [{ oneTime: 1 }, {}] });
  });

  it("is nobody's any more when the person is being removed", () => {
    const driver = new UserDriver(phone);
    put(driver, [numbered(1), lastResort(2)]);
    driver.do({ type: "removePerson", call: 2, args: { requestId: "" } });
    expect(claim(driver)).toEqual({ ok: false, code: "not_found", retry: "never" });
    expect(put(driver, several(1))).toEqual(refused("not_found"));
  });

  it("is not begun anew by a repetition, nor where there was none", () => {
    const driver = new UserDriver(phone, laptop);
    expect(put(driver, several(2), { isReset: true })).toMatchObject({ ok: true });
    put(driver, several(1, 11), { device: laptop });
    expect(put(driver, several(2), { isReset: true })).toMatchObject({ ok: true });
    expect(given(driver)).toEqual({ [phone]: 1, [laptop]: 11 });
    driver.connect(laptop);
    expect(driver.of("alert").filter(({ kind }) => kind === "identity_reset")).toEqual([]);
  });
});

describe("who claims key packages", () => {
  const use = (driver: UserDriver, times: number, requester = alice) => {
    for (let count = 0; count < times; count++) expect(claim(driver, requester)).toMatchObject({ ok: true });
  };

  it("may so often, and others are not held up by it", () => {
    const driver = new UserDriver(phone);
    put(driver, [...several(20), lastResort(99)]);
    use(driver, claimBucket.capacity);
    driver.crash();
    expect(claim(driver)).toEqual({ ok: false, code: "rate_limited", retry: claimBucket.refillMs });
    expect(given(driver, stranger(1))).toEqual({ [phone]: 99 });
    driver.now += claimBucket.refillMs;
    use(driver, 1);
    expect(claim(driver)).toEqual(refused("rate_limited"));
  });

  it("is not held up with their own devices", () => {
    const driver = new UserDriver(phone);
    put(driver, [lastResort(99)]);
    use(driver, 2 * claimBucket.capacity, bob);
  });

  it("R15 gets nothing beyond that: what is refused uses nothing up", () => {
    const driver = new UserDriver(phone);
    for (let count = 0; count < MAX_KEY_PACKAGES_PER_DEVICE; count += 20) put(driver, several(20, count));
    use(driver, claimBucket.capacity);
    for (let count = 0; count < 10; count++) expect(claim(driver)).toEqual(refused("rate_limited"));
    expect(left(driver)[0]).toMatchObject({ oneTime: MAX_KEY_PACKAGES_PER_DEVICE - claimBucket.capacity });
  });

  it("is remembered until nothing is held against them any more, and not beyond", () => {
    const driver = new UserDriver(phone);
    put(driver, [lastResort(99)]);
    use(driver, claimBucket.capacity);
    driver.now += FULL_MS / 2;
    use(driver, 1, stranger(1));
    driver.now += FULL_MS / 2;
    expect(driver.alarmAt).toBe(driver.now);
    driver.do({ type: "alarm" });
    expect(driver.claimants).toBe(0);
    use(driver, claimBucket.capacity);
    expect(claim(driver)).toEqual(refused("rate_limited"));
    driver.do({ type: "alarm" });
    expect(driver.claimants).toBe(1);
    expect(driver.alarmAt).toBe(driver.now + FULL_MS);
  });

  it("is one of so many who are remembered: who has been quiet longest makes room", () => {
    const driver = new UserDriver(phone);
    put(driver, [lastResort(99)]);
    use(driver, claimBucket.capacity);
    driver.now += 1;
    use(driver, claimBucket.capacity, stranger(0));
    driver.now += 1;
    for (let number = 1; number < MAX_REQUESTERS_PER_USER; number++) use(driver, 1, stranger(number));
    expect(driver.claimants).toBe(MAX_REQUESTERS_PER_USER);
    expect(claim(driver, stranger(0))).toEqual(refused("rate_limited"));
    use(driver, claimBucket.capacity);
    expect(driver.claimants).toBe(MAX_REQUESTERS_PER_USER);
    expect(claim(driver)).toEqual(refused("rate_limited"));
    use(driver, 1, stranger(0));
  });

  it("R14 is forgotten at once when they are removed and had to do with this person", () => {
    const driver = new UserDriver(phone);
    put(driver, [lastResort(99)]);
    use(driver, 1);
    driver.deliver(chat, 1);
    driver.do({ type: "forgetPeer", call: 1, args: { peer: alice, requestId: "" } });
    driver.answer(() => ({}));
    expect(driver.claimants).toBe(0);
  });
});

describe("a device is asked for more key packages", () => {
  const suites = (count: number) => [...several(count), ...several(count, 100, { suite: 83 as Suite })];
  /** Bob's phone with so many of each suite, connected. */
  function connected(count: number): UserDriver {
    const driver = new UserDriver(phone);
    put(driver, suites(count));
    driver.connect(phone);
    return driver;
  }
  const refills = (driver: UserDriver) => driver.of("refill").length;

  it("when a claim leaves it fewer than it should have, of either suite", () => {
    const driver = connected(KEY_PACKAGES_LOW + 1);
    given(driver);
    expect(refills(driver)).toBe(0);
    given(driver);
    expect(refills(driver)).toBe(1);
    given(driver, alice, { suite: 83 });
    expect(refills(driver)).toBe(1);
    given(driver, alice, { suite: 83 });
    expect(refills(driver)).toBe(2);
  });

  it("when it connects with fewer, after the welcome; what has expired counts for nothing", () => {
    const driver = connected(KEY_PACKAGES_LOW);
    expect(refills(driver)).toBe(0);
    driver.crash();
    driver.now += MONTH_MS;
    driver.frames = [];
    driver.connect(phone);
    expect(driver.frames.map(({ type }) => type).slice(0, 2)).toEqual(["welcome", "refill"]);
  });

  it("however many last resorts it has", () => {
    const driver = new UserDriver(phone);
    put(driver, [...suites(KEY_PACKAGES_LOW - 1), lastResort(98), lastResort(99, { suite: 83 })]);
    driver.connect(phone);
    expect(refills(driver)).toBe(1);
  });

  it("when the claim finds nothing at all", () => {
    const driver = connected(0);
    put(driver, several(KEY_PACKAGES_LOW));
    driver.frames = [];
    expect(claim(driver, alice, { suite: 83 })).toMatchObject({ missing: [phone] });
    expect(refills(driver)).toBe(1);
  });

  it("unless it has never uploaded any, or begins with hello only after that", () => {
    const driver = new UserDriver(phone, laptop);
    put(driver, several(1), { device: laptop });
    driver.connect(phone);
    expect(refills(driver)).toBe(0);
    const args = { user: bob, device: laptop, ticket: "t", ticketExpiresAt: driver.now + 1_000, requestId: "" };
    driver.do({ type: "connect", call: 1, args });
    given(driver);
    expect(refills(driver)).toBe(0);
  });

  it("no more once its identity was reset elsewhere: it has none to give", () => {
    const driver = new UserDriver(phone, laptop);
    put(driver, several(1));
    put(driver, several(1, 11), { device: laptop, key: another, isReset: true });
    driver.connect(phone);
    expect(refills(driver)).toBe(0);
  });
});
