import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ChatError, type Credentials, signInForDevelopment } from "../../client/index.ts";
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

/** New accounts every time: a device that was left behind by an earlier run would miss what is said now. */
export async function gather(url: string, directory: string, terminal: Terminal): Promise<Cast> {
  const run = randomBytes(4).toString("hex");
  const names = new Map<string, string>();
  const device = async (person: string, kind: string): Promise<Device> => {
    const credentials = await signIn(url, `${person}-${run}`);
    names.set(credentials.user, person);
    const storePath = join(directory, `${person}-${kind}.sqlite`.toLowerCase());
    return new Device({ name: `${person}’s ${kind}`, url, storePath, credentials, terminal, names });
  };
  return {
    adasPhone: await device("Ada", "phone"),
    adasLaptop: await device("Ada", "laptop"),
    gracesPhone: await device("Grace", "phone"),
    joansPhone: await device("Joan", "phone"),
  };
}

async function signIn(url: string, name: string): Promise<Credentials> {
  try {
    return await signInForDevelopment(url, { name });
  } catch (error) {
    if (!(error instanceof ChatError)) throw error;
    const hint = "npm start starts a system whose people sign in by name alone";
    throw new Error(`Nobody can sign in at ${url} (${error.code}): ${hint}.`);
  }
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
