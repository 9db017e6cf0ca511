import { cors as corsHeaders } from "hono/cors";
import { createMiddleware } from "hono/factory";
import { Refusal } from "../../shared/errors.ts";
import { PREFLIGHT_TTL_SECONDS } from "../../shared/limits.ts";
import { isAllowedOrigin } from "./allowed-origins.ts";
import type { GatewayTypes } from "./context.ts";
import { BOOKMARK_HEADER } from "./database/database.ts";

const answerPages = corsHeaders({
  origin: (origin) => origin,
  credentials: true,
  allowMethods: ["GET", "POST", "PUT", "PATCH", "DELETE"],
  allowHeaders: ["authorization", "content-type", BOOKMARK_HEADER],
  exposeHeaders: ["x-request-id", "retry-after", BOOKMARK_HEADER],
  maxAge: PREFLIGHT_TTL_SECONDS,
});

/**
 * Pages of allowed origins may ask and read the answers, cookies included; pages of others may not even ask, whatever
 * they ask for and however. Who names no origin is no page of another one (Fetch §3.2).
 */
export const cors = createMiddleware<GatewayTypes>(async (c, next) => {
  const origin = c.req.header("origin");
  if (origin !== undefined) {
    if (!isAllowedOrigin(c.env, origin)) throw new Refusal("forbidden_origin");
    return answerPages(c, next);
  }
  await next();
  c.header("vary", "Origin", { append: true });
});
