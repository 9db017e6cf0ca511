import { randomInt } from "node:crypto";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { FICTITIOUS_PHONES, fictitiousPhone } from "../fictitious-phone.ts";
import { Device } from "./device.ts";
import type { Terminal } from "./terminal.ts";

const EVENT_TIMEOUT_MS = 5_000;
const LOOK_INTERVAL_MS = 5;
/** So that a person can follow. */
const BREATH_MS = 350;

export type Cast = {
  readonly adasPhone: Device;
  readonly adasLaptop: Device;
  readonly gracesPhone: Device;
  readonly joansPhone: Device;
};

export function gather(url: string, directory: string, terminal: Terminal): Cast {
  const names = new Map<string, string>();
  const device = (owner: string, kind: string): Device => {
    const storePath = join(directory, `${owner}-${kind}.sqlite`.toLowerCase());
    return new Device({ owner, kind, url, storePath, terminal, names });
  };
  return {
    adasPhone: device("Ada", "phone"),
    adasLaptop: device("Ada", "laptop"),
    gracesPhone: device("Grace", "phone"),
    joansPhone: device("Joan", "phone"),
  };
}

/** Other numbers every time: a device that an earlier run has left behind would miss what is said now. */
export function phoneNumbers(count: number): string[] {
  const first = randomInt(FICTITIOUS_PHONES - count);
  return Array.from({ length: count }, (_, index) => fictitiousPhone(first + index));
}

/** @throws Error if it does not come true in time */
export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + EVENT_TIMEOUT_MS;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`This never came: ${what}.`);
    await sleep(LOOK_INTERVAL_MS);
  }
}

export function expect(what: string, isSo: boolean): void {
  if (!isSo) throw new Error(`This is not so: ${what}.`);
}

export function breathe(): Promise<void> {
  return sleep(BREATH_MS);
}
