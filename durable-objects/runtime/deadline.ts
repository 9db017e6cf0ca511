import { CALL_TIMEOUT_MS } from "../../shared/limits.ts";

/** A call that was not answered in time counts as failed. It may still take effect; all calls may be repeated. */
export function withDeadline<T>(call: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<T>();
  const timer = setTimeout(() => late.reject(new Error("no answer in time")), CALL_TIMEOUT_MS);
  return Promise.race([call, late.promise]).finally(() => clearTimeout(timer));
}
