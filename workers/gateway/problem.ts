import type { Context, ErrorHandler, Hono } from "hono";
import { METHODS } from "hono/router";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { errorFields, log } from "../../durable-objects/runtime/log.ts";
import {
  type ErrorCode,
  httpStatus,
  type Problem,
  Refusal,
  type RefusalDetails,
  type Retry,
} from "../../shared/errors.ts";
import type { GatewayTypes } from "./context.ts";

/** Errors are problem details (RFC 9457). Clients switch on `code`; nothing else tells what happened inside. */
const titles = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  411: "Length Required",
  413: "Content Too Large",
  426: "Upgrade Required",
  429: "Too Many Requests",
  503: "Service Unavailable",
} satisfies Partial<Record<ContentfulStatusCode, string>>;
type Status = keyof typeof titles;

export function problem(
  c: Context<GatewayTypes>,
  code: ErrorCode,
  { status = httpStatus[code], details = {} }: { status?: Status; details?: RefusalDetails } = {},
): Response {
  const body: Problem = {
    type: "about:blank",
    title: titles[status],
    status,
    code,
    requestId: c.var.requestId,
    ...details,
  };
  return c.body(JSON.stringify(body), status, { "content-type": "application/problem+json" });
}

export const answerError: ErrorHandler<GatewayTypes> = (error, c) => {
  if (!(error instanceof Refusal)) {
    log("error", "http.failed", { requestId: c.var.requestId, ...errorFields(error) });
    return answerRefusal(c, new Refusal("unavailable"));
  }
  return answerRefusal(c, error);
};

function answerRefusal(c: Context<GatewayTypes>, { code, retry, details }: Refusal): Response {
  const status = httpStatus[code];
  if (status === 401) c.header("www-authenticate", "Bearer");
  if (status === 429 || status === 503) c.header("retry-after", String(retryAfterSeconds(retry)));
  return problem(c, code, { details });
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
  return problem(c, "method_not_allowed");
}
