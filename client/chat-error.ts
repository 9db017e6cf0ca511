import { defaultRetry, type RefusalDetails, type Retry } from "../shared/errors.ts";
import { errorTexts } from "./error-texts.ts";
import type { SessionErrorCode } from "./session/contract.ts";

export type ChatErrorCode = SessionErrorCode;

interface ChatErrorOptions {
  readonly retry?: Retry;
  readonly requestId?: string | undefined;
  readonly details?: RefusalDetails;
  readonly cause?: unknown;
}

/** The one error of this package. Switch on `code`; the message says what it means, to developers. */
export class ChatError extends Error {
  override readonly name = "ChatError";
  readonly code: ChatErrorCode;
  readonly retry: Retry;
  /** Names the request in the server's logs. */
  readonly requestId: string | undefined;
  /** What else the server says: how many tries are left, or the proof with which a sign-in goes on. */
  readonly details: RefusalDetails;

  constructor(code: ChatErrorCode, options: ChatErrorOptions = {}) {
    super(`${code}: ${errorTexts[code]}`, { cause: options.cause });
    this.code = code;
    this.retry = options.retry ?? (code in defaultRetry ? defaultRetry[code as keyof typeof defaultRetry] : "never");
    this.requestId = options.requestId;
    this.details = options.details ?? {};
  }

  get retryable(): boolean {
    return this.retry !== "never";
  }

  /** 0 where nothing needs to be waited for. */
  get retryAfterMs(): number {
    return typeof this.retry === "number" ? this.retry : 0;
  }
}

/** Whether it is one of ours with this code. */
export function hasCode(error: unknown, code: ChatErrorCode): error is ChatError {
  return error instanceof ChatError && error.code === code;
}
