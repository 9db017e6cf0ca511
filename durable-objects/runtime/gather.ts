/** A turn of the engine's timers: the shortest pause in which it looks at its sockets. */
export const TURN_MS = 1;

/**
 * Gathering (docs/decisions/0003): go at once when idle, collect what arrives while a call is in flight, and when it
 * returns and more waits, yield one timer turn first — without the yield the engine never polls its sockets under load
 * and most of them starve.
 */
export class Gather<T> {
  #waiting: T[] = [];
  #state: "idle" | "in_flight" | "yielding" = "idle";
  #lastCount = 0;

  add(item: T): void {
    this.#waiting.push(item);
  }

  get waiting(): readonly T[] {
    return this.#waiting;
  }

  get isIdle(): boolean {
    return this.#state === "idle" && this.#waiting.length === 0;
  }

  /**
   * The next batch: at most `maxItems` from the front whose sizes stay within `maxBytes` (but at least one); nothing
   * while one is in flight.
   */
  take(maxItems: number, maxBytes: number, bytesOf: (item: T) => number): T[] {
    if (this.#state !== "idle" || this.#waiting.length === 0) return [];
    let bytes = 0;
    let count = 0;
    for (const item of this.#waiting) {
      bytes += bytesOf(item);
      if (count === maxItems || (count > 0 && bytes > maxBytes)) break;
      count++;
    }
    this.#state = "in_flight";
    this.#lastCount = count;
    return this.#waiting.splice(0, count);
  }

  /**
   * The batch in flight is done. True: call `resume` after one timer turn, for more waits or, after a batch of several,
   * is about to come: whoever sent them has just been answered, and what follows shall not go in twos, one and the rest.
   */
  done(): boolean {
    this.#state = this.#waiting.length > 0 || this.#lastCount > 1 ? "yielding" : "idle";
    return this.#state === "yielding";
  }

  resume(): void {
    if (this.#state === "yielding") this.#state = "idle";
  }

  /** Takes everything that waits, in flight or not: for refusing it all. */
  drain(): T[] {
    return this.#waiting.splice(0);
  }
}
