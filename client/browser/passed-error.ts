import type { RefusalDetails, Retry } from "../../shared/errors.ts";
import { ChatError, type ChatErrorCode } from "../chat-error.ts";

/** An error on its way from one tab to another: structured cloning alone would lose the code, and what follows from it. */
export type PassedError =
  | {
      readonly code: ChatErrorCode;
      readonly retry: Retry;
      readonly requestId: string | undefined;
      readonly details: RefusalDetails;
    }
  | { readonly name: string; readonly message: string };

export function passError(error: unknown): PassedError {
  if (error instanceof ChatError) {
    const { code, retry, requestId, details } = error;
    return { code, retry, requestId, details };
  }
  return error instanceof Error ? { name: error.name, message: error.message } : { name: "Error", message: `${error}` };
}

export function receiveError(passed: PassedError): Error {
  if ("code" in passed) return new ChatError(passed.code, passed);
  return Object.assign(new Error(passed.message), { name: passed.name });
}
