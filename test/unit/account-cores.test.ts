import { describe, expect, it } from "vitest";
import type { UserEvent } from "../../durable-objects/user/effects.ts";
import { directConversation } from "../../shared/ids.ts";
import {
  IDLE_REMOVAL_MS,
  IDLE_WARNING_MS,
  MAX_ALERTS_PER_DEVICE,
  MAX_PARALLEL_REMOVALS,
  MAX_PARALLEL_TELLINGS,
  PEER_RETRY_MS,
  PIN_DECAY_MS,
  personBuckets,
  REFRESH_GRACE_MS,
} from "../../shared/limits.ts";
import type { RegisterDeviceReply, SessionRef } from "../../shared/rpc.ts";
import { alice, bob, body, chat, idOf, laptop, pageOf, phone, UserDriver } from "./core-driver.ts";

type Ask = UserEvent extends infer Event
  ? Event extends { type: string; call: number }
    ? Omit<Event, "call">
    : never
  : never;

/** Asks Bob's object something that it answers at once. */
function ask(driver: UserDriver, event: Ask): unknown {
  driver.do({ call: 1, ...event } as UserEvent);
  return driver.replies.at(-1);
}

let requests = 0;

function register(driver: UserDriver, device: string, revokeOthers = false): RegisterDeviceReply {
  const args = { device, name: device, revokeOthers, requestId: `request ${++requests}` };
  return ask(driver, { type: "registerDevice", args }) as RegisterDeviceReply;
}

function signedIn(driver: UserDriver, device = phone): SessionRef {
  const reply = register(driver, device);
  if (!reply.ok) throw new Error(reply.code);
  return reply.session;
}

const refresh = (driver: UserDriver, session: SessionRef, { connects = false, attempt = "" } = {}) =>
  ask(driver, { type: "refresh", args: { device: phone, session, connects, ...(attempt && { attempt }) } });
const next = ({ family, generation }: SessionRef, steps = 1): SessionRef => ({
  family,
  generation: generation + steps,
});
const refused = { ok: false, code: "unauthenticated", retry: "never" };
const setPeer = (driver: UserDriver, change: "accept" | "block" | "unblock") => {
  driver.do({ type: "setPeer", call: 1, args: { peer: alice, change, requestId: "" } });
  for (let step = 0; step < 2; step++) driver.answer(() => ({ isHere: true }));
};
const asksOf = (driver: UserDriver, method: string) =>
  driver.asked.filter(({ request }) => "method" in request && request.method === method);

describe("a session", () => {
  it("R13 rotates: each generation is good once", () => {
    const driver = new UserDriver();
    const first = signedIn(driver);
    expect(refresh(driver, first)).toEqual({ ok: true, session: next(first) });
    expect(refresh(driver, next(first))).toEqual({ ok: true, session: next(first, 2) });
  });

  it("R13 a lost answer is given again for a moment, however often it is asked for", () => {
    const driver = new UserDriver();
    const first = signedIn(driver);
    for (let asked = 0; asked < 50; asked++) expect(refresh(driver, first)).toEqual({ ok: true, session: next(first) });
    driver.now += REFRESH_GRACE_MS;
    expect(refresh(driver, first)).toEqual({ ok: true, session: next(first) });
  });

  it.each([
    ["the last one, after the grace", 1, REFRESH_GRACE_MS + 1],
    ["one before the last, at once", 2, 0],
  ])("R13 reuse of %s ends the family and closes its socket", (_, steps, passedMs) => {
    const driver = new UserDriver();
    const first = signedIn(driver);
    for (let step = 0; step < steps; step++) refresh(driver, next(first, step));
    driver.connect(phone);
    driver.now += passedMs;
    expect(refresh(driver, first)).toEqual(refused);
    expect(driver.closed).toEqual(["signed_out"]);
    expect(refresh(driver, next(first, steps))).toEqual(refused);
    const admit = { type: "admit", args: { device: phone, family: first.family, bucket: "account", cost: 1 } } as const;
    expect(ask(driver, admit)).toEqual(refused);
    expect(() => driver.connect(phone)).toThrow("signed_out");
    signedIn(driver);
    expect(ask(driver, admit), "a token of the former session").toEqual(refused);
  });

  it("R13 a rotation that rides with a connection is durable with it", () => {
    const driver = new UserDriver();
    const first = signedIn(driver);
    refresh(driver, first, { connects: true });
    driver.connect(phone);
    driver.hibernate();
    driver.now += REFRESH_GRACE_MS + 1;
    expect(refresh(driver, first)).toEqual(refused);
  });

  it("R13 an attempt that the device knows by name is answered again however late, and nobody else’s is", () => {
    const driver = new UserDriver();
    const first = signedIn(driver);
    refresh(driver, first, { attempt: "mine" });
    driver.now += 10 * REFRESH_GRACE_MS;
    driver.hibernate();
    expect(refresh(driver, first, { attempt: "mine" })).toEqual({ ok: true, session: next(first) });
    expect(refresh(driver, first, { attempt: "a thief’s" })).toEqual(refused);
  });

  it("goes round so often and no more", () => {
    const driver = new UserDriver();
    const first = signedIn(driver);
    const { capacity } = personBuckets.refresh;
    for (let round = 0; round < capacity; round++)
      expect(refresh(driver, next(first, round))).toMatchObject({ ok: true });
    expect(refresh(driver, next(first, capacity))).toMatchObject({ ok: false, code: "rate_limited" });
  });

  it("R13 what was given out and never written is taken all the same, and then what came before is not", () => {
    const driver = new UserDriver();
    const first = signedIn(driver);
    refresh(driver, first, { connects: true });
    driver.hibernate();
    expect(refresh(driver, next(first))).toEqual({ ok: true, session: next(first, 2) });
    driver.now += REFRESH_GRACE_MS + 1;
    expect(refresh(driver, first)).toEqual(refused);
  });

  it("R13 signing in again begins a new family, and the tokens of the old one are good for nothing", () => {
    const driver = new UserDriver();
    const first = signedIn(driver);
    const second = signedIn(driver);
    expect(refresh(driver, first)).toEqual(refused);
    expect(refresh(driver, second)).toEqual({ ok: true, session: next(second) });
  });

  it("R13 the same sign-in again, whose answer was lost, begins nothing", () => {
    const driver = new UserDriver();
    const args = { device: phone, name: "phone", requestId: "sign-in" };
    const first = ask(driver, { type: "registerDevice", args });
    driver.connect(phone);
    expect(ask(driver, { type: "registerDevice", args })).toEqual(first);
    expect(driver.closed).toEqual([]);
  });
});

describe("a sign-in", () => {
  const assess = (driver: UserDriver, verifier?: string, revokeOthers = false) =>
    ask(driver, { type: "assessSignIn", args: { revokeOthers, ...(verifier && { verifier }) } });
  const withPin = () => {
    const driver = new UserDriver(phone);
    ask(driver, { type: "setPin", args: { verifier: "right" } });
    return driver;
  };

  it("goes on without a PIN where there is none", () => {
    expect(assess(new UserDriver(phone))).toEqual({ ok: true });
  });

  it("meets the PIN, and only the right one opens", () => {
    const driver = withPin();
    const refusal = { ok: false, retry: "never", canReset: false };
    expect(assess(driver)).toEqual({ ...refusal, code: "pin_required" });
    expect(assess(driver, "wrong")).toEqual({ ...refusal, code: "pin_wrong" });
    expect(assess(driver, "right")).toEqual({ ok: true });
  });

  it("counts guesses of the PIN, right ones too, and outlives a nap with the count", () => {
    const driver = withPin();
    for (let guess = 0; guess < personBuckets.pin.capacity; guess++) assess(driver, "wrong");
    driver.hibernate();
    expect(assess(driver, "right")).toMatchObject({ ok: false, code: "rate_limited" });
    driver.now += personBuckets.pin.refillMs;
    expect(assess(driver, "right")).toEqual({ ok: true });
  });

  it("may give the account up once nobody was seen for seven days, and not before", () => {
    const driver = withPin();
    const socket = driver.connect(phone);
    driver.now += 30 * PIN_DECAY_MS;
    expect(assess(driver)).toMatchObject({ canReset: false });
    driver.close(socket);
    driver.now += PIN_DECAY_MS - 1;
    expect(assess(driver)).toMatchObject({ canReset: false });
    driver.now += 1;
    expect(assess(driver)).toMatchObject({ code: "pin_required", canReset: true });
  });

  it("counts as seen whoever was seen on a device that is gone by now", () => {
    const driver = withPin();
    driver.now += PIN_DECAY_MS;
    driver.close(driver.connect(phone));
    ask(driver, { type: "revokeDevice", args: { device: phone, requestId: "" } });
    driver.now += PIN_DECAY_MS - 1;
    expect(assess(driver)).toMatchObject({ canReset: false });
  });

  it("counts as seen until it is known that nobody is there, also over a crash and after a silence", () => {
    const driver = withPin();
    driver.connect(phone);
    driver.now += 2 * PIN_DECAY_MS;
    driver.crash();
    expect(assess(driver)).toMatchObject({ canReset: false });
    const silent = withPin();
    silent.connect(phone);
    silent.lastHeardAt = silent.now;
    silent.now += 30 * PIN_DECAY_MS;
    expect(ask(silent, { type: "listDevices" })).toMatchObject([{ isOnline: false, lastSeenAt: silent.lastHeardAt }]);
  });

  it("counts as seen whoever registered a device, also if that never connected and is gone", () => {
    const driver = withPin();
    ask(driver, { type: "revokeDevice", args: { device: phone, requestId: "" } });
    expect(assess(driver)).toMatchObject({ canReset: false });
  });

  it("R14 brings nobody back", () => {
    const args = { device: phone, name: "", requestId: "late", mustExist: true };
    expect(ask(new UserDriver(), { type: "registerDevice", args })).toEqual({ ok: false, code: "not_found" });
  });

  it("finds no room with five devices, unless the others go", () => {
    const devices = [1, 2, 3, 4, 5].map((number) => idOf("0D", number));
    const driver = new UserDriver(...devices);
    expect(assess(driver)).toMatchObject({ ok: false, code: "too_many_devices" });
    expect(assess(driver, undefined, true)).toEqual({ ok: true });
    driver.connect(phone);
    expect(register(driver, idOf("0D", 6), true).ok).toBe(true);
    expect(driver.closed).toEqual(["revoked"]);
    expect(ask(driver, { type: "listDevices" })).toMatchObject([{ device: idOf("0D", 6) }]);
  });
});

describe("an alert", () => {
  it("is shown on every connected device but the one it is about", () => {
    const driver = new UserDriver(phone);
    driver.connect(phone);
    register(driver, laptop);
    expect(driver.of("alert")).toMatchObject([{ kind: "device_added", device: laptop, alert: 1 }]);
    driver.connect(laptop);
    expect(driver.of("alert")).toHaveLength(1);
  });

  it("waits for a device that is away, wakes it by a push, and comes again until it is noted", () => {
    const driver = new UserDriver(phone);
    ask(driver, { type: "raiseAlert", args: { kind: "code_requested", requestId: "" } });
    driver.do({ type: "alarm" });
    expect(driver.pushes).toBe(1);
    for (const times of [1, 2]) {
      const socket = driver.connect(phone);
      expect(driver.of("alert")).toHaveLength(times);
      if (times === 2) driver.up(socket, { type: "noted", alert: 1 });
      driver.close(socket);
    }
    driver.connect(phone);
    expect(driver.of("alert")).toHaveLength(2);
  });

  it("calls a device once, also one that never notes anything", () => {
    const driver = new UserDriver(phone);
    const shown = driver.connect(phone);
    ask(driver, { type: "raiseAlert", args: { kind: "code_requested", requestId: "" } });
    driver.close(shown);
    driver.do({ type: "alarm" });
    driver.answer(() => null);
    const pushesAfter: number[] = [];
    for (let round = 0; round < 3; round++) {
      driver.close(driver.connect(phone));
      driver.do({ type: "alarm" });
      driver.answer(() => null);
      pushesAfter.push(driver.everAsked.filter(({ request }) => request.to === "push").length);
    }
    expect(pushesAfter).toEqual([1, 1, 1]);
  });

  it("keeps so many and no more", () => {
    const driver = new UserDriver(phone);
    for (let count = 0; count < MAX_ALERTS_PER_DEVICE + 5; count++) {
      ask(driver, { type: "raiseAlert", args: { kind: "code_requested", requestId: "" } });
    }
    driver.connect(phone);
    expect(driver.of("alert").map(({ alert }) => alert)).toEqual(
      Array.from({ length: MAX_ALERTS_PER_DEVICE }, (_, index) => index + 6),
    );
  });
});

describe("a stranger", () => {
  /** Alice has written, and Bob's phone has it. */
  function written(): { driver: UserDriver; socket: ReturnType<UserDriver["connect"]> } {
    const driver = new UserDriver(phone);
    const socket = driver.connect(phone);
    driver.deliver(chat, 1);
    driver.asked = [];
    return { driver, socket };
  }

  it("R12 is told nothing of what becomes of their messages until they are accepted, and then all", () => {
    const { driver, socket } = written();
    driver.up(socket, { type: "read", conversation: chat, seq: 1 });
    expect(driver.asked).toEqual([]);
    expect(ask(driver, { type: "overview" })).toMatchObject({ requests: [alice] });
    driver.do({ type: "setPeer", call: 1, args: { peer: alice, change: "accept", requestId: "" } });
    expect(asksOf(driver, "notifyReceipt")).toMatchObject([{ request: { args: { delivered: 1, read: 1 } } }]);
    driver.answer(() => ({ isHere: true, everyDevice: true }));
    expect(ask(driver, { type: "overview" })).toMatchObject({ requests: [] });
  });

  it("R12 is told on being accepted what an earlier connection has shown", () => {
    const { driver, socket } = written();
    driver.up(socket, { type: "read", conversation: chat, seq: 1 });
    driver.close(socket);
    driver.hibernate();
    driver.connect(phone);
    driver.asked = [];
    driver.do({ type: "setPeer", call: 1, args: { peer: alice, change: "accept", requestId: "" } });
    expect(asksOf(driver, "notifyReceipt")).toMatchObject([{ request: { args: { delivered: 1, read: 1 } } }]);
  });

  it("R12 is accepted by an answer", () => {
    const { driver, socket } = written();
    driver.up(socket, { type: "ack", conversation: chat, seq: 1 });
    const id = idOf("00", 9);
    driver.up(socket, { type: "send", id, conversation: chat }, body);
    expect(asksOf(driver, "notifyReceipt")).toHaveLength(0);
    driver.answer(() => ({ results: [{ ok: true, id, seq: 2, at: 0 }] }));
    expect(asksOf(driver, "notifyReceipt")).toHaveLength(1);
  });

  it("R12 does not reach the conversation's books either", () => {
    const { driver, socket } = written();
    driver.up(socket, { type: "ack", conversation: chat, seq: 1 });
    driver.deliver(chat, 2);
    expect(driver.replies.at(-1)).toMatchObject({ watermark: { delivered: 0, read: 0, kept: 0 } });
  });

  it("R12 neither sees presence nor typing, nor is seen typing", () => {
    const { driver, socket } = written();
    expect(ask(driver, { type: "askPresence", args: { viewer: alice } })).toEqual({ isHidden: true });
    driver.up(socket, { type: "typing", conversation: chat });
    expect(driver.asked).toEqual([]);
    ask(driver, { type: "notifyTyping", args: { conversation: chat, user: alice } });
    expect(driver.of("typing")).toEqual([]);
    setPeer(driver, "accept");
    expect(ask(driver, { type: "askPresence", args: { viewer: alice } })).toMatchObject({
      isHidden: false,
      isOnline: true,
    });
    ask(driver, { type: "notifyTyping", args: { conversation: chat, user: alice } });
    expect(driver.of("typing")).toHaveLength(1);
  });
});

describe("whoever writes to people for the first time", () => {
  it("reaches so many of them, and has to wait before the next", () => {
    const driver = new UserDriver(phone);
    const socket = driver.connect(phone);
    const { capacity } = personBuckets.first_contact;
    const writeTo = (number: number) => {
      driver.now += 1_000;
      const conversation = directConversation(bob, idOf("0C", number));
      driver.up(socket, { type: "send", id: idOf("00", number), conversation }, body);
      driver.answer((request) => ("method" in request && request.method === "isRegistered" ? true : undefined));
      driver.asked = [];
    };
    for (let number = 1; number <= capacity; number++) writeTo(number);
    expect(driver.of("error").filter(({ code }) => code === "rate_limited")).toEqual([]);
    writeTo(capacity + 1);
    expect(driver.of("error").at(-1)).toMatchObject({ code: "rate_limited", retry: expect.any(Number) });
  });
});

describe("somebody blocked", () => {
  const change = (driver: UserDriver, what: "block" | "unblock") =>
    driver.do({ type: "setPeer", call: 1, args: { peer: alice, change: what, requestId: "" } });
  const isHere = () => ({ isHere: true });

  it("R12 learns nothing, and is not written to", () => {
    const driver = new UserDriver(phone);
    const socket = driver.connect(phone);
    driver.deliver(chat, 1);
    setPeer(driver, "accept");
    change(driver, "block");
    driver.answer(isHere);
    expect(asksOf(driver, "setBlock")).toMatchObject([{ request: { args: { blocked: true, version: 1 } } }]);
    driver.answer(isHere);
    driver.up(socket, { type: "read", conversation: chat, seq: 1 });
    expect(asksOf(driver, "notifyReceipt")).toEqual([]);
    driver.up(socket, { type: "send", id: idOf("00", 9), conversation: chat }, body);
    expect(driver.of("error")).toMatchObject([{ code: "blocked", id: idOf("00", 9) }]);
    expect(ask(driver, { type: "askPresence", args: { viewer: alice } })).toEqual({ isHidden: true });
  });

  it("R12 R8 stays so while the conversation cannot be told, and an alarm tells it", () => {
    const driver = new UserDriver(phone);
    change(driver, "block");
    for (let attempt = 0; attempt < 4; attempt++) driver.answer(() => undefined);
    expect(driver.failed).toBe(1);
    expect(ask(driver, { type: "overview" })).toMatchObject({ blocked: [alice] });
    driver.hibernate();
    driver.do({ type: "alarm" });
    driver.answer(isHere);
    expect(asksOf(driver, "setBlock")).toHaveLength(1);
  });

  it("R8 R12 has an alarm from the start: a crash before anybody was told is made good", () => {
    const driver = new UserDriver(phone);
    change(driver, "block");
    driver.crash();
    driver.asked = [];
    for (const round of [1, 2]) {
      expect((driver.alarmAt ?? Infinity) - driver.now, `round ${round}`).toBeLessThanOrEqual(PEER_RETRY_MS);
      driver.do({ type: "alarm" });
      expect(asksOf(driver, "notePeer")).toHaveLength(1);
      driver.crash();
      driver.asked = [];
    }
  });

  it("R8 R12 everybody is told in the end, although the first of them cannot be reached", () => {
    const driver = new UserDriver(phone);
    const others = Array.from({ length: 3 * MAX_PARALLEL_TELLINGS }, (_, index) => idOf("0C", index + 1));
    for (const peer of others) {
      driver.do({ type: "setPeer", call: 1, args: { peer, change: "block", requestId: "" } });
    }
    for (let attempt = 0; attempt < 4; attempt++) driver.answer(() => undefined);
    const asked = new Set<string>();
    for (let alarm = 0; alarm < others.length; alarm++) {
      driver.crash();
      driver.asked = [];
      driver.now += PEER_RETRY_MS;
      driver.do({ type: "alarm" });
      expect(asksOf(driver, "notePeer").length).toBeLessThanOrEqual(MAX_PARALLEL_TELLINGS);
      for (const { request } of asksOf(driver, "notePeer")) if ("id" in request) asked.add(request.id);
    }
    expect(asked).toEqual(new Set(others));
  });

  it("R12 is told about in the order in which the person decided", () => {
    const driver = new UserDriver(phone);
    change(driver, "block");
    change(driver, "unblock");
    for (let step = 0; step < 8; step++) driver.answer(isHere);
    const versions = driver.everAsked.flatMap(({ request }) =>
      "method" in request && request.method === "setBlock" ? [[request.args.version, request.args.blocked]] : [],
    );
    expect(versions.at(-1)).toEqual([2, false]);
    expect(ask(driver, { type: "overview" })).toMatchObject({ blocked: [] });
  });

  it("R14 who is removed at the same moment is not kept, here or in the conversation", () => {
    const driver = new UserDriver(phone);
    change(driver, "block");
    driver.answer(() => ({ isHere: false }));
    expect(driver.replies.at(-1)).toEqual({ ok: true });
    expect(asksOf(driver, "setBlock")).toEqual([]);
    expect(ask(driver, { type: "overview" })).toMatchObject({ blocked: [] });
  });
});

describe("an account where nobody is seen", () => {
  it("is warned, then removed; whoever comes back in time keeps it", () => {
    const driver = new UserDriver(phone);
    const began = driver.now;
    driver.now = began + IDLE_WARNING_MS;
    driver.do({ type: "alarm" });
    driver.close(driver.connect(phone));
    expect(driver.of("alert")).toMatchObject([{ kind: "account_idle" }]);
    driver.now = began + IDLE_REMOVAL_MS;
    driver.do({ type: "alarm" });
    expect(driver.asked.some(({ request }) => request.to === "records")).toBe(false);

    driver.now += IDLE_WARNING_MS;
    driver.do({ type: "alarm" });
    driver.asked = [];
    driver.now += IDLE_REMOVAL_MS - IDLE_WARNING_MS;
    driver.do({ type: "alarm" });
    expect(driver.asked.some(({ request }) => request.to === "records")).toBe(true);
  });
});

describe("an account of somebody who was connected for a year", () => {
  it("is not removed before the days of grace, whatever crashes", () => {
    const driver = new UserDriver(phone);
    driver.connect(phone);
    driver.now += 2 * IDLE_REMOVAL_MS;
    driver.crash();
    for (let alarm = 0; alarm < 3; alarm++) driver.do({ type: "alarm" });
    expect(driver.asked.some(({ request }) => request.to === "records")).toBe(false);
    driver.now += IDLE_WARNING_MS;
    for (let alarm = 0; alarm < 3; alarm++) driver.do({ type: "alarm" });
    expect(driver.asked.some(({ request }) => request.to === "records")).toBe(false);
    driver.now += IDLE_REMOVAL_MS - IDLE_WARNING_MS;
    driver.do({ type: "alarm" });
    expect(driver.asked.some(({ request }) => request.to === "records")).toBe(true);
  });
});

describe("a removal", () => {
  it("R14 takes devices at once, then records, conversations and what others keep, and at last itself", () => {
    const driver = new UserDriver(phone);
    driver.connect(phone);
    driver.deliver(chat, 1);
    driver.asked = [];
    driver.do({ type: "removePerson", call: 1, args: { requestId: "gone" } });
    expect(driver.closed).toEqual(["revoked"]);
    const steps: string[] = [];
    for (let step = 0; step < 5; step++) {
      driver.answer((request) => {
        steps.push("method" in request ? request.method : request.to);
        return request.to === "records" ? { databaseRows: 3, files: 1 } : { found: true };
      });
    }
    expect(steps).toEqual(["records", "forgetPeer", "eraseMember", "forgetPeer"]);
    expect(driver.isWiped).toBe(true);
    const done = { isComplete: true, devices: 1, conversations: 1, databaseRows: 3, files: 1 };
    expect(driver.replies).toContainEqual(done);
  });

  it("R8 R14 has an alarm until it is done, also if one goes off while it runs", () => {
    const driver = new UserDriver(phone);
    driver.do({ type: "removePerson", call: 1, args: { requestId: "gone" } });
    driver.do({ type: "alarm" });
    for (let attempt = 0; attempt < 4; attempt++) driver.answer(() => undefined);
    expect(driver.alarmAt).not.toBeNull();
    driver.do({ type: "alarm" });
    for (let step = 0; step < 5; step++) driver.answer(() => ({ databaseRows: 0, files: 0 }));
    expect(driver.isWiped).toBe(true);
  });

  it("R14 leaves other catch-ups alone", () => {
    const driver = new UserDriver(phone);
    driver.deliver(chat, 1);
    driver.answer(() => null);
    driver.connect(phone);
    driver.answer(() => pageOf(0, 500));
    expect(driver.of("drained")).toEqual([]);
    driver.do({ type: "forgetPeer", call: 1, args: { peer: alice, requestId: "" } });
    expect(driver.of("drained")).toEqual([{ type: "drained", request: 0 }]);
  });

  it("R14 waits for what is just being told to others, and tells nobody anything more", () => {
    const driver = new UserDriver(phone);
    for (const change of ["block", "unblock"] as const) {
      driver.do({ type: "setPeer", call: 1, args: { peer: alice, change, requestId: "" } });
    }
    driver.do({ type: "removePerson", call: 1, args: { requestId: "gone" } });
    for (let step = 0; step < 20; step++) driver.answer(() => ({ isHere: true, databaseRows: 0, files: 0 }));
    const steps = driver.everAsked.map(({ request }) => ("method" in request ? request.method : request.to));
    expect(driver.isWiped).toBe(true);
    expect(steps.slice(steps.indexOf("eraseMember"))).not.toContain("setBlock");
    expect(steps.slice(steps.indexOf("eraseMember"))).not.toContain("notePeer");
  });

  it("R14 forgets nobody before they have forgotten for the second time", () => {
    const driver = new UserDriver(phone);
    driver.deliver(chat, 1);
    driver.answer(() => null);
    driver.do({ type: "removePerson", call: 1, args: { requestId: "gone" } });
    for (let step = 0; step < 3; step++) driver.answer(() => ({ databaseRows: 0, files: 0 }));
    expect(asksOf(driver, "forgetPeer")).toHaveLength(1);
    driver.crash();
    driver.asked = [];
    driver.do({ type: "alarm" });
    driver.answer(() => ({ databaseRows: 0, files: 0 }));
    expect(asksOf(driver, "forgetPeer")).toHaveLength(1);
  });

  it("R14 does not wait for those who cannot be reached", () => {
    const driver = new UserDriver(phone);
    const others = Array.from({ length: 2 * MAX_PARALLEL_REMOVALS }, (_, index) => idOf("0C", index + 1));
    for (const peer of others) driver.do({ type: "notePeer", call: 1, args: { peer } });
    driver.do({ type: "removePerson", call: 1, args: { requestId: "gone" } });
    driver.answer(() => ({ databaseRows: 0, files: 0 }));
    for (let step = 0; step < 20; step++) driver.answer(() => undefined);
    const asked = driver.everAsked.flatMap(({ request }) =>
      "method" in request && request.method === "forgetPeer" ? [request.id] : [],
    );
    expect(new Set(asked)).toEqual(new Set(others));
    expect(driver.isWiped).toBe(false);
  });

  it("R14 goes on by alarm with what is left", () => {
    const driver = new UserDriver(phone);
    driver.deliver(chat, 1);
    driver.answer(() => null);
    driver.do({ type: "removePerson", call: 1, args: { requestId: "gone" } });
    driver.hibernate();
    driver.asked = [];
    driver.do({ type: "alarm" });
    for (let step = 0; step < 5; step++) driver.answer(() => ({ databaseRows: 0, files: 0 }));
    expect(driver.isWiped).toBe(true);
  });
});
