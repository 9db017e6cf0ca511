import { LINK_POLL_INTERVAL_MS, MAX_LINK_RETRY_MS } from "../shared/limits.ts";
import { ChatError } from "./chat-error.ts";

/** How long a task goes on asking: until its time is over, or until whoever started it has had enough. */
export class Patience {
  readonly #until: number;
  readonly #signal: AbortSignal | undefined;

  constructor(forMs: number, signal: AbortSignal | undefined) {
    this.#until = Date.now() + forMs;
    this.#signal = signal;
  }

  /** @throws ChatError `closed` when the signal says so, `not_found` when the time is over */
  async pause(ms: number): Promise<void> {
    if (Date.now() >= this.#until) throw new ChatError("not_found");
    await sleep(ms, this.#signal);
  }

  /** Asks again if that helps before long. @throws ChatError as `pause`, and what `ask` is refused with otherwise */
  async insist<T>(ask: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (!(error instanceof ChatError) || !error.retryable || error.retryAfterMs > MAX_LINK_RETRY_MS) throw error;
        await this.pause(Math.max(error.retryAfterMs, LINK_POLL_INTERVAL_MS));
      }
    }
  }
}

/** @throws ChatError closed, when the signal says so */
export function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new ChatError("closed", { cause: signal?.reason }));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}
