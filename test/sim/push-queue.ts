import * as v from "valibot";
import { PushJob } from "../../shared/push-job.ts";
import type { Settle } from "./host.ts";
import type { Platform } from "./platform.ts";

/** The queue of pushes and the Worker behind it, which wakes devices. */
export class PushQueue {
  readonly #platform: Platform;

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  send(args: unknown, done: Settle): void {
    const { timeline, faults, random } = this.#platform;
    const job = v.parse(PushJob, args);
    timeline.after(random.between(1, 15), "queue takes a push", () => {
      const isRefused = faults.strikes("queue-failed");
      if (!isRefused) this.#accept(job);
      const ok = !isRefused && !faults.strikes("queue-reply-lost");
      timeline.after(random.between(1, 15), "queue answers", () => done(ok ? { ok, value: undefined } : { ok }));
    });
  }

  #accept(job: PushJob): void {
    const { timeline, faults, random, sabotage } = this.#platform;
    if (sabotage.dropsPushes) return;
    const delay = faults.strikes("queue-delayed") ? random.between(5_000, 30_000) : random.between(10, 500);
    timeline.after(delay, "push", () => this.#notify(job));
    if (faults.strikes("queue-duplicated"))
      timeline.after(random.between(10, 10_000), "push again", () => this.#notify(job));
  }

  #notify({ user, devices, conversation }: PushJob): void {
    const about = conversation === undefined ? {} : { conversation };
    for (const device of devices) this.#platform.history.add({ type: "ok", op: "push", user, device, ...about });
  }
}
