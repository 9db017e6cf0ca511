import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { ulid } from "ulid";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { LIMITER_MEMORY_MS, type PublicBucket, publicBuckets } from "../../shared/limits.ts";
import type { LimiterRpc } from "../../shared/rpc.ts";
import { alarmOf, crash, fireAlarm, tablesOf } from "./objects.ts";

const limiter = (bucket: PublicBucket) => {
  const name = `${bucket}:${ulid()}`;
  return {
    get stub() {
      return env.LIMITER.getByName(name);
    },
    take(cost = 1) {
      return this.stub.take({ bucket, cost });
    },
    takeTimes(times: number) {
      return Promise.all(Array.from({ length: times }, () => this.take()));
    },
  };
};

const { capacity, refillMs } = publicBuckets.code_ip;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

const later = (ms: number) => vi.setSystemTime(Date.now() + ms);

it("lets through what the bucket holds, however much comes at the same time, and says when to come again", async () => {
  const address = limiter("code_ip");
  const replies = await address.takeTimes(2 * capacity);
  expect(replies.filter(({ ok }) => ok)).toHaveLength(capacity);
  expect(await address.take()).toEqual({ ok: false, retryMs: refillMs });
  later(refillMs - 1);
  expect(await address.take()).toEqual({ ok: false, retryMs: 1 });
  later(1);
  expect(await address.take()).toEqual({ ok: true });
  expect(await address.take()).toEqual({ ok: false, retryMs: refillMs });
});

it("holds every holder by themselves", async () => {
  const [one, other] = [limiter("code_ip"), limiter("code_ip")];
  await one.takeTimes(capacity);
  expect(await one.take()).toMatchObject({ ok: false });
  expect(await other.take()).toEqual({ ok: true });
});

it.each(["crashed", "slept"])("remembers after it has %s", async (how) => {
  const address = limiter("code_ip");
  await address.takeTimes(capacity);
  await (how === "crashed" ? crash(address.stub) : evictDurableObject(address.stub as unknown as DurableObjectStub));
  expect(await address.take()).toEqual({ ok: false, retryMs: refillMs });
});

it.each(["awake", "asleep"])("leaves nothing behind once the bucket is full again, %s", async (state) => {
  const address = limiter("code_ip");
  await address.takeTimes(3);
  later(refillMs);
  await address.take();
  expect(await tablesOf(address.stub)).toEqual(["bucket", "migration"]);
  expect(await alarmOf(address.stub)).toBe(Date.now() + 3 * refillMs);
  if (state === "asleep") await evictDurableObject(address.stub as unknown as DurableObjectStub);
  later(3 * refillMs);
  expect(await fireAlarm(address.stub)).toBe(true);
  expect(await tablesOf(address.stub)).toEqual([]);
  expect(await alarmOf(address.stub)).toBeNull();
  expect((await address.takeTimes(capacity)).every(({ ok }) => ok)).toBe(true);
  expect(await address.take()).toMatchObject({ ok: false });
  await crash(address.stub);
  expect(await address.take()).toMatchObject({ ok: false });
});

it("writes nothing while it is full again before it could fall asleep", async () => {
  const everybody = limiter("code_global");
  const unwritten = Math.floor(LIMITER_MEMORY_MS / publicBuckets.code_global.refillMs);
  await everybody.takeTimes(unwritten);
  expect(await tablesOf(everybody.stub)).toEqual([]);
  expect(await alarmOf(everybody.stub)).toBeNull();
  await everybody.take();
  expect(await tablesOf(everybody.stub)).toEqual(["bucket", "migration"]);
});

it("writes nothing for a refusal", async () => {
  const address = limiter("code_ip");
  await address.takeTimes(capacity);
  const alarm = await alarmOf(address.stub);
  later(refillMs / 2);
  expect(await address.take()).toMatchObject({ ok: false });
  expect(await alarmOf(address.stub)).toBe(alarm);
});

it.each([
  ["development", 10],
  ["production", 1],
])("is widened for load tests in %s %i times", async (ENVIRONMENT, times) => {
  const address = limiter("code_ip");
  await runInDurableObject(address.stub as unknown as DurableObjectStub<undefined>, (object) => {
    Object.assign(object as object, { env: { ...env, ENVIRONMENT, SIGN_IN_LIMIT_FACTOR: "10" } });
  });
  const replies = await address.takeTimes(11 * capacity);
  expect(replies.filter(({ ok }) => ok)).toHaveLength(times * capacity);
  expect(await address.take()).toEqual({ ok: false, retryMs: refillMs / times });
});

it.each([
  { bucket: "account", cost: 1 },
  { bucket: "code_ip", cost: 0 },
  { bucket: "code_ip", cost: -1 },
  { bucket: "code_ip", cost: 0.5 },
  { bucket: "__proto__", cost: 1 },
])("refuses %o", async (call) => {
  const { stub } = limiter("code_ip");
  await runInDurableObject(stub as unknown as DurableObjectStub<undefined>, async (object) => {
    await expect((object as unknown as LimiterRpc).take(call as never)).rejects.toThrow("bad_frame");
  });
  expect(await tablesOf(stub)).toEqual([]);
});
