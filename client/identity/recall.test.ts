import { ulid } from "ulid";
import { describe, expect, it } from "vitest";
import { FORMER_KEY_MS } from "../../shared/limits.ts";
import type { Pin, Pins } from "./pins.ts";
import { recall } from "./recall.ts";

const key = (number: number) => new Uint8Array(32).fill(number);
const [me, bob] = [ulid(), ulid()];
const own = { user: me, accountKey: key(1) };
const strangers: Pins = { own, others: new Map() };
const knowing = (pin: Pin): Pins => ({ own, others: new Map([[bob, pin]]) });
const had = (number: number) => ({ accountKey: key(number), until: 1_000 });
const comparedOnce = (number: number) => ({ ...had(number), wasVerified: true as const });

describe("R17 what an archive says of somebody", () => {
  const known: Pin = { accountKey: key(2), since: 10, verifiedAt: 20 };
  const met: Pin = { accountKey: key(2), since: 50 };

  it("is taken as it is where this device has not met them", () => {
    const pin = { ...known, former: [had(9)] };
    expect(recall(strangers, bob, pin, 70)).toEqual({ pin });
    expect(recall(strangers, me, { accountKey: key(1), since: 10 }, 70)).toEqual({});
  });

  it("adds its mark, and since when, to the same key", () => {
    expect(recall(knowing(met), bob, known, 70)).toEqual({ pin: known });
    const compared = { accountKey: key(2), since: 5, verifiedAt: 60 };
    expect(recall(knowing(compared), bob, known, 70)).toEqual({ pin: compared });
    expect(recall(knowing(compared), bob, { accountKey: key(2), since: 10 }, 70)).toEqual({ pin: compared });
  });

  it("never puts its key in the place of another, nor its mark on it: that they differ is shown, once", () => {
    const pinned = { accountKey: key(3), since: 50 };
    const { pin, change } = recall(knowing(pinned), bob, known, 70);
    const former = [{ accountKey: key(2), until: 70 + FORMER_KEY_MS, wasVerified: true }];
    expect(pin).toEqual({ ...pinned, isUnconfirmed: true, former });
    expect(change).toEqual({ user: bob, oldKey: key(2), newKey: key(3), at: 70, wasVerified: true });
    expect(recall(knowing(pin!), bob, known, 80)).toEqual({});
  });

  it("says nothing of an older key in the place of which it has one that was not compared, but does if it was", () => {
    const older = { accountKey: key(3), since: 5 };
    expect(recall(knowing(older), bob, { accountKey: key(2), since: 10 }, 70)).toEqual({});
    expect(recall(knowing(older), bob, known, 70)).toMatchObject({
      pin: { isUnconfirmed: true },
      change: { wasVerified: true },
    });
  });

  it("shows another key that was never compared too, and asks for nothing", () => {
    const pinned = { accountKey: key(3), since: 50 };
    const { pin, change } = recall(knowing(pinned), bob, { accountKey: key(2), since: 10 }, 70);
    expect(pin).toEqual({ ...pinned, former: [{ accountKey: key(2), until: 70 + FORMER_KEY_MS }] });
    expect(change).toMatchObject({ oldKey: key(2), newKey: key(3), wasVerified: false });
  });

  it("shows anew a change from a key of which this device did not know that it was compared", () => {
    const pinned = { accountKey: key(3), since: 50, former: [had(2), had(9)] };
    const { pin, change } = recall(knowing(pinned), bob, known, 70);
    expect(pin).toMatchObject({ accountKey: key(3), isUnconfirmed: true });
    expect(pin?.former).toEqual([{ ...comparedOnce(2), until: 70 + FORMER_KEY_MS }, had(9)]);
    expect(change).toMatchObject({ oldKey: key(2), newKey: key(3), wasVerified: true });
  });

  it.each<[string, Pin]>([
    ["compared another key with them", { accountKey: key(3), since: 50, verifiedAt: 60 }],
    ["has shown the change from that key", { accountKey: key(3), since: 50, former: [comparedOnce(2)] }],
  ])("changes nothing where this device %s", (_, pinned) => {
    expect(recall(knowing(pinned), bob, known, 70)).toEqual({});
  });

  it("adds its mark to the same key also where another was met beside it, which stays without", () => {
    const both = { ...met, former: [had(3)] };
    expect(recall(knowing(both), bob, known, 70)).toEqual({ pin: { ...known, former: [had(3)] } });
    const more = { ...known, former: [comparedOnce(3), had(4)] };
    expect(recall(knowing(both), bob, more, 70)).toEqual({ pin: more });
  });

  it("says nothing of a key that came back by a change of which this device knows more", () => {
    for (const back of [
      { ...met, isUnconfirmed: true as const, former: [had(3)] },
      { ...met, isUnconfirmed: true as const, former: [comparedOnce(3)] },
      { ...met, former: [comparedOnce(3)] },
    ]) {
      expect(recall(knowing(back), bob, known, 70)).toEqual({});
    }
  });

  it("leaves a key open that is to be compared still, unless it was accepted here", () => {
    const open: Pin = { accountKey: key(2), since: 10, isUnconfirmed: true, former: [comparedOnce(9)] };
    expect(recall(knowing(met), bob, open, 70)).toEqual({ pin: open });
    const { isUnconfirmed: _, ...accepted } = open;
    expect(recall(knowing(accepted), bob, open, 70)).toEqual({ pin: accepted });
    expect(recall(knowing(open), bob, accepted, 70)).toEqual({ pin: open });
    // Nor is it forgotten what was compared before.
    expect(recall(knowing(open), bob, { ...accepted, former: [had(9)] }, 70)).toEqual({ pin: open });
    const compared = { ...accepted, verifiedAt: 60 };
    expect(recall(knowing(open), bob, compared, 70)).toEqual({ pin: compared });
  });
});
