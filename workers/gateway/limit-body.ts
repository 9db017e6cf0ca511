import { bodyLimit } from "hono/body-limit";
import { createMiddleware } from "hono/factory";
import { Refusal } from "../../shared/errors.ts";
import { MAX_FRAME_BYTES } from "../../shared/limits.ts";
import type { GatewayTypes } from "./context.ts";
import { problem } from "./problem.ts";

/** A body that is too long is not read. @throws Refusal too_large */
export const limitBody = bodyLimit({
  maxSize: MAX_FRAME_BYTES,
  onError: () => {
    throw new Refusal("too_large");
  },
});

/**
 * A body in chunks does not say how long it will be, and would have to be read to find out; the local engine does not
 * outlive one that is left half read. Nobody has to send one: every body here is small (RFC 9110 §15.5.12).
 */
export const requireLength = createMiddleware<GatewayTypes>(async (c, next) => {
  if (c.req.header("transfer-encoding") !== undefined) return problem(c, "bad_frame", { status: 411 });
  return next();
});
