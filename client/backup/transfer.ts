import { MAX_TRANSFER_TRIES, TRANSFER_RETRY_MAX_MS, TRANSFER_RETRY_MS } from "../../shared/limits.ts";
import { ChatError } from "../chat-error.ts";
import { sleep } from "../patience.ts";

/** How far something is that takes its time. `done` never goes back, and in the end is `total`. */
export interface Progress {
  readonly done: number;
  readonly total: number;
}

export interface TransferOptions {
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Ends it, with code `closed`; what has been transferred stays so, and it can go on later. */
  readonly signal?: AbortSignal | undefined;
}

/** What fails in passing is tried again, ever more slowly and not for ever. @throws ChatError closed; what `ask` throws */
export async function persevere<T>(ask: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    if (signal?.aborted) throw new ChatError("closed", { cause: signal.reason });
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof ChatError) || !error.retryable || attempt === MAX_TRANSFER_TRIES) throw error;
      const pause = Math.min(TRANSFER_RETRY_MS * 2 ** (attempt - 1), TRANSFER_RETRY_MAX_MS);
      await sleep(Math.max(error.retryAfterMs, pause), signal);
    }
  }
}
