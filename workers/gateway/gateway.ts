import { Hono } from "hono";
import { mountArchives } from "./archives/mount.ts";
import { connect } from "./connect.ts";
import type { GatewayTypes } from "./context.ts";
import { cors } from "./cors.ts";
import { mountDevices } from "./devices/mount.ts";
import { mountEncryption } from "./encryption/mount.ts";
import { requireLength } from "./limit-body.ts";
import { mountPeople } from "./people/mount.ts";
import { answerError, answerUnrouted } from "./problem.ts";
import { refuseCredentialsInUrl } from "./refuse-credentials-in-url.ts";
import { mountRights } from "./rights/mount.ts";
import { mountService } from "./service.ts";
import { mountSession } from "./session/mount.ts";
import { mountSignIn } from "./sign-in/mount.ts";
import { traceRequest } from "./trace-request.ts";

export type Gateway = Hono<GatewayTypes>;

const mounts = [
  mountService,
  mountSignIn,
  mountSession,
  mountDevices,
  mountPeople,
  mountEncryption,
  mountArchives,
  mountRights,
];

/** Every route there is. What each endpoint takes and answers stands in shared/api/. */
export function buildGateway(): Gateway {
  const gateway: Gateway = new Hono<GatewayTypes>();
  gateway.use(traceRequest, refuseCredentialsInUrl);
  gateway.use("/v1/*", cors, requireLength);
  gateway.get("/v1/connect", connect);
  for (const mount of mounts) mount(gateway);
  gateway.notFound((c) => answerUnrouted(gateway, c));
  gateway.onError(answerError);
  return gateway;
}
