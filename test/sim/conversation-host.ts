import * as v from "valibot";
import { ConversationCore } from "../../durable-objects/conversation/core.ts";
import type { ConversationEffect, ConversationEvent } from "../../durable-objects/conversation/effects.ts";
import { GroupStore } from "../../durable-objects/conversation/group-store.ts";
import type { Leaf } from "../../durable-objects/conversation/roster.ts";
import { isCommit } from "../../durable-objects/conversation/state.ts";
import { ConversationStore } from "../../durable-objects/conversation/store.ts";
import type { SqlValue } from "../../durable-objects/runtime/storage.ts";
import type { Result } from "../../durable-objects/user/effects.ts";
import type { ConversationId, DeviceId, MessageId, UserId } from "../../shared/ids.ts";
import {
  Append,
  type AskAdditionReply,
  type AskWatermarkReply,
  type DeliverReply,
  type Entry,
  EraseMember,
  PutWatermark,
  ReadEpoch,
  ReadGroup,
  ReadLog,
  SetBlock,
  SignalTyping,
  SubmitCommit,
} from "../../shared/rpc.ts";
import type { Callee, Calls } from "./calls.ts";
import type { Files } from "./files.ts";
import { Host, type Settle } from "./host.ts";
import type { Platform } from "./platform.ts";

const schemas = {
  append: Append,
  readLog: ReadLog,
  putWatermark: PutWatermark,
  signalTyping: SignalTyping,
  submitCommit: SubmitCommit,
  readGroup: ReadGroup,
  readEpoch: ReadEpoch,
  setBlock: SetBlock,
  eraseMember: EraseMember,
} as const;

export interface ConversationSurroundings {
  readonly calls: Calls;
  readonly files: Files;
  user(id: UserId): Callee;
  /** A part of the log was dropped. */
  dropped(conversation: ConversationId, part: DroppedSegment): void;
  /** A message or a commit was written to the log. */
  placed(device: DeviceId, id: MessageId): void;
  /** A commit was taken. */
  grouped(conversation: ConversationId, commit: TakenCommit, leaves: readonly Leaf[]): void;
}

export type TakenCommit = Pick<Entry, "seq" | "device" | "id">;

export interface DroppedSegment {
  readonly entries: readonly DroppedEntry[];
  /** How long ago the last of them was stored, by the object's clock. */
  readonly age: number;
}

export interface DroppedEntry extends Pick<Entry, "seq" | "user" | "device" | "at"> {
  readonly isCommit: boolean;
}

/** A conversation as `durable-objects/conversation/object.ts` runs it. */
export class ConversationHost extends Host<ConversationEvent, ConversationEffect> implements Callee {
  readonly #surroundings: ConversationSurroundings;
  #core: ConversationCore | undefined;
  #dropped: DroppedSegment[] = [];
  #isRegrouped = false;

  constructor(id: string, surroundings: ConversationSurroundings, platform: Platform) {
    super("conversation", id, platform);
    this.#surroundings = surroundings;
  }

  get isAwake(): boolean {
    return this.#core !== undefined;
  }

  call(method: keyof typeof schemas, args: unknown, settle: Settle): void {
    const { ask } = this.platform.sabotage;
    const asked = ask ? ask({ method, args, epoch: () => this.#epoch }) : args;
    const decoded = v.parse(schemas[method] as v.GenericSchema, asked);
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
    this.#isRegrouped = false;
  }

  protected override watchWrite(event: string, query: string, params: SqlValue[]): SqlValue[] | undefined {
    if (query.startsWith("DROP TABLE log_")) this.#drops(query.slice("DROP TABLE ".length));
    if (query.startsWith("INSERT OR REPLACE INTO mls_group")) this.#isRegrouped = true;
    if (query.startsWith("INSERT INTO log_")) this.#places(params);
    return super.watchWrite(event, query, params);
  }

  protected override committed(): void {
    for (const segment of this.#dropped.splice(0)) this.#surroundings.dropped(this.id, segment);
    if (this.#isRegrouped) this.#regrouped();
    this.#isRegrouped = false;
  }

  #regrouped(): void {
    const group = new GroupStore(this.storage).group();
    const commit = group && new ConversationStore(this.storage, this.id).entry(group.seq);
    if (group && commit) this.#surroundings.grouped(this.id, commit, group.leaves);
  }

  /** As stored. */
  get #epoch(): number | null {
    return new ConversationStore(this.storage, this.id).load().epoch;
  }

  /** Seven columns a row (store.ts): seq, id, user, device, at, body, state. */
  #places(params: readonly SqlValue[]): void {
    for (let row = 0; row < params.length; row += 7) {
      this.#surroundings.placed(String(params[row + 3]), String(params[row + 1]));
    }
  }

  #drops(table: string): void {
    const rows = this.storage.all<Pick<Entry, "seq" | "user" | "device" | "at" | "body">>(
      `SELECT seq, user, device, at, body FROM ${table} ORDER BY seq`,
    );
    const entries = rows.map((row) => ({ ...row, isCommit: isCommit(row) }));
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
      case "askAddition":
        return this.#askAddition(effect);
      case "deleteFiles":
        return this.#deleteFiles(effect.names);
      case "forgetPeer":
        return this.#ask(effect.user, "forgetPeer", effect.args, ({ ok }) => {
          if (ok) this.handle({ type: "peerForgotten", user: effect.user });
        });
      case "sync":
        return this.later(this.platform.random.between(1, 4), "synced", () => this.handle({ type: "synced" }));
      case "wipe":
        this.storage.wipe();
        this.#surroundings.files.deleteAll(`conversation/${this.id}/`);
        return this.forget();
      case "timer":
        return this.later(effect.afterMs, effect.name, () => this.handle({ type: "timer", name: effect.name }));
    }
  }

  #deleteFiles(names: string[]): void {
    this.later(this.platform.random.between(1, 50), "delete files", () => {
      this.#surroundings.files.delete(names);
      this.handle({ type: "filesDeleted", names });
    });
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

  #askAddition({ call, user, args }: Extract<ConversationEffect, { do: "askAddition" }>): void {
    this.#ask(user, "askAddition", args, (result) => {
      const reply = result.ok ? (result.value as AskAdditionReply) : undefined;
      this.handle({ type: "additionTold", call, user, reply });
    });
  }

  #ask(user: UserId, method: string, args: unknown, then: (result: Result) => void): void {
    this.#surroundings.calls.call(this.name, this.#surroundings.user(user), method, args, this.outgoing(then));
  }
}
