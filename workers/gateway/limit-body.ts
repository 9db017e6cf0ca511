import type { MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { createMiddleware } from "hono/factory";
import type { Endpoint } from "../../shared/api/endpoint.ts";
import { Refusal } from "../../shared/errors.ts";
import { MAX_FRAME_BYTES } from "../../shared/limits.ts";
import type { GatewayTypes } from "./context.ts";
import { problem } from "./problem.ts";

/** A body that is too long for its endpoint is not read. @throws Refusal too_large */
export function limitBody({ maxBytes = MAX_FRAME_BYTES }: Endpoint): MiddlewareHandler {
  return bodyLimit({
    maxSize: maxBytes,
    onError: () => {
      throw new Refusal("too_large");
    },
  });
}

/**
 * A body in chunks does not say how long it will be, and would have to be read to find out; the local engine does not
 * outlive one that is left half read. Nobody has to send one: whoever asks here has all of the body (RFC 9110 §15.5.12).
 */
export const requireLength = createMiddleware<GatewayTypes>(async (c, next) => {
  if (c.req.header("transfer-encoding") !== undefined) return problem(c, "bad_frame", { status: 411 });
  return next();
});
