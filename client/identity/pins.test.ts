import { ulid } from "ulid";
import { describe, expect, it } from "vitest";
import type { Certificate } from "../../shared/certificate.ts";
import { FORMER_KEY_MS, MAX_FORMER_KEYS } from "../../shared/limits.ts";
import { acceptKey, decodePin, encodePin, type Judgement, judge, markVerified, type Pin, type Pins } from "./pins.ts";

const key = (number: number) => new Uint8Array(32).fill(number);
const [me, bob] = [ulid(), ulid()];
const own = { user: me, accountKey: key(1) };
const strangers: Pins = { own, others: new Map() };
const knowing = (pin: Pin): Pins => ({ own, others: new Map([[bob, pin]]) });
const certificate = (accountKey: Uint8Array, user = bob, device = ulid()): Certificate => ({
  accountKey,
  user,
  device,
  issuedAt: 1,
  signature: new Uint8Array(64),
});
const follow = { policy: "follow", now: 50 } as const;
const ask = { policy: "ask", now: 50 } as const;

describe("somebody met for the first time", () => {
  it.each([follow, ask])("is pinned to the key they show ($policy)", (expected) => {
    expect(judge(strangers, certificate(key(2)), expected)).toEqual({
      ok: true,
      pin: { accountKey: key(2), since: 50 },
    });
  });
});

describe("R17 somebody who is pinned", () => {
  const pins = knowing({ accountKey: key(2), since: 10, verifiedAt: 20 });

  it.each([follow, ask])("is who they are with the same key, on any device ($policy)", (expected) => {
    expect(judge(pins, certificate(key(2)), expected)).toEqual({ ok: true });
    expect(judge(pins, certificate(key(2)), { ...expected, user: bob })).toEqual({ ok: true });
  });

  it("has another key at once where it is followed, shown and not verified any more", () => {
    expect(judge(pins, certificate(key(3)), follow)).toEqual({
      ok: true,
      pin: { accountKey: key(3), since: 50, former: [{ accountKey: key(2), until: 50 + FORMER_KEY_MS }] },
      change: { user: bob, oldKey: key(2), newKey: key(3), at: 50, wasVerified: true },
    });
  });

  it("has another key only after it was accepted where that is asked", () => {
    const { ok, pin, change } = judge(pins, certificate(key(3)), ask);
    expect({ ok, pin }).toEqual({ ok: false, pin: undefined });
    expect(change).toEqual({ user: bob, oldKey: key(2), newKey: key(3), at: 50, wasVerified: true });
    const accepted = acceptKey(pins, change!, 60)!;
    expect(accepted).toEqual({ accountKey: key(3), since: 60 });
    expect(judge(knowing(accepted), certificate(key(3)), ask)).toEqual({ ok: true });
    expect(judge(knowing(accepted), certificate(key(2)), ask)).toMatchObject({ ok: false });
  });

  it("is said not to have been verified if they were not", () => {
    const { change } = judge(knowing({ accountKey: key(2), since: 10 }), certificate(key(3)), follow);
    expect(change).toMatchObject({ wasVerified: false });
  });

  it("is not accepted by a change that is not the last", () => {
    const { change } = judge(pins, certificate(key(3)), ask);
    expect(acceptKey(knowing({ accountKey: key(4), since: 55 }), change!, 60)).toBeUndefined();
    expect(acceptKey(strangers, change!, 60)).toBeUndefined();
  });

  it("has changed also when a single bit has", () => {
    const almost = key(2);
    almost[31] = 3;
    expect(judge(pins, certificate(almost), ask)).toMatchObject({ ok: false, change: { newKey: almost } });
    expect(judge(pins, certificate(key(2).subarray(0, 31)), ask)).toMatchObject({ ok: false });
  });

  it("may have devices under the key before for a while, which change nothing", () => {
    const { pin } = judge(pins, certificate(key(3)), follow);
    expect(judge(knowing(pin!), certificate(key(2)), follow)).toEqual({ ok: true });
  });

  it("going back to a former key is a change like any other once that while is over", () => {
    const { pin } = judge(pins, certificate(key(3)), follow);
    const later = { ...follow, now: follow.now + FORMER_KEY_MS };
    expect(judge(knowing(pin!), certificate(key(2)), later)).toMatchObject({
      ok: true,
      change: { oldKey: key(3), newKey: key(2), wasVerified: false },
    });
  });

  it("keeps but a few former keys", () => {
    let pin: Pin = { accountKey: key(100), since: 1 };
    for (let at = 0; at < 3 * MAX_FORMER_KEYS; at++) pin = judge(knowing(pin), certificate(key(at)), follow).pin ?? pin;
    expect(pin.former).toHaveLength(MAX_FORMER_KEYS);
    expect(decodePin(encodePin(pin))).toEqual(pin);
  });
});

describe("R17 one's own account", () => {
  it("is known without a pin", () => {
    expect(judge(strangers, certificate(key(1), me), ask)).toEqual({ ok: true });
  });

  it.each([follow, ask])("never has another key, and that somebody tried is shown ($policy)", (expected) => {
    const judged: Judgement = judge(strangers, certificate(key(2), me), expected);
    expect(judged).toEqual({
      ok: false,
      change: { user: me, oldKey: key(1), newKey: key(2), at: 50, wasVerified: false },
    });
    expect(acceptKey(strangers, judged.change!, 60)).toBeUndefined();
  });
});

describe("somebody else than expected", () => {
  const pins = knowing({ accountKey: key(2), since: 10 });

  it("is refused without being pinned, and is no change", () => {
    expect(judge(pins, certificate(key(3), ulid()), { ...follow, user: bob })).toEqual({ ok: false });
    expect(judge(pins, certificate(key(3)), { ...follow, user: me })).toEqual({ ok: false });
  });

  it("is another device of the same person too", () => {
    const [device, other] = [ulid(), ulid()];
    expect(judge(pins, certificate(key(2), bob, device), { ...follow, user: bob, device })).toEqual({ ok: true });
    expect(judge(pins, certificate(key(2), bob, other), { ...follow, user: bob, device })).toEqual({ ok: false });
  });
});

describe("the mark of a compared safety number", () => {
  const pin = { accountKey: key(2), since: 10 };

  it("is set for the key that was compared", () => {
    expect(markVerified(knowing(pin), { user: bob, accountKey: key(2) }, 70)).toEqual({ ...pin, verifiedAt: 70 });
  });

  it("is not set if the key changed while people compared", () => {
    expect(markVerified(knowing(pin), { user: bob, accountKey: key(3) }, 70)).toBeUndefined();
    expect(markVerified(strangers, { user: bob, accountKey: key(2) }, 70)).toBeUndefined();
  });
});

describe("a pin in a store", () => {
  it.each([{ since: 10 }, { since: 10, verifiedAt: 20 }])("comes back as it was: %o", (times) => {
    expect(decodePin(encodePin({ accountKey: key(200), ...times }))).toEqual({ accountKey: key(200), ...times });
  });

  it.each(["", "{", "[]", "{}", '{"accountKey":"*","since":1}', '{"accountKey":"AAAA","since":-1}'])(
    "is not made from %s",
    (text) => {
      expect(() => decodePin(new TextEncoder().encode(text))).toThrow("store_failed");
    },
  );
});
