import { SMS_RETRY_MS, SMS_TIMEOUT_MS } from "../../../shared/limits.ts";
import { CodeNotSent } from "./provider.ts";

/**
 * Hands a message over to a provider. What failed in passing is tried once more, what took too long is not: the message
 * may be on its way. A redirect is a failure, so that number, code and credentials go to the configured address only.
 * @throws CodeNotSent
 */
export async function post(url: URL, message: { headers: Record<string, string>; body: string }): Promise<void> {
  const signal = AbortSignal.timeout(SMS_TIMEOUT_MS);
  const request: RequestInit = { method: "POST", redirect: "manual", signal, ...message };
  let status = await statusOf(url, request);
  if (isPassing(status) && !signal.aborted) {
    await new Promise((resolve) => setTimeout(resolve, SMS_RETRY_MS));
    status = await statusOf(url, request);
  }
  if (status === undefined) throw new CodeNotSent("the provider did not answer");
  if (status < 200 || status > 299) throw new CodeNotSent("the provider refused", status);
}

/** Undefined: there was no answer. What it says is not read: it may quote number and code. */
async function statusOf(url: URL, request: RequestInit): Promise<number | undefined> {
  try {
    const response = await fetch(url, request);
    await response.body?.cancel();
    return response.status;
  } catch {
    return undefined;
  }
}

function isPassing(status: number | undefined): boolean {
  return status === undefined || status === 429 || status >= 500;
}
