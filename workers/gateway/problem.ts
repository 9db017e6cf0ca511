import type { Context, ErrorHandler, Hono } from "hono";
import { METHODS } from "hono/router";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { errorFields, log } from "../../durable-objects/runtime/log.ts";
import { type ErrorCode, Refusal, type Retry } from "../../shared/errors.ts";
import type { GatewayTypes } from "./context.ts";

/** Errors are problem details (RFC 9457). Clients switch on `code`; nothing else tells what happened inside. */
const statuses: Record<ErrorCode, ContentfulStatusCode> = {
  bad_frame: 400,
  unknown_type: 400,
  too_early: 409,
  too_large: 413,
  unauthenticated: 401,
  forbidden_origin: 403,
  not_found: 404,
  rate_limited: 429,
  too_many_devices: 409,
  id_from_future: 400,
  id_expired: 400,
  id_conflict: 409,
  seq_unknown: 400,
  busy: 503,
  unavailable: 503,
  replaced: 409,
  revoked: 401,
  too_slow: 503,
  flooding: 429,
  restarting: 503,
};

const titles: Partial<Record<ContentfulStatusCode, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  413: "Content Too Large",
  426: "Upgrade Required",
  429: "Too Many Requests",
  503: "Service Unavailable",
};

export function problem(
  c: Context<GatewayTypes>,
  code: ErrorCode,
  status: ContentfulStatusCode = statuses[code],
): Response {
  const body = { type: "about:blank", title: titles[status], status, code, requestId: c.var.requestId };
  return c.body(JSON.stringify(body), status, { "content-type": "application/problem+json" });
}

export const answerError: ErrorHandler<GatewayTypes> = (error, c) => {
  if (!(error instanceof Refusal)) {
    log("error", "http.failed", { requestId: c.var.requestId, ...errorFields(error) });
    return answerRefusal(c, new Refusal("unavailable"));
  }
  return answerRefusal(c, error);
};

function answerRefusal(c: Context<GatewayTypes>, { code, retry }: Refusal): Response {
  const status = statuses[code];
  if (status === 401) c.header("www-authenticate", "Bearer");
  if (status === 429 || status === 503) c.header("retry-after", String(retryAfterSeconds(retry)));
  return problem(c, code);
}

function retryAfterSeconds(retry: Retry): number {
  return typeof retry === "number" ? Math.ceil(retry / 1_000) : 0;
}

/** 405 for a path that exists under another method, 404 for one that does not. */
export function answerUnrouted(gateway: Hono<GatewayTypes>, c: Context<GatewayTypes>): Response {
  const path = c.req.path;
  const allowed = METHODS.map((method) => method.toUpperCase()).filter((method) =>
    gateway.router.match(method, path)[0].some(([[, route]]) => route.method === method),
  );
  if (allowed.length === 0) return problem(c, "not_found");
  c.header("allow", allowed.join(", "));
  return problem(c, "not_found", 405);
}
