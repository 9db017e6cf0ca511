import { setTimeout as sleep } from "node:timers/promises";
import type { ConversationId } from "../../shared/ids.ts";
import type { Device } from "./device.ts";

const DRAIN_WITHIN_MS = 30_000;
const READ_WITHIN_MS = 10_000;
const LOOK_INTERVAL_MS = 20;

/** Nobody writes any more and the server stays: everything must come right now. @returns what did not */
export async function heal(devices: readonly Device[]): Promise<string[]> {
  const problems = await awaitDrained(devices);
  for (const device of devices) for (const conversation of device.options.conversations) device.read(conversation);
  const isAllSeen = () => eachChat(devices, (device, conversation, head) => device.book.seen(conversation) === head);
  if (!(await comesTrue(READ_WITHIN_MS, isAllSeen))) problems.push("not everybody learned that everything is read");
  return problems;
}

/** Everything that was written reaches everybody, without another message that would show what is missing. */
export async function awaitDrained(devices: readonly Device[]): Promise<string[]> {
  return (await comesTrue(DRAIN_WITHIN_MS, () => isDrained(devices))) ? [] : undrained(devices);
}

function isDrained(devices: readonly Device[]): boolean {
  const isSettled = devices.every(({ book, caughtUpAt }) => book.openCount === 0 && caughtUpAt !== undefined);
  return isSettled && eachChat(devices, (device, conversation, head) => device.book.head(conversation) === head);
}

function undrained(devices: readonly Device[]): string[] {
  const heads = headsOf(devices);
  return devices.flatMap(({ options: { name, conversations }, book, caughtUpAt }) => [
    ...(book.openCount > 0 ? [`${name}: ${book.openCount} messages are still unsent`] : []),
    ...(caughtUpAt === undefined ? [`${name}: not caught up`] : []),
    ...conversations
      .filter((conversation) => book.head(conversation) !== heads.get(conversation))
      .map(
        (conversation) => `${name}: has ${book.head(conversation)} of ${heads.get(conversation)} in ${conversation}`,
      ),
  ]);
}

function eachChat(
  devices: readonly Device[],
  isSo: (device: Device, conversation: ConversationId, head: number) => boolean,
): boolean {
  const heads = headsOf(devices);
  return devices.every((device) =>
    device.options.conversations.every((conversation) => isSo(device, conversation, heads.get(conversation) ?? 0)),
  );
}

/** The furthest that any device has got. */
function headsOf(devices: readonly Device[]): Map<ConversationId, number> {
  const heads = new Map<ConversationId, number>();
  for (const { book, options } of devices) {
    for (const conversation of options.conversations) {
      heads.set(conversation, Math.max(book.head(conversation), heads.get(conversation) ?? 0));
    }
  }
  return heads;
}

async function comesTrue(withinMs: number, isSo: () => boolean): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (!isSo()) {
    if (performance.now() > deadline) return false;
    await sleep(LOOK_INTERVAL_MS);
  }
  return true;
}
