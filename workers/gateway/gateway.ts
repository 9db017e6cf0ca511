import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { Env } from "../../durable-objects/runtime/env.ts";
import { Refusal } from "../../shared/errors.ts";
import { MAX_FRAME_BYTES } from "../../shared/limits.ts";
import { devSignIn, isDevSignInEnabled } from "./auth/dev-sign-in.ts";
import { connect } from "./connect.ts";
import { connectTicket } from "./connect-ticket.ts";
import type { GatewayTypes } from "./context.ts";
import { health } from "./health.ts";
import { jwks } from "./jwks.ts";
import { answerError, answerUnrouted } from "./problem.ts";
import { refuseCredentialsInUrl } from "./refuse-credentials-in-url.ts";
import { traceRequest } from "./trace-request.ts";

export type Gateway = Hono<GatewayTypes>;

const limitBody = bodyLimit({
  maxSize: MAX_FRAME_BYTES,
  onError: () => {
    throw new Refusal("too_large");
  },
});

/** Development routes are mounted here or nowhere: outside development there is nothing that could be reached. */
export function buildGateway(env: Env): Gateway {
  const gateway: Gateway = new Hono<GatewayTypes>();
  gateway.use(traceRequest, refuseCredentialsInUrl);
  gateway.use("/v1/*", limitBody);
  gateway.get("/health", health);
  gateway.get("/.well-known/jwks.json", jwks);
  gateway.post("/v1/connect-ticket", connectTicket);
  gateway.get("/v1/connect", connect);
  if (isDevSignInEnabled(env)) gateway.post("/v1/dev/sign-in", devSignIn);
  gateway.notFound((c) => answerUnrouted(gateway, c));
  gateway.onError(answerError);
  return gateway;
}
