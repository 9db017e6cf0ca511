import { vi } from "vitest";
import type { Design, Participant } from "./design.ts";

/**
 * The traffic of the ledger (docs/decisions/0004): fixed, for it is part of the figure. Bodies are 1 KB; everything counts
 * from first connect to last flush; objects sleep where more than ten seconds pass with nothing to do.
 */
export const BODY_BYTES = 1_024;
const BURSTS = 20;
const MESSAGES_PER_BURST = 6;
const IDLE_MS = 600_000;
const HIBERNATES_AFTER_MS = 10_000;

/** T1: two people, always connected; bursts of six messages in turn, 5–20 s apart; read at once in every other burst. */
export async function bothOnline(design: Design): Promise<{ messages: number }> {
  const [alice, bob] = [await design.signUp(), await design.signUp()];
  await alice.connect();
  await bob.connect();
  const gaps = gapsFrom(1);
  for (let burst = 0; burst < BURSTS; burst++) {
    const isOpen = burst % 2 === 0;
    for (const person of [alice, bob]) person.setChatOpen(isOpen);
    for (let index = 0; index < MESSAGES_PER_BURST; index++) {
      if (index > 0) await pass(design, gaps());
      const [from, to] = index % 2 === 0 ? [alice, bob] : [bob, alice];
      await exchange(from, to, isOpen);
    }
    if (!isOpen) await Promise.all([alice.read(bob), bob.read(alice)]);
    await quiet();
    await pass(design, IDLE_MS);
  }
  return { messages: BURSTS * MESSAGES_PER_BURST };
}

/** T2: the recipient misses five messages in each of two chats, comes back, catches up, reads and leaves; 20 times. */
export async function recipientAsleep(design: Design): Promise<{ messages: number }> {
  const [alice, carol, bob] = [await design.signUp(), await design.signUp(), await design.signUp()];
  await alice.connect();
  await carol.connect();
  const absences = 20;
  const perChat = 5;
  for (let absence = 1; absence <= absences; absence++) {
    for (let index = 0; index < perChat; index++) {
      await alice.send(bob);
      await carol.send(bob);
      await pass(design, 10_000 + 1);
    }
    await bob.connect();
    await until(() => bob.received >= absence * perChat * 2);
    await Promise.all([bob.read(alice), bob.read(carol)]);
    await until(() => [alice, carol].every((sender) => sender.ticks(bob).read >= absence * perChat));
    await bob.leave();
    await quiet();
    await pass(design, IDLE_MS);
  }
  return { messages: absences * perChat * 2 };
}

/** T5: connected and idle for a day with five reconnects; pings are answered by the platform and added by the caller. */
export async function idleDay(design: Design): Promise<{ reconnects: number; pings: number }> {
  const reconnects = 5;
  const person = await design.signUp();
  for (let index = 0; index < reconnects; index++) {
    await person.connect();
    await pass(design, (24 * 3_600_000) / reconnects);
    await person.leave();
    await quiet();
  }
  return { reconnects, pings: (24 * 3_600) / 30 };
}

/** One message and what follows from it, up to the ticks on the sender's screen. */
async function exchange(from: Participant, to: Participant, isRead: boolean): Promise<void> {
  const [received, ticks] = [to.received, from.ticks(to)];
  await from.send(to);
  await until(() => to.received > received);
  await until(() => from.ticks(to).delivered > ticks.delivered && (!isRead || from.ticks(to).read > ticks.read));
  await quiet();
}

/** Time goes by: objects fall asleep where it is long enough, alarms go off when they are due and wake them. */
async function pass(design: Design, ms: number): Promise<void> {
  const end = Date.now() + ms;
  if (ms > HIBERNATES_AFTER_MS) {
    await runAlarmsUntil(design, Date.now() + HIBERNATES_AFTER_MS);
    await design.hibernate();
  }
  await runAlarmsUntil(design, end, ms > HIBERNATES_AFTER_MS);
}

async function runAlarmsUntil(design: Design, end: number, thenSleeps = false): Promise<void> {
  for (let at = await design.nextAlarmAt(); at !== undefined && at <= end; at = await design.nextAlarmAt()) {
    vi.setSystemTime(Math.max(at, Date.now()));
    await design.runAlarms();
    if (thenSleeps) await design.hibernate();
  }
  vi.setSystemTime(end);
}

async function until(test: () => boolean): Promise<void> {
  await vi.waitFor(() => {
    if (!test()) throw new Error("still waiting");
  }, 5_000);
}

/** Lets what is still under way between objects arrive. */
async function quiet(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 15));
}

/** 5 to 20 seconds, the same ones every time (mulberry32). */
function gapsFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return 5_000 + Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * 15_000);
  };
}
