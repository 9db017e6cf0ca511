// The load generator, a process of its own so that the bench's control code shares no thread with it. It takes one job
// from its parent, keeps `window` messages of every pair in flight, and answers with what it measured.

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Adapter, MessageEvent, Pair } from "./adapter.ts";
import { machineCpuMs, processCpuMs } from "./cpu.ts";
import { Ledger } from "./ledger.ts";
import { closeSocket, openSocket } from "./socket.ts";

export interface Job {
  adapterUrl: string;
  origin: string;
  logFile: string;
  enginePid: number;
  pairs: number;
  window: number;
  bodyBytes: number;
  warmUpSeconds: number;
  seconds: number;
}

export interface Measure {
  messagesPerSecond: number;
  /** Latencies include the messages in flight when the time was up, or a starved pair's would never count. */
  sentP50Ms: number;
  sentP99Ms: number;
  deliveredP50Ms: number;
  deliveredP99Ms: number;
  /** Of the engine's process. */
  cpuPerMessageMs: number;
  /** What the least served pair got, as a share of what the most served one got. */
  fairness: number;
  pairsServed: number;
  /** The share of the time that the generator's thread worked. Near 1, it would measure itself. */
  generatorBusy: number;
  /** The cores that neither the engine nor the generator used. Much of it, and the measure was disturbed. */
  othersCores: number;
  /** From here on: of the whole run, warm-up and drain included. */
  lost: number;
  unanswered: number;
  duplicated: number;
  reordered: number;
}

const OPENING_AT_ONCE = 16;
const DRAIN_LIMIT_MS = 10_000;
/** After the drain, the time in which a late duplicate still shows. */
const SETTLE_MS = 200;

process.on("disconnect", () => process.exit());
process.once("message", async (job: Job) => {
  const measured = await measure(job);
  process.send?.(measured, () => process.disconnect());
});

async function measure(job: Job): Promise<Measure> {
  const lanes = await openLanes(job);
  for (const lane of lanes) lane.begin(job.window);
  await sleep(job.warmUpSeconds * 1000);

  for (const { ledger } of lanes) ledger.forgetLatencies();
  const startMs = performance.now();
  const startEngineMs = processCpuMs(job.enginePid);
  const startOthersMs = othersCpuMs(job.enginePid);
  const startLoop = performance.eventLoopUtilization();
  await sleep(job.seconds * 1000);
  const elapsedMs = performance.now() - startMs;
  const engineMs = processCpuMs(job.enginePid) - startEngineMs;
  const othersMs = othersCpuMs(job.enginePid) - startOthersMs;
  const generatorBusy = performance.eventLoopUtilization(startLoop).utilization;
  const served = lanes.map(({ ledger }) => ledger.deliveredMs.length);

  for (const lane of lanes) lane.end();
  await drain(lanes);
  for (const lane of lanes) lane.close();

  const messages = sum(served);
  if (messages === 0) throw new Error(`nothing was delivered in ${job.seconds} s`);
  const sentMs = sorted(lanes.flatMap(({ ledger }) => ledger.sentMs));
  const deliveredMs = sorted(lanes.flatMap(({ ledger }) => ledger.deliveredMs));
  return {
    messagesPerSecond: (messages / elapsedMs) * 1000,
    sentP50Ms: quantile(sentMs, 0.5),
    sentP99Ms: quantile(sentMs, 0.99),
    deliveredP50Ms: quantile(deliveredMs, 0.5),
    deliveredP99Ms: quantile(deliveredMs, 0.99),
    cpuPerMessageMs: engineMs / messages,
    fairness: Math.min(...served) / Math.max(...served),
    pairsServed: served.filter((count) => count > 0).length,
    generatorBusy,
    // Ticks are coarse: on a quiet machine the difference may fall below zero.
    othersCores: Math.max(0, othersMs / elapsedMs),
    lost: sum(lanes.map(({ ledger }) => ledger.undelivered)),
    unanswered: sum(lanes.map(({ ledger }) => ledger.unfinished - ledger.undelivered)),
    duplicated: sum(lanes.map(({ ledger }) => ledger.duplicated)),
    reordered: sum(lanes.map(({ ledger }) => ledger.reordered)),
  };
}

/** A pair under load: while it runs, the next message starts whenever one is finished. */
interface Lane {
  ledger: Ledger;
  begin(window: number): void;
  end(): void;
  close(): void;
}

async function openLanes(job: Job): Promise<Lane[]> {
  const { adapter }: { adapter: Adapter } = await import(job.adapterUrl);
  const body = randomBytes(job.bodyBytes);
  const target = { origin: new URL(job.origin), logFile: job.logFile };
  const lanes: Lane[] = [];
  let next = 0;
  const openInTurn = async () => {
    while (next < job.pairs) lanes.push(await openLane(await adapter.openPair(target, next++, body)));
  };
  await Promise.all(Array.from({ length: OPENING_AT_ONCE }, openInTurn));
  return lanes;
}

async function openLane(pair: Pair): Promise<Lane> {
  const ledger = new Ledger();
  let running = false;
  const recipient = await openSocket(pair.recipient, note);
  const sender = await openSocket(pair.sender, note);

  const due: number[] = [];

  function startNext(): void {
    if (due.length === 0) queueMicrotask(sendDue);
    due.push(ledger.start(performance.now()));
  }

  /** What falls due in one tick goes together, as a client's outbox hands it over; the protocol decides in how many frames. */
  function sendDue(): void {
    for (const frame of pair.encodeSends(due.splice(0))) sender.send(frame);
  }

  function note({ kind, id }: MessageEvent): void {
    const finished = ledger.note(kind, id, performance.now());
    if (finished && running) startNext();
  }

  return {
    ledger,
    begin(window) {
      running = true;
      for (let started = 0; started < window; started++) startNext();
    },
    end() {
      running = false;
    },
    close() {
      closeSocket(sender);
      closeSocket(recipient);
    },
  };
}

async function drain(lanes: Lane[]): Promise<void> {
  const deadlineMs = performance.now() + DRAIN_LIMIT_MS;
  while (performance.now() < deadlineMs && lanes.some(({ ledger }) => ledger.unfinished > 0)) await sleep(20);
  await sleep(SETTLE_MS);
}

/** Of everything but the engine and this process. */
function othersCpuMs(enginePid: number): number {
  return machineCpuMs() - processCpuMs(enginePid) - processCpuMs(process.pid);
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function sorted(values: number[]): Float64Array {
  return Float64Array.from(values).sort();
}

function quantile(ascending: Float64Array, share: number): number {
  return ascending[Math.floor(ascending.length * share)] ?? Number.NaN;
}
