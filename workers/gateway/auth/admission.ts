import type { Env } from "../../../durable-objects/runtime/env.ts";
import { errorFields, log } from "../../../durable-objects/runtime/log.ts";
import { Refusal } from "../../../shared/errors.ts";
import { type PersonBucket, type PublicBucket, personBuckets, publicBuckets } from "../../../shared/limits.ts";
import type { AdmitReply } from "../../../shared/rpc.ts";
import type { Caller } from "./tokens.ts";

/**
 * Asks the caller's own object whether the session goes on, and takes the cost from one of the person's buckets: an access
 * token outlives its session by up to 15 minutes, an answer must not.
 * @throws Refusal unauthenticated, rate_limited, unavailable
 */
export async function admit(env: Env, caller: Caller, bucket: PersonBucket, cost = 1): Promise<void> {
  const { user, device, family } = caller;
  const reply = await env.USER.getByName(user)
    .admit({ device, family, bucket, cost })
    .catch((error: unknown): AdmitReply => {
      log("warn", "limit.failed", { bucket, ...errorFields(error) });
      if (personBuckets[bucket].whenStoreFails === "refuse") throw new Refusal("unavailable");
      return { ok: true };
    });
  if (!reply.ok) throw new Refusal(reply.code, reply.retry);
}

/**
 * Takes one from a bucket of whoever cannot be known by a token.
 * @param holder already hashed: names of objects are not secret
 * @throws Refusal rate_limited, unavailable
 */
export async function takePublic(env: Env, bucket: PublicBucket, holder: string): Promise<void> {
  const reply = await env.LIMITER.getByName(`${bucket}:${holder}`)
    .take({ bucket, cost: 1 })
    .catch((error: unknown) => {
      log("warn", "limit.failed", { bucket, ...errorFields(error) });
      if (publicBuckets[bucket].whenStoreFails === "refuse") throw new Refusal("unavailable");
      return { ok: true } as const;
    });
  if (!reply.ok) throw new Refusal("rate_limited", Math.max(1, reply.retryMs));
}
