import type { meter } from "../../../durable-objects/runtime/meter.ts";

/** Cloudflare's list prices, US dollars per million (November 2026). */
export const PRICES = {
  objectRequest: 0.15,
  /** Incoming socket messages are billed twenty to one object request; outgoing ones are free. */
  socketMessagesPerRequest: 20,
  workerRequest: 0.3,
  rowWritten: 1.0,
  rowRead: 0.001,
  /** Per operation of up to 64 KB; a message is written, read and deleted. */
  queueOperation: 0.4,
  queueOperationsPerMessage: 3,
  /** 128 MB for a second, at 12.50 per million GB-seconds. */
  activeSecond: 1.6,
} as const;

/** Taken for the time that an object stays awake for one request: handling it and waiting for the calls it makes. */
const ASSUMED_ACTIVE_MS_PER_REQUEST = 10;

export interface Ledger {
  /** Billed object requests, socket messages included, per message. */
  requests: number;
  rows: number;
  usdPerMillion: number;
  parts: Record<string, number>;
}

/** What was counted while `messages` messages were sent, per message and priced. */
export function priced(counts: typeof meter, workerRequests: number, messages: number): Ledger {
  const objectRequests =
    counts.objectCalls + counts.objectFetches + counts.alarms + counts.socketMessages / PRICES.socketMessagesPerRequest;
  const parts = {
    objectRequests: objectRequests * PRICES.objectRequest,
    workerRequests: workerRequests * PRICES.workerRequest,
    rowsWritten: counts.rowsWritten * PRICES.rowWritten,
    rowsRead: counts.rowsRead * PRICES.rowRead,
    queue: counts.queueSends * PRICES.queueOperationsPerMessage * PRICES.queueOperation,
    active: ((objectRequests * ASSUMED_ACTIVE_MS_PER_REQUEST) / 1_000) * PRICES.activeSecond,
  };
  const perMessage = Object.fromEntries(Object.entries(parts).map(([part, usd]) => [part, rounded(usd / messages)]));
  return {
    requests: rounded(objectRequests / messages),
    rows: rounded(counts.rowsWritten / messages),
    usdPerMillion: rounded(Object.values(parts).reduce((sum, usd) => sum + usd, 0) / messages),
    parts: perMessage,
  };
}

export function rounded(value: number, digits = 4): number {
  return Number(value.toFixed(digits));
}
