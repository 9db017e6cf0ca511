import type { Env } from "../../durable-objects/runtime/env.ts";
import { buildGateway, type Gateway } from "./gateway.ts";

export { ConversationObject } from "../../durable-objects/conversation/object.ts";
export { UserObject } from "../../durable-objects/user/object.ts";

/** Which routes exist depends on the environment, which is the same for as long as an isolate lives. */
const gateways = new WeakMap<Env, Gateway>();

function gatewayOf(env: Env): Gateway {
  const known = gateways.get(env);
  if (known) return known;
  const gateway = buildGateway(env);
  gateways.set(env, gateway);
  return gateway;
}

export default {
  fetch: (request, env, context) => gatewayOf(env).fetch(request, env, context),
} satisfies ExportedHandler<Env>;
