import type { Env } from "../../durable-objects/runtime/env.ts";
import { buildGateway } from "./gateway.ts";

export { ConversationObject } from "../../durable-objects/conversation/object.ts";
export { LimiterObject } from "../../durable-objects/limiter/object.ts";
export { RendezvousObject } from "../../durable-objects/rendezvous/object.ts";
export { UserObject } from "../../durable-objects/user/object.ts";
export { VerificationObject } from "../../durable-objects/verification/object.ts";

const gateway = buildGateway();

export default {
  fetch: (request, env, context) => gateway.fetch(request, env, context),
} satisfies ExportedHandler<Env>;
