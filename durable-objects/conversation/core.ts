import { type ConversationId, directMembers, type Seq, type UserId } from "../../shared/ids.ts";
import {
  ACKED_GRACE_MS,
  DORMANT_WORTH_A_ROW,
  FAN_OUT_HOLD_MEMBERS,
  FAN_OUT_HOLD_MS,
  FAN_OUT_RETRY_MS,
  MAX_APPEND_BYTES,
  MAX_APPEND_MESSAGES,
  MAX_PAGE_BYTES,
  MAX_PAGE_ENTRIES,
  STATE_FLUSH_MS,
} from "../../shared/limits.ts";
import type {
  Append,
  AppendReply,
  CreateGroup,
  Entry,
  EraseMember,
  PutWatermark,
  ReadLog,
  ReadLogReply,
  SetBlock,
} from "../../shared/rpc.ts";
import { Gather, TURN_MS } from "../runtime/gather.ts";
import type { Storage } from "../runtime/storage.ts";
import type { CallId, ConversationEffect, ConversationEvent, TimerName } from "./effects.ts";
import { FanOut, withinBytes } from "./fan-out.ts";
import { Placement } from "./placement.ts";
import { ReceiptRoute } from "./receipts.ts";
import { Retention } from "./retention.ts";
import { emptyState, isHidden, type Member, membersOf, raise, type State, setBlocking } from "./state.ts";
import { ConversationStore } from "./store.ts";

/** An append that is committed and waits, a little, for its fan-out. */
interface Held {
  readonly call: CallId;
  readonly reply: AppendReply;
  readonly upTo: Seq;
  readonly since: number;
}

/**
 * One conversation's decisions: members, order, log, fan-out (design §5). No I/O: an event comes in with the time, SQL is
 * done through the store inside the caller's transaction, and what the world must do is returned as effects.
 *
 * The promise behind ✓ (docs/protocol.md R1): an append is answered when its fan-out is done, or when an alarm is set
 * that will finish it. What crashes before that was not promised, and the sender's outbox brings it again.
 */
export class ConversationCore {
  readonly #id: ConversationId;
  readonly #storage: Storage;
  readonly #store: ConversationStore;
  readonly #state: State;
  readonly #fanOut: FanOut;
  readonly #retention: Retention;
  readonly #receipts: ReceiptRoute;
  readonly #placement: Placement;
  readonly #appends = new Gather<{ call: CallId; args: Append }>();
  #held: Held[] = [];
  /** Callers who wait until this conversation is gone. */
  readonly #erasing: { call: CallId; found: boolean }[] = [];
  #holdTimer = false;
  /** Something that would be missed rose since the state was last written. */
  #isUnsaved = false;
  /** What is stored says that the alarm owes something. */
  #isOwedStored: boolean;
  /** Members who are dormant in what is stored: waking one of these must be written before their read is answered. */
  #storedDormant: Set<UserId>;

  constructor(id: ConversationId, storage: Storage) {
    this.#id = id;
    this.#storage = storage;
    this.#store = new ConversationStore(storage, id);
    this.#state = this.#store.load();
    this.#fanOut = new FanOut(id, this.#store, this.#state);
    this.#retention = new Retention(this.#store, this.#state);
    this.#receipts = new ReceiptRoute(id, this.#store, this.#state);
    this.#placement = new Placement(this.#store, this.#state, this.#retention, (entry) => this.#fanOut.repeated(entry));
    this.#isOwedStored = this.#state.owedAbove !== null;
    this.#storedDormant = dormantOf(this.#state);
  }

  handle(event: ConversationEvent, now: number): ConversationEffect[] {
    const effects = this.#dispatch(event, now);
    effects.push(...this.#fanOut.next());
    effects.push(...this.#release(now));
    return effects;
  }

  #dispatch(event: ConversationEvent, now: number): ConversationEffect[] {
    switch (event.type) {
      case "append":
        return this.#accept(event, now);
      case "synced":
        return this.#appends.done() ? [{ do: "timer", name: "commit", afterMs: TURN_MS }] : [];
      case "readLog":
        return this.#readLog(event.call, event.args, now);
      case "putWatermark":
        return this.#putWatermark(event.call, event.args, now);
      case "signalTyping":
        return [reply(event.call, undefined), ...this.#signalTyping(event.args.user)];
      case "createGroup":
        return [reply(event.call, this.#createGroup(event.args))];
      case "setBlock":
        return [reply(event.call, this.#setBlock(event.args))];
      case "eraseMember":
        return this.#eraseMember(event.call, event.args);
      case "delivered":
        return [...this.#delivered(event, now), ...this.#erased()];
      case "watermarkTold":
        if (event.watermark) {
          this.#learn(event.user, event.watermark);
          this.#retention.told(event.user, event.watermark.missingAbove);
        }
        this.#expire(now);
        return [];
      case "timer":
        return this.#timer(event.name, now);
      case "alarm":
        return this.#alarm(now);
    }
  }

  // ── append ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Where members are few each has one call in flight, so there is nothing to gather. */
  #accept(event: { call: CallId; args: Append }, now: number): ConversationEffect[] {
    if (!this.#isHeld) {
      this.#appends.add(event);
      return this.#commitNext(now);
    }
    this.#append(event.call, event.args, now);
    return [];
  }

  /** One commit for everything that waits, of all senders; the next one when the disk has this one. */
  #commitNext(now: number): ConversationEffect[] {
    const batch = this.#appends.take(MAX_APPEND_MESSAGES, MAX_APPEND_BYTES, ({ args }) => bytesOf(args));
    if (batch.length === 0) return [];
    for (const { call, args } of batch) this.#append(call, args, now);
    return [{ do: "sync" }];
  }

  #append(call: CallId, args: Append, now: number): void {
    this.#learn(args.user, args.watermark);
    this.#fanOut.requestId = args.requestId;
    const fresh: Entry[] = [];
    const results = args.messages.map((message) => this.#placement.place(args.user, message, now, fresh));
    if (fresh.length > 0) this.#commit(fresh, now);
    const upTo = Math.max(0, ...results.map((result) => (result.ok ? result.seq : 0)));
    this.#held.push({ call, reply: { results }, upTo, since: now });
  }

  #commit(fresh: readonly Entry[], now: number): void {
    if (!this.#isHeld) this.#owe(now);
    const segments = this.#store.segments.length;
    if (this.#store.append(fresh, this.#state)) this.#stored();
    else if (this.#state.owedAbove !== null && !this.#isOwedStored) this.#saveState();
    if (this.#store.segments.length > segments) armBy(this.#storage, now + ACKED_GRACE_MS);
    for (const entry of fresh) this.#fanOut.committed(entry);
  }

  /** Answers the appends whose fan-out is done, or has waited long enough and has an alarm to stand in for it. */
  #release(now: number): ConversationEffect[] {
    if (this.#held.length === 0) return [];
    const fanned = this.#fanOut.fanned;
    const waits = this.#isHeld && !this.#fanOut.hasFailed;
    const [kept, released] = partition(
      this.#held,
      (held) => held.upTo > fanned && waits && now - held.since < FAN_OUT_HOLD_MS,
    );
    this.#held = kept;
    if (this.#state.owedAbove === null && released.some((held) => held.upTo > fanned)) {
      this.#owe(now);
      this.#saveState();
    }
    const effects: ConversationEffect[] = released.map((held) => reply(held.call, held.reply));
    if (kept.length > 0 && !this.#holdTimer) {
      this.#holdTimer = true;
      effects.push({ do: "timer", name: "hold", afterMs: FAN_OUT_HOLD_MS });
    }
    return effects;
  }

  /** With few members the ✓ waits for the fan-out; with many it never would be worth it. */
  get #isHeld(): boolean {
    return this.#state.members.size - 1 <= FAN_OUT_HOLD_MEMBERS;
  }

  /** The ✓ goes out before the fan-out is done: the alarm answers for the rest. The caller writes the state. */
  #owe(now: number): void {
    this.#state.owedAbove = Math.min(this.#fanOut.fanned, this.#state.owedAbove ?? this.#state.head);
    armBy(this.#storage, now + FAN_OUT_RETRY_MS);
  }

  // ── members ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #readLog(call: CallId, args: ReadLog, now: number): ConversationEffect[] {
    const member = this.#state.members.get(args.user);
    if (!member) return [reply(call, { ok: false, code: "not_found" })];
    const receipts = this.#hear(args, now);
    this.#wake(args.user, member, args.epoch);
    const { head } = this.#state;
    const page = withinBytes(this.#store.entries(args.after, MAX_PAGE_ENTRIES), MAX_PAGE_BYTES);
    const through = page.at(-1)?.seq ?? head;
    const entries = page.filter((entry) => !isHidden(member, entry.seq));
    const answer: ReadLogReply = { ok: true, entries, through, head, watermarks: this.#receipts.watermarks() };
    return [reply(call, answer), ...receipts];
  }

  /** Forgetting this would lose messages, so it is on disk before the read is answered (design §5, rule 3). */
  #wake(user: UserId, member: Member, epoch: number): void {
    this.#fanOut.woken(user, member, epoch);
    if (!this.#storedDormant.has(user)) return;
    this.#saveState();
  }

  #putWatermark(call: CallId, args: PutWatermark, now: number): ConversationEffect[] {
    const member = this.#state.members.get(args.user);
    if (!member) return [reply(call, { ok: false, code: "not_found" })];
    const receipts = this.#hear(args, now);
    const { delivered, read, kept } = member;
    return [reply(call, { ok: true, head: this.#state.head, watermark: { delivered, read, kept } }), ...receipts];
  }

  /** A watermark that nothing else carries: it is written before long, and passed on to whom it concerns. */
  #hear(args: PutWatermark | ReadLog, now: number): ConversationEffect[] {
    const before = { ...this.#state.members.get(args.user) } as Member;
    if (!this.#learn(args.user, args.watermark)) return [];
    if ("epoch" in args && !args.notify) return [];
    this.#saveLater(now);
    return args.notify ? this.#receipts.risen(before, args) : [];
  }

  #learn(user: UserId, watermark: Append["watermark"]): boolean {
    const member = this.#state.members.get(user);
    if (!member) return false;
    // A device may have fetched what its owner's object was not handed yet: the others do not have that.
    const kept = Math.min(watermark.kept, this.#fanOut.servedTo(user, member));
    return raise(member, { ...watermark, kept }, this.#state.head);
  }

  #signalTyping(user: UserId): ConversationEffect[] {
    if (!this.#state.members.has(user)) return [];
    return [...this.#state.members]
      .filter(([other, member]) => other !== user && !member.dormant)
      .map(([other]) => ({ do: "notifyTyping", user: other, args: { conversation: this.#id, user } }));
  }

  #createGroup(args: CreateGroup): void {
    if (this.#state.members.size > 0 || directMembers(this.#id).length > 0) return;
    Object.assign(this.#state, { ...emptyState(this.#id), members: membersOf(args.members) });
    this.#saveState();
  }

  #delivered(event: Extract<ConversationEvent, { type: "delivered" }>, now: number): ConversationEffect[] {
    const effects = this.#fanOut.delivered(event.user, event.reply);
    if (event.reply) this.#learn(event.user, event.reply.watermark);
    else armBy(this.#storage, now + FAN_OUT_RETRY_MS);
    const dormant = dormantOf(this.#state).size - this.#storedDormant.size;
    if (dormant >= DORMANT_WORTH_A_ROW) this.#saveLater(now);
    return effects;
  }

  #setBlock({ user, blocked, version }: SetBlock): void {
    const member = this.#state.members.get(user);
    if (!member || directMembers(this.#id).length !== 2 || version <= member.blockVersion) return;
    member.blockVersion = version;
    setBlocking(member, blocked, this.#state.head);
    this.#saveState();
  }

  #eraseMember(call: CallId, args: EraseMember): ConversationEffect[] {
    const found = this.#erase(args);
    const isEnd = this.#state.members.size === 0;
    if (!isEnd) {
      if (found) this.#saveState();
      return [reply(call, { found })];
    }
    this.#isUnsaved = false;
    this.#erasing.push({ call, found });
    return this.#erased();
  }

  /** A group goes on without them; in a 1:1 conversation nobody is a member any more. @returns whether they were in it */
  #erase({ user, devices }: EraseMember): boolean {
    const { members, newest } = this.#state;
    const found = members.has(user) && this.#store.exists;
    members.delete(user);
    if (directMembers(this.#id).includes(user)) members.clear();
    this.#fanOut.forget(user);
    for (const device of [...this.#store.eraseAuthor(user), ...devices]) newest.delete(device);
    return found;
  }

  /** What is on its way has to arrive first: an answer that came after the end would begin anew. */
  #erased(): ConversationEffect[] {
    if (this.#erasing.length === 0 || !this.#fanOut.isIdle) return [];
    const answers = this.#erasing.splice(0).map(({ call, found }) => reply(call, { found }));
    return [{ do: "wipe" }, ...answers];
  }

  // ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  #timer(name: TimerName, now: number): ConversationEffect[] {
    if (name === "hold") this.#holdTimer = false;
    else if (name === "commit") {
      this.#appends.resume();
      return this.#commitNext(now);
    } else this.#fanOut.resume(name.slice("yield:".length));
    return [];
  }

  /** Fan-out that failed or was cut short is tried again; what waited for it is written; what is due leaves the log. */
  #alarm(now: number): ConversationEffect[] {
    this.#fanOut.retry();
    if (!this.#fanOut.isDone) this.#owe(now);
    else if (this.#state.owedAbove !== null) {
      this.#state.owedAbove = null;
      this.#isUnsaved = true;
    }
    if (this.#isUnsaved) this.#saveState();
    this.#expire(now);
    return this.#retention.ask(now).map((user) => ({ do: "askWatermark", user }));
  }

  /** The state outlives the rows that carried it, so it is written first. */
  #expire(now: number): void {
    const expired = this.#retention.expired(now);
    if (expired.length > 0) this.#saveState();
    for (const segment of expired) this.#store.dropSegment(segment);
    const next = this.#retention.nextLookAt(now);
    if (next !== undefined) armBy(this.#storage, next);
  }

  #saveLater(now: number): void {
    this.#isUnsaved = true;
    armBy(this.#storage, now + STATE_FLUSH_MS);
  }

  #saveState(): void {
    this.#store.save(this.#state);
    this.#stored();
  }

  #stored(): void {
    this.#isUnsaved = false;
    this.#isOwedStored = this.#state.owedAbove !== null;
    this.#storedDormant = dormantOf(this.#state);
  }
}

/** Sets the alarm unless an earlier one stands: overwriting it would lose what it was set for. */
function armBy(storage: Storage, at: number): void {
  const standing = storage.alarmAt();
  if (standing === null || standing > at) storage.setAlarm(at);
}

function reply(call: CallId, value: unknown): ConversationEffect {
  return { do: "reply", call, value };
}

function dormantOf(state: State): Set<UserId> {
  return new Set([...state.members].filter(([, member]) => member.dormant).map(([user]) => user));
}

function bytesOf(args: Append): number {
  return args.messages.reduce((sum, message) => sum + message.body.byteLength, 0);
}

function partition<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  return [items.filter(test), items.filter((item) => !test(item))];
}
