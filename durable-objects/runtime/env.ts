import type { PushJob } from "../../shared/push-job.ts";
import type { ConversationRpc, UserRpc } from "../../shared/rpc.ts";

/**
 * What the messaging Worker is bound to (wrangler.toml): the gateway and both objects share it.
 * Objects are known by what may be asked of them, never by their classes, so that no room imports another's object;
 * the brand is how the platform's types tell an object from any other RPC target.
 */
export interface Env {
  readonly USER: DurableObjectNamespace<UserRpc & Rpc.DurableObjectBranded>;
  readonly CONVERSATION: DurableObjectNamespace<ConversationRpc & Rpc.DurableObjectBranded>;
  readonly DB: D1Database;
  readonly MEDIA: R2Bucket;
  readonly PUSH_QUEUE: Queue<PushJob>;
  readonly ENVIRONMENT: string;
  /** Secret: a JSON Web Key Set of private keys. The first signs; the others are still accepted. */
  readonly TOKEN_KEYS: string;
  /** Separated by spaces: the origins whose pages may open a socket. */
  readonly ALLOWED_ORIGINS?: string;
  /** Development only: "enabled" lets anyone on this machine sign in by a name. */
  readonly DEV_SIGN_IN?: string;
  /** Load tests raise it. */
  readonly SENDS_PER_MINUTE?: string;
  /** Development only: where crash tests stop the process. */
  readonly FAILPOINT?: string;
}

/** What only a developer's machine may do asks this first. Unset and misspelt both mean production. */
export function isDevelopment(env: { readonly ENVIRONMENT: string }): boolean {
  return env.ENVIRONMENT === "development";
}
