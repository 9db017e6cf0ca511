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
  "method_not_allowed",
  "phone_invalid",
  "code_wrong",
  "pin_required",
  "pin_wrong",
  "taken",
  "too_many",
  "blocked",
  // the message
  "id_from_future",
  "id_expired",
  "id_conflict",
  "seq_unknown",
  "not_sealed",
  "epoch_stale",
  // the group
  "not_allowed",
  // the moment
  "busy",
  "unavailable",
  // why a connection ends
  "replaced",
  "revoked",
  "too_slow",
  "flooding",
  "restarting",
  "signed_out",
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
  method_not_allowed: "never",
  phone_invalid: "never",
  code_wrong: "never",
  pin_required: "never",
  pin_wrong: "never",
  taken: "never",
  too_many: "never",
  blocked: "never",
  id_from_future: "never",
  id_expired: "never",
  id_conflict: "never",
  seq_unknown: "never",
  not_sealed: "never",
  epoch_stale: "now",
  not_allowed: "never",
  busy: 250,
  unavailable: 1_000,
  replaced: "never",
  revoked: "never",
  too_slow: "now",
  flooding: 30_000,
  restarting: "now",
  signed_out: "never",
};

/** How each code is answered over HTTP (RFC 9110 §15). */
export const httpStatus = {
  bad_frame: 400,
  unknown_type: 400,
  too_early: 409,
  too_large: 413,
  unauthenticated: 401,
  forbidden_origin: 403,
  not_found: 404,
  rate_limited: 429,
  too_many_devices: 409,
  method_not_allowed: 405,
  phone_invalid: 400,
  code_wrong: 403,
  pin_required: 403,
  pin_wrong: 403,
  taken: 409,
  too_many: 409,
  blocked: 403,
  id_from_future: 400,
  id_expired: 400,
  id_conflict: 409,
  seq_unknown: 400,
  not_sealed: 400,
  epoch_stale: 409,
  not_allowed: 403,
  busy: 503,
  unavailable: 503,
  replaced: 409,
  revoked: 401,
  too_slow: 503,
  flooding: 429,
  restarting: 503,
  signed_out: 401,
} as const satisfies Record<ErrorCode, number>;

/** WebSocket close codes (RFC 6455 §7.4; 4000–4999 are ours). */
export const closeCodes = {
  flooding: 1008,
  too_large: 1009,
  restarting: 1012,
  too_slow: 1013,
  bad_frame: 4000,
  revoked: 4001,
  replaced: 4002,
  signed_out: 4003,
} as const satisfies Partial<Record<ErrorCode, number>>;
export type CloseReason = keyof typeof closeCodes;

const refusalDetails = {
  /** Guesses left for this code; with 0 a new one has to be asked for. */
  triesLeft: v.optional(v.number()),
  /** Shows, for some minutes, that the code was right: `POST /v1/sign-in/complete` takes it. */
  proof: v.optional(v.string()),
  /** The account may be given up for a new one, because nobody was seen there for so long. */
  canReset: v.optional(v.boolean()),
};
/** Extension members of a problem document. */
export const RefusalDetails = v.object(refusalDetails);
export type RefusalDetails = v.InferOutput<typeof RefusalDetails>;

/** A problem document (RFC 9457): how a refusal is answered over HTTP. Clients switch on `code` alone. */
export const Problem = v.object({
  type: v.literal("about:blank"),
  /** The status in words. */
  title: v.string(),
  status: v.number(),
  code: ErrorCode,
  /** Names the request in the logs of those who run the service. */
  requestId: v.string(),
  ...refusalDetails,
});
export type Problem = v.InferOutput<typeof Problem>;

/** A refusal with a stable code: thrown inside, turned into an `error` frame or a problem document at the edge. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly code: ErrorCode;
  readonly retry: Retry;
  /** What the answer carries beside the code (RFC 9457 §3.2, extension members); over HTTP only. */
  readonly details: RefusalDetails;
  constructor(code: ErrorCode, retry: Retry = defaultRetry[code], details: RefusalDetails = {}) {
    super(code);
    this.code = code;
    this.retry = retry;
    this.details = details;
  }
}
