import { ConversationCore } from "../../durable-objects/conversation/core.ts";
import type { ConversationEffect, ConversationEvent } from "../../durable-objects/conversation/effects.ts";
import { NodeStorage } from "../../durable-objects/runtime/node-storage.ts";
import type { UserId } from "../../shared/ids.ts";
import type {
  Append,
  Appended,
  AppendReply,
  AskAdditionReply,
  DeliverReply,
  EraseMemberReply,
  LeafOwner,
  PutWatermarkReply,
  ReadEpochReply,
  ReadGroupReply,
  ReadLogReply,
  SubmitCommit,
  SubmitCommitReply,
} from "../../shared/rpc.ts";
import { commit, foundingCommit, payloadOf, sealedBytes } from "../sealed.ts";

type CommitChange = Partial<SubmitCommit> & Pick<SubmitCommit, "epoch" | "leaf">;

const noWatermark = { delivered: 0, read: 0, kept: 0 };

const nobody: AskAdditionReply = { ok: false, code: "not_found", retry: "never" };

interface Delivery {
  readonly user: string;
  readonly seqs: number[];
}

/** A conversation's object by itself: other people's objects answer at once, and by themselves. */
export class ConversationDriver {
  readonly id: string;
  now = Date.parse("2026-11-20T10:00:00Z");
  deliveries: Delivery[] = [];
  /** Who was told how far the others have got. */
  receipts: { user: string; delivered: number; read: number }[] = [];
  readonly deletedFiles: string[] = [];
  /** Nothing can be deleted from the file store. */
  isFileStoreDown = false;
  /** Whose objects were told that somebody is gone. */
  readonly forgotten: { user: string; peer: string }[] = [];
  isWiped = false;
  /** Whose objects do not answer deliveries. */
  readonly unreachable = new Set<string>();
  /** Whose devices are all away. */
  readonly asleep = new Set<string>();
  /** Who was removed before they had heard of this conversation. */
  readonly gone = new Set<string>();
  /** Who does not exist. */
  readonly unregistered = new Set<string>();
  /** Whoever is asked about waits here instead of being answered for. */
  asked: string[] | undefined;
  /** Rows written by the last event. */
  rows: string[] = [];
  readonly storage = new NodeStorage();
  #core: ConversationCore;
  /** The commit for which somebody was asked about last. */
  readonly #askedFor = new Map<string, number>();
  #replies = new Map<number, unknown>();
  #calls = 0;
  #messages = 0;

  constructor(id: string) {
    this.id = id;
    this.#core = new ConversationCore(id, this.storage);
    const { run } = this.storage;
    this.storage.run = (query, ...params) => {
      if (/^(INSERT|UPDATE|DELETE)/.test(query)) this.rows.push(query.split(" (")[0] ?? query);
      run.call(this.storage, query, ...params);
    };
  }

  /** An id that rises with each. */
  newId(): string {
    return `0${String(++this.#messages).padStart(25, "0")}`;
  }

  /** @param epoch in which it is sealed */
  append(from: LeafOwner, text: string, epoch: number, id = this.newId()): Appended {
    return this.appendBytes(from, sealedBytes(this.id, epoch, text), id);
  }

  appendBytes({ user, device }: LeafOwner, body: Uint8Array<ArrayBuffer>, id = this.newId()): Appended {
    return this.appendAll(user, [{ id, device, body }])[0] as Appended;
  }

  appendReply({ user, device }: LeafOwner, text: string, epoch: number): AppendReply {
    const messages = [{ id: this.newId(), device, body: sealedBytes(this.id, epoch, text) }];
    return this.#call({ type: "append", args: { user, messages, watermark: noWatermark, requestId: "" } });
  }

  /** In one call. */
  appendAll(user: UserId, messages: Append["messages"]): Appended[] {
    const args = { user, messages, watermark: noWatermark, requestId: "" };
    return this.#call<AppendReply>({ type: "append", args }).results;
  }

  found(maker: LeafOwner, ...others: LeafOwner[]): SubmitCommitReply {
    return this.submit(foundingCommit(this.id, maker, others, this.newId()));
  }

  /** A commit with an id of its own, unless one is given. */
  commit(by: LeafOwner, change: CommitChange): SubmitCommitReply {
    return this.submit(this.made(by, change));
  }

  /** A commit that is not handed in. */
  made(by: LeafOwner, change: CommitChange): SubmitCommit {
    return commit(this.id, by, { id: this.newId(), ...change });
  }

  expectFiles(...names: string[]): void {
    this.#call({ type: "expectFiles", args: { names, requestId: "" } });
  }

  submit(args: SubmitCommit): SubmitCommitReply {
    return this.#call({ type: "submitCommit", args });
  }

  /** Not answered yet. @returns its number */
  begin(args: SubmitCommit): number {
    this.do({ type: "submitCommit", call: ++this.#calls, args });
    return this.#calls;
  }

  replyTo(call: number): unknown {
    return this.#replies.get(call);
  }

  /** Answers what was asked about somebody last; undefined: nobody knows. */
  tell(user: string, reply: AskAdditionReply | undefined): void {
    this.do(this.told(user, reply));
  }

  told(user: string, reply: AskAdditionReply | undefined): ConversationEvent {
    return { type: "additionTold", call: this.#askedFor.get(user) ?? 0, user, reply };
  }

  read(user: string, after = 0): ReadLogReply {
    const args = { user, epoch: 1, after, watermark: noWatermark, notify: false, requestId: "" };
    return this.#call({ type: "readLog", args });
  }

  /** What is read above a position, by what is in it; a refusal's code. */
  texts(user: string, after = 0): string[] | string {
    const page = this.read(user, after);
    return page.ok ? page.entries.map(({ body }) => payloadOf(body)) : page.code;
  }

  ack(user: string, delivered: number): PutWatermarkReply {
    const watermark = { delivered, read: 0, kept: delivered };
    return this.#call({ type: "putWatermark", args: { user, watermark, notify: true, requestId: "" } });
  }

  readGroup(user: string): ReadGroupReply {
    return this.#call({ type: "readGroup", args: { user } });
  }

  readEpoch(user: string, seq: number): ReadEpochReply {
    return this.#call({ type: "readEpoch", args: { user, seq } });
  }

  block(user: string, blocked: boolean, version: number): void {
    this.#call({ type: "setBlock", args: { user, blocked, version, requestId: "" } });
  }

  erase(user: string, ...devices: string[]): EraseMemberReply {
    return this.#call({ type: "eraseMember", args: { user, devices, requestId: "" } });
  }

  alarm(): void {
    this.storage.alarmFired();
    this.do({ type: "alarm" });
  }

  /** Memory is gone. */
  evict(): void {
    this.#core = new ConversationCore(this.id, this.storage);
    this.deliveries = [];
  }

  /** Commits an event and goes before anything is done about it. */
  crashAfter(event: ConversationEvent): void {
    this.storage.transaction(() => this.#core.handle(event, this.now));
    this.evict();
  }

  do(event: ConversationEvent): void {
    this.rows = [];
    this.#carryOut(this.storage.transaction(() => this.#core.handle(event, this.now)));
  }

  /** Everything stored, as text. */
  stored(): string {
    const tables = this.storage.all<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'");
    const rows = tables.flatMap(({ name }) => this.storage.all(`SELECT * FROM ${name}`));
    return JSON.stringify(rows, (_, value: unknown) =>
      value instanceof Uint8Array ? new TextDecoder("latin1").decode(value) : value,
    );
  }

  #call<Reply>(event: { type: string; args: unknown }): Reply {
    const call = ++this.#calls;
    this.do({ ...event, call } as ConversationEvent);
    if (!this.#replies.has(call)) throw new Error(`${event.type} was not answered`);
    return this.#replies.get(call) as Reply;
  }

  #carryOut(effects: ConversationEffect[]): void {
    for (const effect of effects) {
      if (effect.do === "reply") this.#replies.set(effect.call, effect.value);
      else if (effect.do === "deliver") this.#deliver(effect);
      else if (effect.do === "notifyReceipt") this.receipts.push({ ...effect.args, user: effect.user });
      else if (effect.do === "askAddition") this.#askAddition(effect);
      else if (effect.do === "askWatermark") this.#tellWatermark(effect.user);
      else if (effect.do === "deleteFiles") this.#deleteFiles(effect.names);
      else if (effect.do === "forgetPeer") this.#forgetPeer(effect);
      else if (effect.do === "wipe") this.#wipe();
      else if (effect.do === "timer" && effect.name !== "hold")
        this.#inTheSameRun({ type: "timer", name: effect.name });
      else if (effect.do === "sync") this.#inTheSameRun({ type: "synced" });
    }
  }

  #deliver({ user, args }: Extract<ConversationEffect, { do: "deliver" }>): void {
    this.deliveries.push({ user, seqs: args.entries.map(({ seq }) => seq) });
    const awake = this.asleep.has(user) ? "dormant" : "live";
    const state = this.gone.has(user) ? "gone" : awake;
    const reply: DeliverReply = { state, epoch: 1, watermark: noWatermark };
    this.#inTheSameRun({ type: "delivered", user, reply: this.unreachable.has(user) ? undefined : reply });
  }

  #deleteFiles(names: string[]): void {
    if (this.isFileStoreDown) return;
    this.deletedFiles.push(...names);
    this.#inTheSameRun({ type: "filesDeleted", names });
  }

  #forgetPeer({ user, args: { peer } }: Extract<ConversationEffect, { do: "forgetPeer" }>): void {
    if (this.unreachable.has(user)) return;
    this.forgotten.push({ user, peer });
    this.#inTheSameRun({ type: "peerForgotten", user });
  }

  #askAddition({ call, user }: Extract<ConversationEffect, { do: "askAddition" }>): void {
    this.#askedFor.set(user, call);
    if (this.asked) this.asked.push(user);
    else this.#inTheSameRun(this.told(user, this.unregistered.has(user) ? nobody : { ok: true }));
  }

  #tellWatermark(user: string): void {
    const watermark = { ...noWatermark, missingAbove: Number.MAX_SAFE_INTEGER };
    this.#inTheSameRun({ type: "watermarkTold", user, watermark });
  }

  #inTheSameRun(event: ConversationEvent): void {
    this.#carryOut(this.storage.transaction(() => this.#core.handle(event, this.now)));
  }

  #wipe(): void {
    this.isWiped = true;
    this.storage.wipe();
    this.#core = new ConversationCore(this.id, this.storage);
  }
}
