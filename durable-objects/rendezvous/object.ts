import { DurableObject } from "cloudflare:workers";
import { ApproveLink, OpenLink, PollLink, type RendezvousRpc, SendOverLink } from "../../shared/rpc.ts";
import { decodeArgs } from "../runtime/decode.ts";
import type { Env } from "../runtime/env.ts";
import { errorFields, log } from "../runtime/log.ts";
import { meter } from "../runtime/meter.ts";
import { WorkersStorage } from "../runtime/workers-storage.ts";
import { RendezvousCore } from "./core.ts";

type Reply<Method extends keyof RendezvousRpc> = ReturnType<RendezvousRpc[Method]>;

/** The shell of the place where two devices meet: named by the link's id, it decodes, asks the core, and forgets. */
export class RendezvousObject extends DurableObject<Env> implements RendezvousRpc {
  #core!: RendezvousCore;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.blockConcurrencyWhile(async () => {
      this.#core = new RendezvousCore(new WorkersStorage(ctx.storage, await ctx.storage.getAlarm()));
    });
  }

  async open(call: OpenLink): Reply<"open"> {
    const decoded = decodeArgs(OpenLink, call);
    return this.#decide((core, now) => core.open(decoded, now));
  }

  async view(): Reply<"view"> {
    return this.#decide((core, now) => core.view(now));
  }

  async approve(call: ApproveLink): Reply<"approve"> {
    const decoded = decodeArgs(ApproveLink, call);
    return this.#decide((core, now) => core.approve(decoded, now));
  }

  async send(call: SendOverLink): Reply<"send"> {
    const decoded = decodeArgs(SendOverLink, call);
    return this.#decide((core, now) => core.send(decoded, now));
  }

  async poll(call: PollLink): Reply<"poll"> {
    const decoded = decodeArgs(PollLink, call);
    return this.#decide((core, now) => core.poll(decoded, now));
  }

  async complete(): Reply<"complete"> {
    return this.#decide((core, now) => core.complete(now));
  }

  /** Its time is over: nothing of it stays, neither on disk nor as an object that costs something. */
  override async alarm(): Promise<void> {
    meter.alarms++;
    await this.ctx.storage.deleteAll();
  }

  /** A core that throws leaves half a decision behind, so the object is thrown away with it (docs/decisions/0005). */
  #decide<T>(decide: (core: RendezvousCore, now: number) => T): T {
    try {
      return decide(this.#core, Date.now());
    } catch (error) {
      log("error", "rendezvous.failed", errorFields(error));
      this.ctx.abort("the core threw");
      throw error;
    }
  }
}
