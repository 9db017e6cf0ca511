import type { Env } from "../../durable-objects/runtime/env.ts";

/** What every handler finds in its context. */
export interface GatewayTypes {
  Bindings: Env;
  Variables: { requestId: string };
}
