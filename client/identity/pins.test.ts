import { ulid } from "ulid";
import { describe, expect, it } from "vitest";
import type { Certificate } from "../../shared/certificate.ts";
import { FORMER_KEY_MS, MAX_FORMER_KEYS } from "../../shared/limits.ts";
import { acceptKey, decodePin, encodePin, judge, markVerified, maySealFor, type Pin, type Pins } from "./pins.ts";
import { recall } from "./recall.ts";

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
const now = { now: 50 };

describe("somebody met for the first time", () => {
  it("is pinned to the key they show", () => {
    expect(judge(strangers, certificate(key(2)), now)).toEqual({
      ok: true,
      pin: { accountKey: key(2), since: 50 },
    });
  });
});

describe("R17 somebody who is pinned", () => {
  const pins = knowing({ accountKey: key(2), since: 10, verifiedAt: 20 });

  it("is who they are with the same key, on any device", () => {
    expect(judge(pins, certificate(key(2)), now)).toEqual({ ok: true });
    expect(judge(pins, certificate(key(2)), { ...now, user: bob })).toEqual({ ok: true });
  });

  it("has another key at once, shown and not verified any more", () => {
    const former = [{ accountKey: key(2), until: 50 + FORMER_KEY_MS, wasVerified: true }];
    expect(judge(pins, certificate(key(3)), now)).toEqual({
      ok: true,
      pin: { accountKey: key(3), since: 50, isUnconfirmed: true, former },
      change: { user: bob, oldKey: key(2), newKey: key(3), at: 50, wasVerified: true },
    });
  });

  it("is said not to have been verified if they were not", () => {
    const { change } = judge(knowing({ accountKey: key(2), since: 10 }), certificate(key(3)), now);
    expect(change).toMatchObject({ wasVerified: false });
  });

  it("has changed also when a single bit has", () => {
    const almost = key(2);
    almost[31] = 3;
    for (const other of [almost, key(2).subarray(0, 31)]) {
      expect(judge(pins, certificate(other), now)).toMatchObject({ change: { newKey: other } });
    }
  });

  it("may have devices under the key before for a while, which change nothing", () => {
    const { pin } = judge(pins, certificate(key(3)), now);
    expect(judge(knowing(pin!), certificate(key(2)), now)).toEqual({ ok: true });
  });

  it("going back to a former key is a change like any other once that while is over", () => {
    const { pin } = judge(pins, certificate(key(3)), now);
    expect(judge(knowing(pin!), certificate(key(2)), { now: 50 + FORMER_KEY_MS })).toMatchObject({
      ok: true,
      change: { oldKey: key(3), newKey: key(2), wasVerified: false },
    });
  });

  it("keeps but a few former keys", () => {
    let pin: Pin = { accountKey: key(100), since: 1 };
    for (let at = 0; at < 3 * MAX_FORMER_KEYS; at++) pin = judge(knowing(pin), certificate(key(at)), now).pin ?? pin;
    expect(pin.former).toHaveLength(MAX_FORMER_KEYS);
    expect(decodePin(encodePin(pin))).toEqual(pin);
  });
});

describe("R17 one's own account", () => {
  it("is known without a pin", () => {
    expect(judge(strangers, certificate(key(1), me), now)).toEqual({ ok: true });
  });

  it("never has another key, and that somebody tried is shown", () => {
    expect(judge(strangers, certificate(key(2), me), now)).toEqual({
      ok: false,
      change: { user: me, oldKey: key(1), newKey: key(2), at: 50, wasVerified: false },
    });
  });
});

describe("somebody else than expected", () => {
  const pins = knowing({ accountKey: key(2), since: 10 });

  it("is refused without being pinned, and is no change", () => {
    expect(judge(pins, certificate(key(3), ulid()), { ...now, user: bob })).toEqual({ ok: false });
    expect(judge(pins, certificate(key(3)), { ...now, user: me })).toEqual({ ok: false });
  });

  it("is another device of the same person too", () => {
    const [device, other] = [ulid(), ulid()];
    expect(judge(pins, certificate(key(2), bob, device), { ...now, user: bob, device })).toEqual({ ok: true });
    expect(judge(pins, certificate(key(2), bob, other), { ...now, user: bob, device })).toEqual({ ok: false });
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

describe("R17 what may be said to a key", () => {
  const verified: Pin = { accountKey: key(2), since: 10, verifiedAt: 20 };
  const followed = (pin: Pin, number: number, at = 50) =>
    judge(knowing(pin), certificate(key(number)), { now: at }).pin ?? pin;
  const told = (pin: Pin, at = 60) => [1, 2, 3, 4].filter((number) => maySealFor(pin, key(number), at));

  it("is anything as long as none was compared", () => {
    const { verifiedAt: _, ...pin } = verified;
    expect(told(followed(pin, 3))).toEqual([1, 2, 3, 4]);
  });

  it("is nothing to another than was compared, whichever was theirs before", () => {
    expect(told(verified)).toEqual([2]);
    expect(told({ ...verified, former: [{ accountKey: key(1), until: 1_000 }] })).toEqual([2]);
  });

  it("is nothing to one that follows, nor to one that follows that, until it is compared", () => {
    const changed = followed(verified, 3);
    expect(told(changed)).toEqual([2]);
    expect(told(followed(changed, 4))).toEqual([2]);
    expect(told(markVerified(knowing(changed), { user: bob, accountKey: key(3) }, 60)!)).toEqual([2, 3]);
  });

  it("or until it is accepted, and from then on is what may be said to anybody", () => {
    const accepted = acceptKey(followed(verified, 3));
    expect(told(accepted)).toEqual([1, 2, 3, 4]);
    expect(followed(accepted, 4)).not.toHaveProperty("isUnconfirmed");
  });

  it("is nothing to any of theirs once the one before is over, not even if it comes back", () => {
    const over = 50 + FORMER_KEY_MS;
    const changed = followed(verified, 3);
    expect(told(changed, over)).toEqual([]);
    expect(told(followed(changed, 2, over), over)).toEqual([]);
  });

  it("is not more for what another device knows of them that never compared a key", () => {
    const changed = followed(verified, 3);
    const { verifiedAt: _, ...unverified } = verified;
    const { pin = changed } = recall(knowing(changed), bob, followed(unverified, 3), 70);
    expect(told(pin)).not.toContain(3);
    const compared = { ...followed(unverified, 3), verifiedAt: 60 };
    expect(told(recall(knowing(changed), bob, compared, 70).pin!)).toContain(3);
  });
});

describe("a pin in a store", () => {
  it.each<Omit<Pin, "accountKey">>([
    { since: 10 },
    { since: 10, verifiedAt: 20 },
    { since: 10, isUnconfirmed: true, former: [{ accountKey: key(9), until: 30, wasVerified: true }] },
  ])("comes back as it was: %o", (rest) => {
    expect(decodePin(encodePin({ accountKey: key(200), ...rest }))).toEqual({ accountKey: key(200), ...rest });
  });

  it.each(["", "{", "[]", "{}", '{"accountKey":"*","since":1}', '{"accountKey":"AAAA","since":-1}'])(
    "is not made from %s",
    (text) => {
      expect(() => decodePin(new TextEncoder().encode(text))).toThrow("store_failed");
    },
  );
});
