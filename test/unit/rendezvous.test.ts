import { ulid } from "ulid";
import { beforeEach, describe, expect, it } from "vitest";
import { RendezvousCore } from "../../durable-objects/rendezvous/core.ts";
import { NodeStorage } from "../../durable-objects/runtime/node-storage.ts";
import { DEVICE_LINK_TTL_MS, MAX_LINK_MESSAGE_BYTES, MAX_LINK_MESSAGES } from "../../shared/limits.ts";

const NOW = 1_800_000_000_000;
const END = NOW + DEVICE_LINK_TTL_MS;
const notFound = { ok: false, code: "not_found" };
const taken = { ok: false, code: "taken" };
const tooMany = { ok: false, code: "too_many" };

const owner = { user: ulid(), device: ulid() };
const sealed = "first";
let storage: NodeStorage;
let core: RendezvousCore;
beforeEach(() => {
  storage = new NodeStorage();
  core = new RendezvousCore(storage);
});

const open = () => core.open({ deviceName: "Tablet", place: "Berlin, DE" }, NOW);
const approve = (who = owner, text = sealed, now = NOW) => core.approve({ ...who, sealed: text }, now);
const fromNew = (text: string, now = NOW) => core.send({ side: "new", sealed: text }, now);
const fromOld = (text: string, who = owner, now = NOW) => core.send({ side: "old", ...who, sealed: text }, now);
const pollNew = (after = 0, now = NOW) => core.poll({ side: "new", after }, now);
const pollOld = (after = 0, who: Partial<typeof owner> = owner, now = NOW) =>
  core.poll({ side: "old", ...who, after }, now);
const bytes = (count: number) => "A".repeat(Math.ceil((count * 4) / 3));

/** Everything that can be asked, but to open it. */
const everything = (now: number) => [
  core.view(now),
  approve(owner, sealed, now),
  fromNew("x", now),
  fromOld("x", owner, now),
  pollNew(0, now),
  pollOld(0, owner, now),
  core.complete(now),
];

describe("a link that was never opened", () => {
  it("is not found, and probing it writes nothing", () => {
    expect(everything(NOW)).toEqual(everything(NOW).map(() => notFound));
    expect(storage.all("SELECT name FROM sqlite_master")).toEqual([]);
    expect(storage.alarmAt()).toBeNull();
  });
});

describe("opening", () => {
  it("sets the alarm that wipes it", () => {
    expect(open()).toEqual({ expiresAt: END });
    expect(storage.alarmAt()).toBe(END);
  });

  it("happens once: what comes later changes nothing and gets the first answer", () => {
    open();
    approve();
    expect(core.open({ deviceName: "Other" }, NOW + 5_000)).toEqual({ expiresAt: END });
    expect(core.complete(NOW)).toMatchObject({ deviceName: "Tablet" });
    expect(storage.alarmAt()).toBe(END);
  });
});

describe("time", () => {
  it.each(["waiting", "approved", "completed"])("ends a link that is %s to the millisecond, alarm or not", (state) => {
    open();
    if (state !== "waiting") approve();
    if (state === "completed") core.complete(NOW);
    expect(pollNew(0, END - 1)).toMatchObject({ ok: true, state });
    expect(everything(END)).toEqual(everything(END).map(() => notFound));
  });
});

describe("viewing", () => {
  it("shows the new device while it waits, and to nobody afterwards", () => {
    open();
    const view = { deviceName: "Tablet", place: "Berlin, DE", expiresAt: END, state: "waiting" };
    expect(core.view(NOW)).toEqual({ ok: true, view });
    approve();
    expect(core.view(NOW)).toEqual(notFound);
  });

  it("names no place where the network told none", () => {
    core.open({ deviceName: "Tablet" }, NOW);
    expect(core.view(NOW)).toMatchObject({ view: { place: undefined } });
  });
});

describe("approving", () => {
  it("brings the first message to the new device", () => {
    open();
    expect(pollNew()).toEqual({ ok: true, state: "waiting", messages: [] });
    expect(approve()).toEqual({ ok: true });
    expect(pollNew()).toEqual({ ok: true, state: "approved", messages: [{ number: 1, sealed }] });
  });

  it("may be repeated as it was, also after the new device has signed in", () => {
    open();
    approve();
    fromOld("second");
    expect(approve()).toEqual({ ok: true });
    core.complete(NOW);
    expect(approve()).toEqual({ ok: true });
    expect(pollNew()).toMatchObject({ state: "completed", messages: [{ sealed }, { sealed: "second" }] });
  });

  it.each([
    ["another person", { user: ulid(), device: ulid() }, sealed],
    ["another device of the person", { ...owner, device: ulid() }, sealed],
    ["another person who claims the same device", { ...owner, user: ulid() }, sealed],
    ["the same device with something else", owner, "other"],
  ])("is taken for %s", (_, who, text) => {
    open();
    approve();
    expect(approve(who, text)).toEqual(taken);
    expect(pollNew()).toMatchObject({ messages: [{ number: 1, sealed }] });
    expect(core.complete(NOW)).toMatchObject(owner);
  });

  it("with too large a message approves nothing", () => {
    open();
    expect(approve(owner, bytes(MAX_LINK_MESSAGE_BYTES + 1))).toEqual(tooMany);
    expect(core.complete(NOW)).toEqual(notFound);
    expect(approve()).toEqual({ ok: true });
  });
});

describe("messages", () => {
  it("are passed on by neither side before the approval", () => {
    open();
    expect([fromNew("x"), fromOld("x"), pollOld()]).toEqual([notFound, notFound, notFound]);
    approve();
    expect(pollOld()).toEqual({ ok: true, state: "approved", messages: [] });
  });

  it("go to the other side, in order, each side numbered for itself, before and after the sign-in", () => {
    open();
    approve();
    for (const text of ["n1", "n2"]) fromNew(text);
    core.complete(NOW);
    fromNew("n3");
    fromOld("o2");
    const messages = ["n1", "n2", "n3"].map((text, index) => ({ number: index + 1, sealed: text }));
    expect(pollOld()).toEqual({ ok: true, state: "completed", messages });
    expect(pollOld(2)).toMatchObject({ messages: [{ number: 3, sealed: "n3" }] });
    expect(pollNew(1)).toMatchObject({ messages: [{ number: 2, sealed: "o2" }] });
    expect(pollNew(2)).toMatchObject({ messages: [] });
  });

  it("whose sender has had no answer may come again", () => {
    open();
    approve();
    for (const text of ["n1", "n1", "n2", "n2", "n1"]) expect(fromNew(text)).toEqual({ ok: true });
    expect(pollOld()).toMatchObject({ messages: [{ sealed: "n1" }, { sealed: "n2" }] });
  });

  it.each([
    ["another person", { user: ulid(), device: ulid() }],
    ["another device of the person", { ...owner, device: ulid() }],
    ["another person who claims the same device", { ...owner, user: ulid() }],
    ["somebody who does not say who they are", {}],
  ])("are neither taken from %s nor shown to them", (_, who) => {
    open();
    expect(pollOld(0, who)).toEqual(notFound);
    approve();
    fromNew("n1");
    expect(pollOld(0, who)).toEqual(notFound);
    expect(core.send({ side: "old", ...who, sealed: "x" }, NOW)).toEqual(notFound);
    expect(pollNew()).toMatchObject({ messages: [{ sealed }] });
  });

  it("are bounded in number for each side; the approval is one of them", () => {
    open();
    approve();
    const sent = (send: (text: string) => unknown, count: number) =>
      Array.from({ length: count }, (_, index) => send(`m${index}`));
    expect(sent(fromNew, MAX_LINK_MESSAGES)).toEqual(Array(MAX_LINK_MESSAGES).fill({ ok: true }));
    expect(sent((text) => fromOld(text), MAX_LINK_MESSAGES - 1)).toEqual(
      Array(MAX_LINK_MESSAGES - 1).fill({ ok: true }),
    );
    expect([fromNew("more"), fromOld("more")]).toEqual([tooMany, tooMany]);
    expect(pollOld(MAX_LINK_MESSAGES - 1)).toMatchObject({ messages: [{ number: MAX_LINK_MESSAGES }] });
  });

  it("are bounded in size", () => {
    open();
    approve();
    expect(fromNew(bytes(MAX_LINK_MESSAGE_BYTES))).toEqual({ ok: true });
    expect(fromNew(bytes(MAX_LINK_MESSAGE_BYTES + 1))).toEqual(tooMany);
  });
});

describe("completing", () => {
  it("says once who approved and what the device is called", () => {
    open();
    expect(core.complete(NOW)).toEqual(notFound);
    approve();
    expect(core.complete(NOW)).toEqual({ ok: true, ...owner, deviceName: "Tablet", place: "Berlin, DE" });
    expect(core.complete(NOW)).toEqual(notFound);
  });

  it("is remembered by an object that begins anew", () => {
    open();
    approve();
    core.complete(NOW);
    core = new RendezvousCore(storage);
    expect(core.complete(NOW)).toEqual(notFound);
    expect(pollOld()).toMatchObject({ state: "completed" });
  });
});
