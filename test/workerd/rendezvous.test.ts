import { env } from "cloudflare:workers";
import { ulid } from "ulid";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DEVICE_LINK_TTL_MS } from "../../shared/limits.ts";
import { alarmOf, crash, fireAlarm, tablesOf } from "./objects.ts";

const notFound = { ok: false, code: "not_found" };
const owner = { user: ulid(), device: ulid() };
const newLink = () => env.RENDEZVOUS.getByName(ulid());
type Link = ReturnType<typeof newLink>;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

async function approved(): Promise<Link> {
  const link = newLink();
  await link.open({ deviceName: "Tablet" });
  expect(await link.approve({ ...owner, sealed: "first" })).toEqual({ ok: true });
  return link;
}

const everything = (link: Link) =>
  Promise.all([
    link.view(),
    link.approve({ ...owner, sealed: "first" }),
    link.send({ side: "new", sealed: "x" }),
    link.send({ side: "old", ...owner, sealed: "x" }),
    link.poll({ side: "new", after: 0 }),
    link.poll({ side: "old", ...owner, after: 0 }),
    link.complete(),
  ]);
const nothing = Array(7).fill(notFound);

describe("the place where two devices meet", () => {
  it("costs nothing if it is only looked for", async () => {
    const link = newLink();
    expect(await everything(link)).toEqual(nothing);
    expect(await tablesOf(link)).toEqual([]);
    expect(await alarmOf(link)).toBeNull();
  });

  it("forgets everything when its alarm goes off", async () => {
    const link = await approved();
    expect(await alarmOf(link)).toBe(Date.now() + DEVICE_LINK_TTL_MS);
    expect(await fireAlarm(link)).toBe(true);
    expect(await everything(link)).toEqual(nothing);
    expect(await tablesOf(link)).toEqual([]);
    expect(await alarmOf(link)).toBeNull();
  });

  it("answers nothing when its time is over, however late the alarm is", async () => {
    const link = await approved();
    vi.setSystemTime(Date.now() + DEVICE_LINK_TTL_MS);
    expect(await everything(link)).toEqual(nothing);
    expect(await tablesOf(link)).not.toEqual([]);
  });

  it("lets one of fifty complete it at the same time", async () => {
    const link = await approved();
    const replies = await Promise.all(Array.from({ length: 50 }, () => link.complete()));
    expect(replies.filter(({ ok }) => ok)).toEqual([{ ok: true, ...owner, deviceName: "Tablet", place: undefined }]);
  });

  it("lets one of fifty approve it at the same time", async () => {
    const link = newLink();
    await link.open({ deviceName: "Tablet" });
    const approvals = Array.from({ length: 50 }, () => ({ user: ulid(), device: ulid(), sealed: "x" }));
    const replies = await Promise.all(approvals.map((approval) => link.approve(approval)));
    expect(replies.filter(({ ok }) => ok)).toHaveLength(1);
    const { user, device } = approvals[replies.findIndex(({ ok }) => ok)]!;
    expect(await link.complete()).toMatchObject({ ok: true, user, device });
  });

  it("remembers what it has answered when it crashes", async () => {
    const link = await approved();
    await link.send({ side: "new", sealed: "n1" });
    await crash(link);
    expect(await env.RENDEZVOUS.get(link.id).poll({ side: "old", ...owner, after: 0 })).toEqual({
      ok: true,
      state: "approved",
      messages: [{ number: 1, sealed: "n1" }],
    });
    expect(await env.RENDEZVOUS.get(link.id).complete()).toMatchObject(owner);
    await crash(env.RENDEZVOUS.get(link.id));
    expect(await env.RENDEZVOUS.get(link.id).complete()).toEqual(notFound);
  });

  it("refuses a call that makes no sense without repeating it", async () => {
    const link = await approved();
    const nonsense = { side: "old", ...owner, after: "secret" } as unknown as Parameters<Link["poll"]>[0];
    const error = await link.poll(nonsense).then(
      () => undefined,
      (reason: unknown) => String(reason),
    );
    expect(error).toContain("bad_frame");
    expect(error).not.toContain("secret");
  });
});
