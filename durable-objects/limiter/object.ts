import { DurableObject } from "cloudflare:workers";
import { LIMITER_MEMORY_MS, publicBuckets } from "../../shared/limits.ts";
import { type LimiterRpc, TakeFromBucket, type TakeReply } from "../../shared/rpc.ts";
import { decodeArgs } from "../runtime/decode.ts";
import { type Env, isDevelopment } from "../runtime/env.ts";
import { meter } from "../runtime/meter.ts";
import { type BucketSize, type BucketState, fullAt, take } from "../runtime/token-bucket.ts";
import { WorkersStorage } from "../runtime/workers-storage.ts";
import { LimiterStore } from "./store.ts";

/** One bucket of whoever is limited, named `<bucket>:<keyed hash>`. A full bucket leaves nothing behind. */
export class LimiterObject extends DurableObject<Env> implements LimiterRpc {
  #store!: LimiterStore;
  #state: BucketState | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.blockConcurrencyWhile(async () => {
      this.#store = new LimiterStore(new WorkersStorage(ctx.storage, await ctx.storage.getAlarm()));
      this.#state = this.#store.load();
    });
  }

  async take(call: TakeFromBucket): Promise<TakeReply> {
    const { bucket, cost } = decodeArgs(TakeFromBucket, call);
    const size = this.#sizeOf(bucket);
    const taken = take(size, this.#state, cost, Date.now());
    if (!taken.ok) return taken;
    this.#state = taken.state;
    this.#keep(taken.state, fullAt(size, taken.state));
    return { ok: true };
  }

  /** Every take that is written puts it off, so that the bucket is full when it goes off. */
  override async alarm(): Promise<void> {
    meter.alarms++;
    const wiped = this.ctx.storage.deleteAll();
    this.#store = new LimiterStore(new WorkersStorage(this.ctx.storage, null));
    this.#state = undefined;
    await wiped;
  }

  /**
   * What is full again before the object could fall asleep is not written: a crash gives back no more than that, and a
   * bucket that is hardly touched, as most are, costs no row.
   */
  #keep(state: BucketState, full: number): void {
    if (full - state.at > LIMITER_MEMORY_MS) this.#store.save(state, full);
  }

  #sizeOf(bucket: TakeFromBucket["bucket"]): BucketSize {
    const { capacity, refillMs } = publicBuckets[bucket];
    const factor = isDevelopment(this.env) ? Number(this.env.SIGN_IN_LIMIT_FACTOR) || 1 : 1;
    return { capacity: capacity * factor, refillMs: refillMs / factor };
  }
}
