import { createExecutionContext, createMessageBatch, getQueueResult } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { drizzle } from "drizzle-orm/d1";
import { ulid } from "ulid";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { directConversation } from "../../shared/ids.ts";
import type { PushJob } from "../../shared/push-job.ts";
import { user as people } from "../../workers/gateway/database/schema.ts";
import { handleMessage } from "../../workers/push/delivery.ts";
import type { PushEnv } from "../../workers/push/env.ts";
import type { Provider } from "../../workers/push/provider.ts";
import { pushDelivery } from "../../workers/push/schema.ts";
import worker from "../../workers/push/worker.ts";

const db = drizzle(env.DB);
const [user, peer, another] = [ulid(), ulid(), ulid()];
const conversation = directConversation(user, peer);
const job = (fields: Partial<PushJob> = {}): PushJob => ({
  user,
  devices: [ulid()],
  conversation,
  at: 1_000,
  requestId: ulid(),
  ...fields,
});

beforeAll(async () => {
  for (const id of [user, peer, another])
    await db.insert(people).values({ id, phoneHash: id, phoneEnd: "", createdAt: 0 });
});
beforeEach(() => db.delete(pushDelivery));
afterEach(() => vi.restoreAllMocks());

async function consume(bodies: unknown[], vars: Partial<PushEnv> = {}, attempts = 1) {
  const messages = bodies.map((body, index) => ({ id: `${index}`, timestamp: new Date(), attempts, body }));
  const batch = createMessageBatch("sandpiper-push", messages);
  const context = createExecutionContext();
  await worker.queue(batch, { DB: env.DB, ENVIRONMENT: "development", ...vars });
  return getQueueResult(batch, context);
}

/** What was written; `second` is only a part of `conversation`. */
async function delivered() {
  return (await db.select().from(pushDelivery).all()).map(({ second: _, ...written }) => written);
}

/** Rejects every write that concerns this device, as a provider does that is down for a part of its users. */
function failingFor(device: string): D1Database {
  const fail = () => {
    throw new TypeError("secret detail of a provider");
  };
  const prepare = (query: string) => ({
    bind: (...values: unknown[]) =>
      values.includes(device) ? { run: fail, all: fail, raw: fail } : env.DB.prepare(query).bind(...values),
  });
  return { prepare } as unknown as D1Database;
}

describe("push jobs", () => {
  it("reach every device that they name", async () => {
    const devices = [ulid(), ulid()];
    const { explicitAcks } = await consume([job({ devices })]);
    expect(explicitAcks).toEqual(["0"]);
    expect((await delivered()).map((row) => row.device).sort()).toEqual(devices.sort());
  });

  it("carry who, where and when, and nothing else", async () => {
    const sent = job();
    await consume([{ ...sent, body: "hello", title: "hello" }]);
    const { devices, ...rest } = sent;
    expect(await delivered()).toEqual([{ ...rest, device: devices[0] }]);
  });

  it("without a conversation only call the device", async () => {
    const { conversation: _, ...sent } = job();
    await consume([sent]);
    expect(await delivered()).toMatchObject([{ device: sent.devices[0], conversation: "" }]);
  });

  it("collapse for a device and conversation, whatever order they come in", async () => {
    const devices = [ulid()];
    await consume([job({ devices, at: 1 }), job({ devices, at: 3 })]);
    await consume([job({ devices, at: 2 })]);
    await consume([job({ devices, at: 3 })]);
    expect(await delivered()).toMatchObject([{ device: devices[0], at: 3 }]);
  });

  it("of another conversation do not collapse", async () => {
    const devices = [ulid()];
    await consume([job({ devices }), job({ devices, conversation: directConversation(user, another) })]);
    expect(await delivered()).toHaveLength(2);
  });

  it.each([
    ["for", { user: ulid() }],
    ["about", { conversation: directConversation(user, ulid()) }],
  ])("R14 that come after the person they are %s was removed leave nothing", async (_, fields) => {
    const { explicitAcks } = await consume([job(fields)]);
    expect(explicitAcks).toEqual(["0"]);
    expect(await delivered()).toEqual([]);
  });

  it.each([null, 1, "job", [], {}, { ...job(), user: "x" }, { ...job(), devices: "x" }, { ...job(), at: Number.NaN }])(
    "that are malformed are dropped, logged without a quote, and hold up no other: %j",
    async (bad) => {
      const logged = vi.spyOn(console, "error").mockImplementation(() => {});
      const { explicitAcks, retryMessages } = await consume([bad, job()]);
      expect(explicitAcks.sort()).toEqual(["0", "1"]);
      expect(retryMessages).toEqual([]);
      expect(await delivered()).toHaveLength(1);
      expect(logged.mock.calls.map(([line]) => JSON.parse(line))).toEqual([
        { time: expect.any(String), level: "error", event: "push.bad_job", attempt: 1 },
      ]);
    },
  );

  it("that a provider fails are tried again and hold up no other", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const [down, up] = [ulid(), ulid()];
    const bodies = [job({ devices: [down] }), job({ devices: [up] })];
    const { explicitAcks, retryMessages } = await consume(bodies, { DB: failingFor(down) });
    expect(explicitAcks).toEqual(["1"]);
    expect(retryMessages).toMatchObject([{ msgId: "0" }]);
    expect((await delivered()).map((row) => row.device)).toEqual([up]);
    expect(JSON.stringify(logged.mock.calls)).not.toContain("secret detail");
  });

  it("that fail again and again are tried later each time, up to a quarter of an hour", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const failing: Provider = { name: "failing", deliver: () => Promise.reject(new Error()) };
    const retry = vi.fn();
    for (const attempts of [1, 2, 3, 20]) {
      const message = { id: "0", timestamp: new Date(), attempts, body: job(), ack: vi.fn(), retry };
      await handleMessage(message, [failing]);
      expect(message.ack).not.toHaveBeenCalled();
    }
    expect(retry.mock.calls).toEqual([5, 10, 20, 900].map((delaySeconds) => [{ delaySeconds }]));
  });

  it("reach a person's other devices although one fails", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const [down, up] = [ulid(), ulid()];
    const { retryMessages } = await consume([job({ devices: [down, up] })], { DB: failingFor(down) });
    expect(retryMessages).toHaveLength(1);
    expect(await delivered()).toMatchObject([{ device: up }]);
  });

  it("leave no trace in the database outside development", async () => {
    const { explicitAcks } = await consume([job()], { ENVIRONMENT: "production" });
    expect(explicitAcks).toEqual(["0"]);
    expect(await delivered()).toEqual([]);
  });
});
