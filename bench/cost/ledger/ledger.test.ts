import { afterEach, describe, expect, it, type TestContext, vi } from "vitest";
import { meter } from "../../../durable-objects/runtime/meter.ts";
import type { Design } from "./design.ts";
import { type Ledger, PRICES, priced, rounded } from "./prices.ts";
import { gatewayRequests, Sandpiper } from "./sandpiper.ts";
import { Straightforward } from "./straightforward.ts";
import { bothOnline, idleDay, recipientAsleep } from "./traffic.ts";

const DAYS_PER_MONTH = 30;
const WAIT_MS = 120_000;

afterEach(() => {
  vi.useRealTimers();
});

/** Counts from zero; signing up is not part of the traffic, so it is taken off what is counted before the first connect. */
async function counted<T>(
  traffic: (design: Design) => Promise<T>,
  design: Design,
): Promise<{ result: T; workers: number }> {
  vi.setSystemTime(Date.now());
  const signUp = design.signUp.bind(design);
  design.signUp = async () => {
    const person = await signUp();
    reset();
    return person;
  };
  const result = await traffic(design);
  return { result, workers: gatewayRequests.count };
}

function reset(): void {
  for (const key of Object.keys(meter) as (keyof typeof meter)[]) meter[key] = 0;
  gatewayRequests.count = 0;
}

async function messageLedger(traffic: typeof bothOnline, design: Design): Promise<Ledger> {
  const { result, workers } = await counted(traffic, design);
  // One invocation of the push Worker a job.
  return priced(meter, workers + meter.queueSends, result.messages);
}

async function idleMonthUsd(design: Design): Promise<number> {
  const { result, workers } = await counted(idleDay, design);
  const day = priced(meter, workers, 1).usdPerMillion / 1_000_000;
  const pings = ((result.pings / PRICES.socketMessagesPerRequest) * PRICES.objectRequest) / 1_000_000;
  return rounded((day + pings) * DAYS_PER_MONTH, 6);
}

function report({ task }: TestContext, key: string, value: unknown): void {
  Object.assign(task.meta, { ledger: { [key]: value } });
}

describe("the ledger", () => {
  it("T1 a 1:1 message to somebody online", { timeout: WAIT_MS }, async (context) => {
    const ours = await messageLedger(bothOnline, new Sandpiper());
    report(context, "oneToOneOnline", ours);
    expect(ours.requests).toBeLessThanOrEqual(3.8);
    expect(ours.rows).toBeLessThanOrEqual(1.4);
    expect(ours.usdPerMillion).toBeLessThanOrEqual(2.05);
  });

  it("T2 a 1:1 message to somebody asleep, with push and catch-up", { timeout: WAIT_MS }, async (context) => {
    const ours = await messageLedger(recipientAsleep, new Sandpiper());
    report(context, "oneToOneAsleep", ours);
    expect(ours.usdPerMillion).toBeLessThanOrEqual(2.8);
  });

  it("T5 an idle connected person, a month", { timeout: WAIT_MS }, async (context) => {
    const usd = await idleMonthUsd(new Sandpiper());
    report(context, "idleUserMonthUsd", usd);
    expect(usd).toBeLessThanOrEqual(0.0012);
  });

  it("the straightforward design costs at least six times as much", { timeout: WAIT_MS }, async (context) => {
    const online = await messageLedger(bothOnline, new Straightforward());
    const asleep = await messageLedger(recipientAsleep, new Straightforward());
    report(context, "straightforward", { oneToOneOnline: online, oneToOneAsleep: asleep });
    expect(online.usdPerMillion).toBeGreaterThan(6 * 2.05);
    expect(asleep.usdPerMillion).toBeGreaterThan(6 * 2.05);
  });
});
