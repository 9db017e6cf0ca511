import type { PushJob } from "../../shared/push-job.ts";
import type { ConversationRpc, LimiterRpc, RendezvousRpc, UserRpc } from "../../shared/rpc.ts";

/**
 * What the messaging Worker is bound to (wrangler.toml): the gateway and both objects share it.
 * Objects are known by what may be asked of them, never by their classes, so that no room imports another's object;
 * the brand is how the platform's types tell an object from any other RPC target.
 */
export interface Env {
  readonly USER: DurableObjectNamespace<UserRpc & Rpc.DurableObjectBranded>;
  readonly CONVERSATION: DurableObjectNamespace<ConversationRpc & Rpc.DurableObjectBranded>;
  /** Spoken to through itty-durable's stub alone, never through `fetch` with anything that came from outside. */
  readonly VERIFICATION: DurableObjectNamespace;
  readonly RENDEZVOUS: DurableObjectNamespace<RendezvousRpc & Rpc.DurableObjectBranded>;
  readonly LIMITER: DurableObjectNamespace<LimiterRpc & Rpc.DurableObjectBranded>;
  readonly DB: D1Database;
  readonly MEDIA: R2Bucket;
  readonly PUSH_QUEUE: Queue<PushJob>;
  readonly ENVIRONMENT: string;
  /** Secret: a JSON Web Key Set of private keys. The first signs; the others are still accepted. */
  readonly TOKEN_KEYS: string;
  /** Separated by spaces: the origins whose pages may open a socket. */
  readonly ALLOWED_ORIGINS?: string;
  /** Secret: keys every hash of something that could be guessed — phone numbers, addresses, codes, PINs. */
  readonly PEPPER: string;
  /** How codes reach people: "console" (development only), "twilio" or "webhook". */
  readonly SMS_PROVIDER?: string;
  readonly TWILIO_ACCOUNT_SID?: string;
  /** Secret. */
  readonly TWILIO_AUTH_TOKEN?: string;
  /** A sending number ("+…") or a messaging service ("MG…"). */
  readonly TWILIO_SENDER?: string;
  /** Another address of the same API, such as a regional one. */
  readonly TWILIO_API_URL?: string;
  readonly SMS_WEBHOOK_URL?: string;
  /** Secret: signs what is sent to the webhook. */
  readonly SMS_WEBHOOK_SECRET?: string;
  /** Public key (JWK) that reported messages are sealed for; without it reports carry none. */
  readonly REPORT_KEY?: string;
  /** Development only: multiplies the limits that stand in the way of load tests, such as codes for one address. */
  readonly SIGN_IN_LIMIT_FACTOR?: string;
  /** Load tests raise it. */
  readonly SENDS_PER_MINUTE?: string;
  /** Development only: where crash tests stop the process. */
  readonly FAILPOINT?: string;
}

/** What only a developer's machine may do asks this first. Unset and misspelt both mean production. */
export function isDevelopment(env: { readonly ENVIRONMENT: string }): boolean {
  return env.ENVIRONMENT === "development";
}
