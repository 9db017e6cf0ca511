import { setTimeout as sleep } from "node:timers/promises";

/** Around the 5 s after which both ends close a connection that rests. */
const CLOSING_FROM_MS = 4_000;
const CLOSED_AFTER_MS = 6_500;

/**
 * The connections that `wrangler dev` keeps to the Worker. It closes those that have rested for 5 s, and so does the Worker:
 * a request that takes one at that moment gets a 500, and wrangler ends. It takes the one that was used last, so here is known
 * how long that one has rested; whoever would take one that is about to be closed waits until it is.
 */
export class Connections {
  /** When each was used last, of those that rest; the last one on top. */
  readonly #resting: number[] = [];

  async use<T>(ask: () => Promise<T>): Promise<T> {
    const usedAt = this.#resting.pop();
    const restedMs = usedAt === undefined ? 0 : performance.now() - usedAt;
    if (restedMs > CLOSING_FROM_MS && restedMs < CLOSED_AFTER_MS) await sleep(CLOSED_AFTER_MS - restedMs);
    try {
      return await ask();
    } finally {
      this.#resting.push(performance.now());
    }
  }
}
