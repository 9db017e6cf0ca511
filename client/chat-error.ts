import { defaultRetry, type Retry } from "../shared/errors.ts";
import type { SessionErrorCode } from "./session/contract.ts";

export type ChatErrorCode = SessionErrorCode;

/** The one error of this package. Switch on `code`; the message is for logs. */
export class ChatError extends Error {
  override readonly name = "ChatError";
  readonly code: ChatErrorCode;
  readonly retry: Retry;
  /** Names the request in the server's logs. */
  readonly requestId: string | undefined;

  constructor(code: ChatErrorCode, options: { retry?: Retry; requestId?: string | undefined; cause?: unknown } = {}) {
    super(code, { cause: options.cause });
    this.code = code;
    this.retry = options.retry ?? (code in defaultRetry ? defaultRetry[code as keyof typeof defaultRetry] : "never");
    this.requestId = options.requestId;
  }

  get retryable(): boolean {
    return this.retry !== "never";
  }

  /** 0 where nothing needs to be waited for. */
  get retryAfterMs(): number {
    return typeof this.retry === "number" ? this.retry : 0;
  }
}
