import type { Result } from "../../durable-objects/user/effects.ts";
import type { DeliverReply } from "../../shared/rpc.ts";
import type { Settle } from "./host.ts";
import type { Platform } from "./platform.ts";

/** The other end of a call between objects. */
export interface Callee {
  readonly id: string;
  readonly name: string;
  call(method: string, args: unknown, settle: Settle): void;
}

const FAILED: Result = { ok: false };

/**
 * Calls between objects: they take time, mostly keep their order, and may be lost on the way there, when nothing has
 * happened, or on the way back, when it has.
 */
export class Calls {
  readonly #platform: Platform;
  /** When the last call from one object to another arrives. */
  readonly #lastArrival = new Map<string, number>();

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  /** @param again what a call says that comes a second time */
  call(from: string, to: Callee, method: string, args: unknown, done: Settle, again: () => unknown = () => args): void {
    const { timeline, faults, random } = this.#platform;
    const label = `${from} → ${to.name} ${method}`;
    if (faults.strikes("rpc-request-lost")) {
      return timeline.after(random.between(1, 200), `${label} lost`, () => done(FAILED));
    }
    const isReplyLost = faults.strikes("rpc-reply-lost");
    const slowWay = faults.strikes("rpc-delayed") ? random.pick(["there", "back"] as const) : undefined;
    timeline.after(slowWay === "there" ? this.#longDelay() : this.#delay(from, to), label, () => {
      to.call(method, args, (result) => {
        const answer = isReplyLost ? FAILED : this.#spoiled(method, result);
        const isSlow = slowWay === "back" || this.#isOvertaken(to, method, result);
        const ms = isSlow ? this.#longDelay() : random.between(1, 15);
        timeline.after(ms, `${label} ${answer.ok ? "answered" : "failed"}`, () => done(answer));
      });
    });
    if (!faults.strikes("rpc-duplicated")) return;
    timeline.after(random.between(1, 2_000), `${label} again`, () => to.call(method, again(), () => {}));
  }

  /** While the answer that nobody is there is on its way, somebody comes. */
  #isOvertaken(to: Callee, method: string, result: Result): boolean {
    const isDormant = method === "deliver" && result.ok && (result.value as DeliverReply).state === "dormant";
    if (!isDormant || !this.#platform.faults.strikes("dormant-overtaken")) return false;
    this.#platform.comeBack(to.id);
    return true;
  }

  #longDelay(): number {
    return this.#platform.random.between(200, 5_000);
  }

  #delay(from: string, to: Callee): number {
    const { timeline, faults, random } = this.#platform;
    if (faults.strikes("rpc-reordered")) return random.between(15, 120);
    const key = `${from} ${to.name}`;
    const arrival = Math.max(timeline.now + random.between(1, 15), this.#lastArrival.get(key) ?? 0);
    this.#lastArrival.set(key, arrival);
    return arrival - timeline.now;
  }

  #spoiled(method: string, result: Result): Result {
    const { reply } = this.#platform.sabotage;
    return reply && result.ok ? { ok: true, value: reply(method, result.value) } : result;
  }
}
