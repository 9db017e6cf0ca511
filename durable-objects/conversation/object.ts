import { DurableObject } from "cloudflare:workers";
import type * as v from "valibot";
import type { UserId } from "../../shared/ids.ts";
import { MAX_CACHED_STUBS, MAX_FILES_PER_DELETE } from "../../shared/limits.ts";
import {
  Append,
  type AppendReply,
  type AskAdditionReply,
  type ConversationRpc,
  type Deliver,
  EraseMember,
  type EraseMemberReply,
  ExpectFiles,
  PutWatermark,
  type PutWatermarkReply,
  ReadEpoch,
  type ReadEpochReply,
  ReadGroup,
  type ReadGroupReply,
  ReadLog,
  type ReadLogReply,
  SetBlock,
  SignalTyping,
  SubmitCommit,
  type SubmitCommitReply,
} from "../../shared/rpc.ts";
import { withDeadline } from "../runtime/deadline.ts";
import { decodeArgs } from "../runtime/decode.ts";
import type { Env } from "../runtime/env.ts";
import { isStoppedAt } from "../runtime/failpoint.ts";
import { errorFields, log } from "../runtime/log.ts";
import { meter } from "../runtime/meter.ts";
import { PendingCalls } from "../runtime/pending-calls.ts";
import { removeFiles } from "../runtime/removal.ts";
import { StubCache } from "../runtime/stub-cache.ts";
import { WorkersStorage } from "../runtime/workers-storage.ts";
import { ConversationCore } from "./core.ts";
import type { CallId, ConversationEffect, ConversationEvent } from "./effects.ts";

interface Answer {
  readonly call: CallId;
  readonly value: unknown;
}

/** The shell of a conversation: decodes calls, runs the core in a transaction, and does what it asks for. */
export class ConversationObject extends DurableObject<Env> implements ConversationRpc {
  readonly #calls = new PendingCalls();
  readonly #users = new StubCache(MAX_CACHED_STUBS, (user) => this.env.USER.getByName(user));
  #storage!: WorkersStorage;
  #core!: ConversationCore;
  /** What waits until everything is removed. */
  #answersAfterWipe: Answer[] | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.blockConcurrencyWhile(async () => {
      this.#storage = new WorkersStorage(ctx.storage, await ctx.storage.getAlarm());
      this.#core = new ConversationCore(this.#id, this.#storage);
    });
  }

  append(call: Append): Promise<AppendReply> {
    return this.#call(Append, call, "append");
  }

  readLog(call: ReadLog): Promise<ReadLogReply> {
    return this.#call(ReadLog, call, "readLog");
  }

  putWatermark(call: PutWatermark): Promise<PutWatermarkReply> {
    return this.#call(PutWatermark, call, "putWatermark");
  }

  signalTyping(call: SignalTyping): Promise<void> {
    return this.#call(SignalTyping, call, "signalTyping");
  }

  expectFiles(call: ExpectFiles): Promise<void> {
    return this.#call(ExpectFiles, call, "expectFiles");
  }

  submitCommit(call: SubmitCommit): Promise<SubmitCommitReply> {
    return this.#call(SubmitCommit, call, "submitCommit");
  }

  readGroup(call: ReadGroup): Promise<ReadGroupReply> {
    return this.#call(ReadGroup, call, "readGroup");
  }

  readEpoch(call: ReadEpoch): Promise<ReadEpochReply> {
    return this.#call(ReadEpoch, call, "readEpoch");
  }

  setBlock(call: SetBlock): Promise<void> {
    return this.#call(SetBlock, call, "setBlock");
  }

  eraseMember(call: EraseMember): Promise<EraseMemberReply> {
    return this.#call(EraseMember, call, "eraseMember");
  }

  override async alarm(): Promise<void> {
    meter.alarms++;
    this.#storage.alarmFired();
    this.#handle({ type: "alarm" });
  }

  get #id(): string {
    if (this.ctx.id.name === undefined) throw new Error("a conversation is reached by its name only");
    return this.ctx.id.name;
  }

  #call<Type extends ConversationEvent["type"], T>(
    schema: v.GenericSchema<unknown, Extract<ConversationEvent, { type: Type; args: unknown }>["args"]>,
    args: unknown,
    type: Type,
  ): Promise<T> {
    const decoded = decodeArgs(schema, args);
    return this.#calls.wait<T>((call) => this.#handle({ type, call, args: decoded } as ConversationEvent));
  }

  /**
   * One event, one transaction: what is written without waiting in between commits together, and a core that throws has
   * lost track of itself, so the object is thrown away before anything is committed (docs/decisions/0005).
   */
  #handle(event: ConversationEvent): void {
    try {
      const effects = this.#core.handle(event, Date.now());
      if (effects.some(isFanOut) && isStoppedAt("between-commit-and-fan-out", this.env)) return;
      for (const effect of effects) this.#do(effect);
    } catch (error) {
      log("error", "conversation.failed", { conversation: this.#id, method: event.type, ...errorFields(error) });
      this.ctx.abort("the core threw");
    }
  }

  #do(effect: ConversationEffect): void {
    switch (effect.do) {
      case "reply":
        return this.#reply(effect);
      case "deliver":
        return void this.#deliver(effect.user, effect.args);
      case "notifyReceipt":
        return this.#forget(effect.user, this.#user(effect.user).notifyReceipt(effect.args));
      case "notifyTyping":
        return this.#forget(effect.user, this.#user(effect.user).notifyTyping(effect.args));
      case "askWatermark":
        return void this.#askWatermark(effect.user);
      case "askAddition":
        return void this.#askAddition(effect);
      case "forgetPeer":
        return void this.#forgetPeer(effect);
      case "deleteFiles":
        return void this.#deleteFiles(effect.names);
      case "sync":
        return void this.ctx.storage.sync().then(() => this.#handle({ type: "synced" }));
      case "wipe":
        return void this.#wipe();
      case "timer":
        setTimeout(() => this.#handle({ type: "timer", name: effect.name }), effect.afterMs);
    }
  }

  /** Whoever comes later finds a conversation that never was; whoever still waits for an answer waits for nobody. */
  async #wipe(): Promise<void> {
    const answers: Answer[] = [];
    this.#answersAfterWipe = answers;
    this.#storage.alarmFired();
    void this.ctx.storage.deleteAlarm();
    const files = removeFiles(this.env.MEDIA, `conversation/${this.#id}/`);
    try {
      await Promise.all([this.ctx.storage.deleteAll(), files]);
      for (const { call, value } of answers) this.#calls.reply(call, value);
    } catch (error) {
      log("error", "conversation.failed", { conversation: this.#id, method: "wipe", ...errorFields(error) });
    }
    this.#answersAfterWipe = undefined;
    this.#core = new ConversationCore(this.#id, this.#storage);
    this.#calls.failAll(new Error("gone"));
  }

  /** That all is gone is said when it is. */
  #reply(answer: Answer): void {
    if (this.#answersAfterWipe) this.#answersAfterWipe.push(answer);
    else this.#calls.reply(answer.call, answer.value);
  }

  async #deliver(user: UserId, args: Deliver): Promise<void> {
    try {
      const reply = await withDeadline(this.#user(user).deliver(args));
      this.#handle({ type: "delivered", user, reply });
    } catch (error) {
      this.#users.failed(user);
      const { requestId, conversation } = args;
      log("warn", "deliver.failed", { requestId, conversation, user, ...errorFields(error) });
      this.#handle({ type: "delivered", user, reply: undefined });
    }
  }

  /** What is lost here is carried by the next one: receipts are watermarks, and typing passes. */
  #forget(user: UserId, call: Promise<unknown>): void {
    call.catch(() => this.#users.failed(user));
  }

  async #askWatermark(user: UserId): Promise<void> {
    const watermark = await this.#user(user)
      .askWatermark({ conversation: this.#id })
      .catch(() => this.#users.failed(user));
    this.#handle({ type: "watermarkTold", user, watermark: watermark ?? undefined });
  }

  async #askAddition({ call, user, args }: Extract<ConversationEffect, { do: "askAddition" }>): Promise<void> {
    const asked: Promise<AskAdditionReply> = this.#user(user).askAddition(args);
    const reply = await withDeadline(asked).catch(() => this.#users.failed(user));
    this.#handle({ type: "additionTold", call, user, reply: reply ?? undefined });
  }

  /** What fails is tried again by alarm. */
  async #forgetPeer({ user, args }: Extract<ConversationEffect, { do: "forgetPeer" }>): Promise<void> {
    try {
      await withDeadline(this.#user(user).forgetPeer(args));
      this.#handle({ type: "peerForgotten", user });
    } catch {
      this.#users.failed(user);
    }
  }

  /** What fails is tried again by alarm. */
  async #deleteFiles(names: string[]): Promise<void> {
    for (let from = 0; from < names.length; from += MAX_FILES_PER_DELETE) {
      const some = names.slice(from, from + MAX_FILES_PER_DELETE);
      try {
        await this.env.MEDIA.delete(some);
        this.#handle({ type: "filesDeleted", names: some });
      } catch (error) {
        log("warn", "files.failed", { conversation: this.#id, count: some.length, ...errorFields(error) });
      }
    }
  }

  #user(user: UserId): ReturnType<Env["USER"]["getByName"]> {
    meter.objectCalls++;
    return this.#users.get(user);
  }
}

function isFanOut(effect: ConversationEffect): boolean {
  return effect.do === "deliver";
}
