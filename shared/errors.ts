import * as v from "valibot";

/**
 * Stable error codes. A client switches on the code, never on a text; the reason behind a code never crosses the wire.
 * New codes are added at the end of their group; a code is never reused for something else.
 */
const errorCodes = [
  // the frame itself
  "bad_frame",
  "unknown_type",
  "too_early",
  "too_large",
  // the caller
  "unauthenticated",
  "forbidden_origin",
  "not_found",
  "rate_limited",
  "too_many_devices",
  // the message
  "id_from_future",
  "id_expired",
  "id_conflict",
  "seq_unknown",
  // the moment
  "busy",
  "unavailable",
  // why a connection ends
  "replaced",
  "revoked",
  "too_slow",
  "flooding",
  "restarting",
] as const;
export const ErrorCode = v.picklist(errorCodes);
export type ErrorCode = v.InferOutput<typeof ErrorCode>;

/** What the receiver of an error may do: never try again, try at once, or try after so many milliseconds. */
export const Retry = v.union([
  v.literal("never"),
  v.literal("now"),
  v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
]);
export type Retry = v.InferOutput<typeof Retry>;

/** How each code is answered unless the place that raises it knows better. */
export const defaultRetry: Record<ErrorCode, Retry> = {
  bad_frame: "never",
  unknown_type: "never",
  too_early: "now",
  too_large: "never",
  unauthenticated: "never",
  forbidden_origin: "never",
  not_found: "never",
  rate_limited: 1_000,
  too_many_devices: "never",
  id_from_future: "never",
  id_expired: "never",
  id_conflict: "never",
  seq_unknown: "never",
  busy: 250,
  unavailable: 1_000,
  replaced: "never",
  revoked: "never",
  too_slow: "now",
  flooding: 30_000,
  restarting: "now",
};

/** WebSocket close codes (RFC 6455 §7.4; 4000–4999 are ours). */
export const closeCodes = {
  flooding: 1008,
  too_large: 1009,
  restarting: 1012,
  too_slow: 1013,
  bad_frame: 4000,
  revoked: 4001,
  replaced: 4002,
} as const satisfies Partial<Record<ErrorCode, number>>;
export type CloseReason = keyof typeof closeCodes;

/** A refusal with a stable code: thrown inside, turned into an `error` frame or a problem document at the edge. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly code: ErrorCode;
  readonly retry: Retry;
  constructor(code: ErrorCode, retry: Retry = defaultRetry[code]) {
    super(code);
    this.code = code;
    this.retry = retry;
  }
}
