import { createMiddleware } from "hono/factory";
import { routePath } from "hono/route";
import { ulid } from "ulid";
import { log } from "../../durable-objects/runtime/log.ts";
import type { GatewayTypes } from "./context.ts";

/**
 * Names every request and writes its one log line. The name is ours even if the client brings one: it must be unique
 * and say nothing. The route is logged as its pattern, never as the URL that came.
 */
export const traceRequest = createMiddleware<GatewayTypes>(async (c, next) => {
  const startedAt = Date.now();
  const requestId = ulid();
  c.set("requestId", requestId);
  await next();
  c.header("x-request-id", requestId);
  c.header("x-content-type-options", "nosniff");
  if (!c.res.headers.has("cache-control")) c.header("cache-control", "no-store");
  log("info", "http.request", {
    requestId,
    method: c.req.method,
    route: routePath(c, -1),
    status: c.res.status,
    durationMs: Date.now() - startedAt,
  });
});
