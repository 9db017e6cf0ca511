import { setTimeout as sleep } from "node:timers/promises";
import { codesInLog } from "../../scripts/codes.ts";
import type { Random } from "../sim/random.ts";
import { gather } from "./cast.ts";
import type { Device } from "./device.ts";
import { awaitDrained, heal } from "./ending.ts";
import { History } from "./history.ts";
import { Load } from "./load.ts";
import { type Cycle, faults } from "./plan.ts";
import { Server } from "./server.ts";

/** Of each fan-out: under load one stops within a second or two. */
const STOP_PROBABILITY = 0.01;
const RECOVERY_TIMEOUT_MS = 60_000;
const LOOK_INTERVAL_MS = 5;

export interface Recovery {
  readonly ms: number;
  readonly isTold: boolean;
}

interface Settings {
  readonly directory: string;
  readonly cycles: readonly Cycle[];
  readonly random: Random;
  readonly progress: (line: string) => void;
}

/** The whole run: the server dies once a cycle, and at the end everything must come right by itself. */
export class Run {
  readonly history = new History();
  readonly problems: string[] = [];
  readonly recoveries: Recovery[] = [];
  readonly kills = { random: 0, failpoint: 0, app: 0 };
  readonly #settings: Settings;
  readonly #random: Random;
  readonly #server: Server;
  #devices: Device[] = [];

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#random = settings.random;
    this.#server = new Server(settings.directory);
  }

  get deviceCount(): number {
    return this.#devices.length;
  }

  async play(): Promise<void> {
    await this.#server.start();
    try {
      await this.#gather();
      await this.#endure();
      for (const device of this.#devices) await device.finalRead();
    } finally {
      for (const device of this.#devices) await device.stop();
      await this.#server.stop();
    }
  }

  async #gather(): Promise<void> {
    const problem = (text: string) => void this.problems.push(text);
    const { directory } = this.#settings;
    const { url, logFile } = this.#server;
    this.#devices = await gather({ url, directory, codeFor: codesInLog(logFile), history: this.history, problem });
    for (const device of this.#devices) await device.start();
    for (const device of this.#devices) await device.enterAll();
  }

  async #endure(): Promise<void> {
    const load = new Load(this.#devices, this.#random.fork());
    await this.#awaitRecovery(0);
    for (const [index, cycle] of this.#settings.cycles.entries()) {
      const { cycles } = this.#settings;
      load.isQuiet = false;
      await this.#live(cycle, load, cycles[index + 1], `${index + 1} of ${cycles.length}`);
    }
    await load.stop();
    this.problems.push(...(await heal(this.#devices)));
  }

  /** People go on until the server dies, at whatever moment that is; then it starts again for the next cycle. */
  async #live(cycle: Cycle, load: Load, next: Cycle | undefined, name: string): Promise<void> {
    const appRestart = cycle.killsApp ? this.#killApp() : undefined;
    const end = await this.#awaitEnd(cycle);
    this.#strike(end);
    load.isQuiet = cycle.fallsSilent;
    const killedAt = this.history.now;
    await this.#server.kill();
    await this.#server.start(next?.endsAt === "failpoint" ? STOP_PROBABILITY : 0);
    const healthyAt = this.history.now;
    if (cycle.isTold) for (const device of this.#devices) device.networkIsBack();
    await appRestart;
    await this.#awaitRecovery(killedAt);
    const ms = Math.round(this.history.now - healthyAt);
    if (cycle.fallsSilent) this.problems.push(...(await awaitDrained(this.#devices)));
    this.recoveries.push({ ms, isTold: cycle.isTold });
    const how = `killed ${end === "random" ? "at random" : "at the failpoint"}, back after ${ms} ms`;
    this.#settings.progress(`${name}: ${how}${cycle.isTold ? "" : " unaided"}, ${this.history.acked} acked`);
  }

  async #awaitEnd({ endsAt, loadMs }: Cycle): Promise<"random" | "failpoint"> {
    if (endsAt === "failpoint" && (await this.#server.stopsWithin(loadMs))) return "failpoint";
    if (endsAt === "random") await sleep(loadMs);
    return "random";
  }

  /** Until all have caught up and somebody has a ✓, both since then, or nobody waits for one. */
  async #awaitRecovery(since: number): Promise<void> {
    const isBack = (device: Device) => (device.caughtUpAt ?? 0) > since;
    const hasAck = (device: Device) => device.lastAckAt > since;
    const waits = (device: Device) => device.book.openCount > 0;
    const deadline = this.history.now + RECOVERY_TIMEOUT_MS;
    while (!this.#devices.every(isBack) || !(this.#devices.some(hasAck) || !this.#devices.some(waits))) {
      await sleep(LOOK_INTERVAL_MS);
      if (this.history.now < deadline) continue;
      const missing = this.#devices.filter((device) => !isBack(device)).map((device) => device.options.name);
      throw new Error(`not back in time: ${missing.join(", ") || "nobody got a ✓"}`);
    }
  }

  /** Soon enough that it is there again when the server is. */
  async #killApp(): Promise<void> {
    const device = this.#random.pick(this.#devices);
    const [killAfterMs, startAfterMs] = [this.#random.between(0, 1_500), this.#random.between(50, 500)];
    await sleep(killAfterMs);
    this.#strike("app");
    await device.crash();
    await sleep(startAfterMs);
    await device.start();
  }

  #strike(fault: keyof typeof faults): void {
    this.kills[fault]++;
    this.history.add({ type: "info", op: "fault", fault: faults[fault] });
  }
}
