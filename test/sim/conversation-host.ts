import * as v from "valibot";
import { ConversationCore } from "../../durable-objects/conversation/core.ts";
import type { ConversationEffect, ConversationEvent } from "../../durable-objects/conversation/effects.ts";
import type { SqlValue } from "../../durable-objects/runtime/storage.ts";
import type { Result } from "../../durable-objects/user/effects.ts";
import type { ConversationId, UserId } from "../../shared/ids.ts";
import {
  Append,
  type AskWatermarkReply,
  CreateGroup,
  type DeliverReply,
  type Entry,
  EraseMember,
  PutWatermark,
  ReadLog,
  SetBlock,
  SignalTyping,
} from "../../shared/rpc.ts";
import type { Callee, Calls } from "./calls.ts";
import { Host, type Settle } from "./host.ts";
import type { Platform } from "./platform.ts";

const schemas = {
  append: Append,
  readLog: ReadLog,
  putWatermark: PutWatermark,
  signalTyping: SignalTyping,
  createGroup: CreateGroup,
  setBlock: SetBlock,
  eraseMember: EraseMember,
} as const;

export interface ConversationSurroundings {
  readonly calls: Calls;
  user(id: UserId): Callee;
  /** A part of the log was dropped. */
  dropped(conversation: ConversationId, part: DroppedSegment): void;
}

export interface DroppedSegment {
  readonly entries: readonly Pick<Entry, "seq" | "device" | "at">[];
  /** How long ago the last of them was stored, by the object's clock. */
  readonly age: number;
}

/** A conversation as `durable-objects/conversation/object.ts` runs it. */
export class ConversationHost extends Host<ConversationEvent, ConversationEffect> implements Callee {
  readonly #surroundings: ConversationSurroundings;
  #core: ConversationCore | undefined;
  #dropped: DroppedSegment[] = [];

  constructor(id: string, surroundings: ConversationSurroundings, platform: Platform) {
    super("conversation", id, platform);
    this.#surroundings = surroundings;
  }

  get isAwake(): boolean {
    return this.#core !== undefined;
  }

  call(method: keyof typeof schemas, args: unknown, settle: Settle): void {
    const decoded = v.parse(schemas[method] as v.GenericSchema, args);
    this.receive((call) => ({ type: method, call, args: decoded }) as ConversationEvent, settle);
  }

  protected override wake(): boolean {
    this.#core ??= this.storage.transaction(() => new ConversationCore(this.id, this.storage));
    return true;
  }

  protected override decide(event: ConversationEvent, now: number): ConversationEffect[] {
    return this.#core!.handle(event, now);
  }

  protected override forget(): void {
    this.#core = undefined;
    this.#dropped = [];
  }

  protected override watchWrite(event: string, query: string, params: SqlValue[]): SqlValue[] | undefined {
    if (query.startsWith("DROP TABLE log_")) this.#drops(query.slice("DROP TABLE ".length));
    return super.watchWrite(event, query, params);
  }

  protected override committed(): void {
    for (const segment of this.#dropped.splice(0)) this.#surroundings.dropped(this.id, segment);
  }

  #drops(table: string): void {
    const entries = this.storage.all<Pick<Entry, "seq" | "device" | "at">>(
      `SELECT seq, device, at FROM ${table} ORDER BY seq`,
    );
    this.#dropped.push({ entries, age: this.clock - (entries.at(-1)?.at ?? 0) });
  }

  protected override perform(effect: ConversationEffect): void {
    switch (effect.do) {
      case "reply":
        return this.reply(effect.call, { ok: true, value: effect.value });
      case "deliver":
        return this.#deliver(effect);
      case "notifyReceipt":
      case "notifyTyping":
        return this.#ask(effect.user, effect.do, effect.args, () => {});
      case "askWatermark":
        return this.#askWatermark(effect.user);
      case "sync":
        return this.later(this.platform.random.between(1, 4), "synced", () => this.handle({ type: "synced" }));
      case "wipe":
        this.storage.wipe();
        return this.forget();
      case "timer":
        return this.later(effect.afterMs, effect.name, () => this.handle({ type: "timer", name: effect.name }));
    }
  }

  #deliver({ user, args }: Extract<ConversationEffect, { do: "deliver" }>): void {
    this.#ask(user, "deliver", args, (result) => {
      const reply = result.ok ? (result.value as DeliverReply) : undefined;
      this.handle({ type: "delivered", user, reply });
    });
  }

  #askWatermark(user: UserId): void {
    this.#ask(user, "askWatermark", { conversation: this.id }, (result) => {
      const watermark = result.ok ? (result.value as AskWatermarkReply) : undefined;
      this.handle({ type: "watermarkTold", user, watermark });
    });
  }

  #ask(user: UserId, method: string, args: unknown, then: (result: Result) => void): void {
    this.#surroundings.calls.call(this.name, this.#surroundings.user(user), method, args, this.outgoing(then));
  }
}
