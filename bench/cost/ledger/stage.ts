import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { meter } from "../../../durable-objects/runtime/meter.ts";

/** The objects that a ledger's traffic has brought to life, under the ledger's clock. */
export class Stage {
  readonly #stubOf: (name: string) => DurableObjectStub;
  readonly #objects = new Set<string>();
  readonly #alarms = new Map<string, number>();
  #isAsleep = false;

  constructor(stubOf: (name: string) => DurableObjectStub) {
    this.#stubOf = stubOf;
  }

  /** An object takes part: it was called, or will be at once. */
  enter(name: string): void {
    this.#objects.add(name);
    this.#isAsleep = false;
  }

  async nextAlarmAt(): Promise<number | undefined> {
    if (!this.#isAsleep) await this.#look();
    return this.#alarms.size > 0 ? Math.min(...this.#alarms.values()) : undefined;
  }

  async runAlarms(): Promise<void> {
    for (const [name, at] of [...this.#alarms]) {
      if (at > Date.now()) continue;
      this.#alarms.delete(name);
      this.#isAsleep = false;
      await runDurableObjectAlarm(this.#stubOf(name));
    }
  }

  async hibernate(): Promise<void> {
    await this.#look();
    for (const name of this.#objects) await evictDurableObject(this.#stubOf(name));
    this.#isAsleep = true;
  }

  /** Looking may wake an object, which the platform would not have done: what that costs is not counted. */
  async #look(): Promise<void> {
    const before = { ...meter };
    for (const name of this.#objects) {
      const at = await runInDurableObject(this.#stubOf(name), (_, ctx) => ctx.storage.getAlarm());
      if (at === null) this.#alarms.delete(name);
      else this.#alarms.set(name, at);
    }
    Object.assign(meter, before);
  }
}
