import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../sim/random.ts";
import type { Device } from "./device.ts";

/** A person who has written so much without a ✓ waits: what is under way stays bounded while the server is gone. */
const MAX_UNACKED_PER_DEVICE = 24;
const PAUSE_MS = [10, 90] as const;
const MAX_PADDING_CHARS = 2_000;

/** Everybody writes, reads and types all the time, whatever happens to the server. */
export class Load {
  /** Nobody does anything for now. */
  isQuiet = false;
  #isOver = false;
  readonly #hands: Promise<void>[];

  constructor(devices: readonly Device[], random: Random) {
    this.#hands = devices.map((device) => this.#use(device, random.fork()));
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#hands);
  }

  async #use(device: Device, random: Random): Promise<void> {
    for (let count = 1; !this.#isOver; count++) {
      if (!this.isQuiet) await act(device, count, random);
      await sleep(random.between(...PAUSE_MS));
    }
  }
}

async function act(device: Device, count: number, random: Random): Promise<void> {
  const conversation = random.pick(device.options.conversations);
  const action = random.weighted({ send: 85, read: 12, type: 3 });
  const mayWrite = device.isRunning && device.book.openCount < MAX_UNACKED_PER_DEVICE;
  if (action === "read") device.read(conversation);
  else if (action === "type") device.type(conversation);
  else if (mayWrite) await device.send(conversation, text(device, count, random));
}

/** No two are the same. */
function text(device: Device, count: number, random: Random): string {
  const padding = random.chance(0.2) ? random.between(0, MAX_PADDING_CHARS) : 0;
  return `${device.options.name} writes number ${count}. ${"·".repeat(padding)}`;
}
