import { Refusal } from "../../shared/errors.ts";
import {
  type ConversationId,
  type Cursor,
  directMembers,
  directPeer,
  type Seq,
  type UserId,
} from "../../shared/ids.ts";
import {
  ACKED_GRACE_MS,
  DORMANT_WORTH_A_ROW,
  FAN_OUT_HOLD_MEMBERS,
  FAN_OUT_HOLD_MS,
  FAN_OUT_RETRY_MS,
  FILE_RETRY_MS,
  MAX_APPEND_BYTES,
  MAX_APPEND_MESSAGES,
  STATE_FLUSH_MS,
  UNCLAIMED_FILES_MS,
} from "../../shared/limits.ts";
import type {
  Append,
  AppendReply,
  Entry,
  EraseMember,
  ExpectFiles,
  PutWatermark,
  ReadLog,
  ReadLogReply,
  SetBlock,
} from "../../shared/rpc.ts";
import { Gather, TURN_MS } from "../runtime/gather.ts";
import type { Storage } from "../runtime/storage.ts";
import { Commits, filesOf, refused } from "./commits.ts";
import type { CallId, ConversationEffect, ConversationEvent, TimerName } from "./effects.ts";
import { FanOut } from "./fan-out.ts";
import { FileDebts } from "./file-debts.ts";
import { GroupStore } from "./group-store.ts";
import { Newcomers, type Submission } from "./newcomers.ts";
import { readPage } from "./page.ts";
import { Placement } from "./placement.ts";
import { ReceiptRoute } from "./receipts.ts";
import { Retention } from "./retention.ts";
import { isOwned } from "./roster.ts";
import {
  appointOwner,
  endFor,
  forgetDevices,
  forgetFormer,
  type Member,
  raise,
  type State,
  setBlocking,
} from "./state.ts";
import { ConversationStore, type Segment } from "./store.ts";

/** Something that is committed and waits, a little, for its fan-out. */
interface Held {
  readonly call: CallId;
  readonly reply: unknown;
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
  readonly #groups: GroupStore;
  readonly #commits: Commits;
  readonly #fileDebts: FileDebts;
  readonly #newcomers = new Newcomers();
  readonly #appends = new Gather<{ call: CallId; args: Append }>();
  #held: Held[] = [];
  /** Callers who wait until this conversation is gone. */
  readonly #erasing: { call?: CallId; found: boolean }[] = [];
  /** Who has to forget this conversation before it is gone. */
  #forgetting = new Set<UserId>();
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
    const repeated = (entry: Entry) => this.#fanOut.repeated(entry);
    this.#groups = new GroupStore(storage);
    this.#placement = new Placement(id, this.#store, this.#state, this.#groups, this.#retention, repeated);
    this.#commits = new Commits(id, this.#store, this.#groups, this.#state, this.#placement);
    this.#fileDebts = new FileDebts(storage);
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
      case "expectFiles":
        return [reply(event.call, this.#expectFiles(event.args, now))];
      case "submitCommit":
        return this.#submitCommit({ ...event, registered: new Set() }, now);
      case "additionTold":
        return this.#additionTold(event, now);
      case "readGroup":
        return [reply(event.call, this.#commits.readGroup(event.args))];
      case "readEpoch":
        return [reply(event.call, this.#commits.readEpoch(event.args))];
      case "setBlock":
        return [reply(event.call, this.#setBlock(event.args))];
      case "eraseMember":
        return this.#eraseMember(event.call, event.args, now);
      case "delivered":
        return [...this.#delivered(event, now), ...this.#end()];
      case "watermarkTold":
        if (event.watermark) {
          this.#learn(event.user, event.watermark);
          this.#retention.told(event.user, event.watermark.missingAbove);
        }
        return this.#expire(now);
      case "peerForgotten":
        return this.#peerForgotten(event.user);
      case "filesDeleted":
        this.#fileDebts.settle(event.names);
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
    const results = this.#placement.placeAll(args.user, args.messages, now, fresh);
    if (fresh.length > 0) this.#commit(fresh, now);
    const upTo = Math.max(0, ...results.map((result) => (result.ok ? result.seq : 0)));
    const answer: AppendReply = { results, ...(this.#state.hasOrphans && { hasOrphans: true }) };
    this.#held.push({ call, reply: answer, upTo, since: now });
  }

  /** @param isDecisive a commit: whoever has made it finds it in the log, and does not hand it in again if no answer comes */
  #commit(fresh: readonly Entry[], now: number, isDecisive = false): void {
    if (!this.#isHeld || isDecisive) this.#owe(now);
    const segments = this.#store.segments.length;
    if (this.#store.append(fresh, this.#state, isDecisive)) this.#stored();
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

  // ── the group ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #submitCommit(submission: Submission, now: number): ConversationEffect[] {
    const { call, args, registered } = submission;
    this.#fanOut.requestId = args.requestId;
    const outcome = this.#commits.submit(args, registered, now);
    if (outcome.type === "ask") return this.#newcomers.ask(submission, outcome.users);
    if (outcome.type === "refused") return [reply(call, outcome.reply), ...this.#deleteFiles(filesOf(args), now)];
    const { seq, at } = outcome.entry;
    this.#held.push({ call, reply: { ok: true, seq, at }, upTo: seq, since: now });
    // What came again stands under the names that it was first handed in with.
    if (outcome.type === "known") return this.#deleteFiles(filesOf(args), now);
    this.#fileDebts.settle(filesOf(args));
    for (const [user, member] of outcome.removed) this.#fanOut.removed(user, member);
    this.#commit([outcome.entry], now, true);
    return this.#deleteFiles(outcome.files, now);
  }

  #additionTold(
    { call, user, reply }: Extract<ConversationEvent, { type: "additionTold" }>,
    now: number,
  ): ConversationEffect[] {
    if (reply?.ok) return this.#newcomers.confirmed(call, user).flatMap((waiting) => this.#submitCommit(waiting, now));
    const refusal = reply ? new Refusal(reply.code, reply.retry) : new Refusal("unavailable");
    return this.#refuse(this.#newcomers.unconfirmed(call), refusal, now);
  }

  #refuse(submissions: readonly Submission[], refusal: Refusal, now: number): ConversationEffect[] {
    return submissions.flatMap(({ call, args }) => [
      reply(call, refused(refusal)),
      ...this.#deleteFiles(filesOf(args), now),
    ]);
  }

  // ── files ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #expectFiles({ names }: ExpectFiles, now: number): void {
    this.#fileDebts.owe(names, now + UNCLAIMED_FILES_MS);
    armBy(this.#storage, now + UNCLAIMED_FILES_MS);
  }

  /** Remembered, in the transaction that needs them no more, until they are deleted. */
  #deleteFiles(names: string[], now: number): ConversationEffect[] {
    if (names.length === 0) return [];
    this.#fileDebts.owe(names, now);
    armBy(this.#storage, now + FILE_RETRY_MS);
    return [{ do: "deleteFiles", names }];
  }

  #deleteDue(now: number): ConversationEffect[] {
    const names = this.#fileDebts.due(now);
    const next = this.#fileDebts.nextLookAt(now);
    if (next !== undefined) armBy(this.#storage, next);
    return names.length > 0 ? [{ do: "deleteFiles", names }] : [];
  }

  // ── members ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #readLog(call: CallId, args: ReadLog, now: number): ConversationEffect[] {
    const { user, after } = args;
    const head = endFor(this.#state, user);
    if (head === undefined) return [reply(call, { ok: false, code: "not_found" })];
    const member = this.#state.members.get(user);
    const receipts = this.#hear(args, now);
    if (member) this.#wake(user, member, args.epoch);
    else this.#fanOut.woken(user, undefined, args.epoch);
    const watermarks = member ? this.#receipts.watermarks() : [];
    const answer: ReadLogReply = { ok: true, ...readPage(this.#store, this.#state, user, after), head, watermarks };
    return [reply(call, answer), ...receipts];
  }

  /** Forgetting this would lose messages, so it is on disk before the read is answered (design §5, rule 3). */
  #wake(user: UserId, member: Member, epoch: number): void {
    this.#fanOut.woken(user, member, epoch);
    if (!this.#storedDormant.has(user)) return;
    this.#saveState();
  }

  #putWatermark(call: CallId, args: PutWatermark, now: number): ConversationEffect[] {
    const head = endFor(this.#state, args.user);
    if (head === undefined) return [reply(call, { ok: false, code: "not_found" })];
    const receipts = this.#hear(args, now);
    const { delivered, read, kept } = this.#state.members.get(args.user) ?? { delivered: 0, read: 0, kept: 0 };
    return [reply(call, { ok: true, head, watermark: { delivered, read, kept } }), ...receipts];
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
    const kept = Math.min(watermark.kept, this.#fanOut.servedTo(user));
    return raise(member, { ...watermark, kept }, this.#state.head);
  }

  #signalTyping(user: UserId): ConversationEffect[] {
    if (!this.#state.members.has(user)) return [];
    return [...this.#state.members]
      .filter(([other, member]) => other !== user && !member.dormant)
      .map(([other]) => ({ do: "notifyTyping", user: other, args: { conversation: this.#id, user } }));
  }

  #delivered(event: Extract<ConversationEvent, { type: "delivered" }>, now: number): ConversationEffect[] {
    const effects = this.#fanOut.delivered(event.user, event.reply);
    if (event.reply?.state === "gone") return [...effects, ...this.#gone(event.user, now)];
    if (event.reply) this.#learn(event.user, event.reply.watermark);
    else armBy(this.#storage, now + FAN_OUT_RETRY_MS);
    // Where members are many the next message will owe again anyway.
    if (this.#isHeld && this.#fanOut.isDone) this.#state.owedAbove = null;
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

  #eraseMember(call: CallId, args: EraseMember, now: number): ConversationEffect[] {
    const { members } = this.#state;
    const given = this.#refuse(this.#newcomers.erased(args.user), new Refusal("not_found"), now);
    const end = this.#store.exists ? endFor(this.#state, args.user) : undefined;
    const files = end === undefined ? [] : this.#erase(args, end);
    if (directMembers(this.#id).includes(args.user)) members.clear();
    // Whoever is being removed sees to it themself that the other one forgets.
    this.#forgetting.clear();
    const found = end !== undefined;
    if (members.size > 0) return [...given, ...this.#deleteFiles(files, now), reply(call, { found })];
    this.#isUnsaved = false;
    this.#erasing.push({ call, found });
    return [...given, ...this.#end()];
  }

  /** Somebody was removed before they could hear of what they were brought into: nobody else would erase them here. */
  #gone(user: UserId, now: number): ConversationEffect[] {
    const end = endFor(this.#state, user);
    if (end === undefined) return [];
    const files = this.#erase({ user, devices: [], requestId: "" }, end);
    if (this.#state.members.size > 0) return this.#deleteFiles(files, now);
    this.#dissolve(now);
    return [];
  }

  /** Nobody is a member any more, as is stored; `#end` does the rest, and an alarm repeats it. */
  #dissolve(now: number): void {
    armBy(this.#storage, now + FAN_OUT_RETRY_MS);
    const named = directMembers(this.#id);
    this.#forgetting = new Set(named.length === 2 ? named : []);
    if (this.#forgetting.size === 0) this.#erasing.push({ found: true });
  }

  #peerForgotten(user: UserId): ConversationEffect[] {
    if (!this.#forgetting.delete(user) || this.#forgetting.size > 0) return [];
    this.#erasing.push({ found: true });
    return this.#end();
  }

  /** A group goes on without them. @param end the last place of theirs @returns files that nothing refers to any more */
  #erase({ user, devices }: EraseMember, end: Cursor): string[] {
    const { members, former, newest } = this.#state;
    const wasMember = members.delete(user);
    // A 1:1 conversation goes as a whole.
    if (directMembers(this.#id).length > 0) members.clear();
    former.delete(user);
    this.#fanOut.forget(user);
    for (const device of [...this.#store.eraseAuthor(user), ...devices]) newest.delete(device);
    const files = this.#commits.erase(user, wasMember ? end + 1 : end);
    appointOwner(members);
    this.#saveState();
    return files;
  }

  /** What is on its way has to arrive first: an answer, or a message, that came after the end would begin anew. */
  #end(): ConversationEffect[] {
    if (!this.#fanOut.isIdle) return [];
    if (this.#forgetting.size > 0) return [...this.#forgetting].flatMap((user) => this.#askToForget(user));
    if (this.#erasing.length === 0) return [];
    const answers = this.#erasing
      .splice(0)
      .flatMap(({ call, found }) => (call === undefined ? [] : reply(call, { found })));
    return [{ do: "wipe" }, ...answers];
  }

  /** Both are asked: nobody knows any more who is gone, and there nothing is forgotten. */
  #askToForget(user: UserId): ConversationEffect[] {
    const peer = directPeer(this.#id, user);
    const { requestId } = this.#fanOut;
    return peer === undefined ? [] : [{ do: "forgetPeer", user, args: { peer, requestId } }];
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
    if (!this.#fanOut.isDone) {
      this.#owe(now);
      this.#isUnsaved ||= !this.#isOwedStored;
    } else if (this.#state.owedAbove !== null || this.#isOwedStored) {
      this.#state.owedAbove = null;
      this.#isUnsaved = true;
    }
    if (this.#isUnsaved) this.#saveState();
    if (this.#store.exists && this.#state.members.size === 0) this.#dissolve(now);
    const effects = [...this.#deleteDue(now), ...this.#expire(now), ...this.#end()];
    return [...effects, ...this.#retention.ask(now).map((user): ConversationEffect => ({ do: "askWatermark", user }))];
  }

  #expire(now: number): ConversationEffect[] {
    const expired = this.#retention.expired(now);
    const effects = expired.length > 0 ? this.#drop(expired, now) : [];
    const next = this.#retention.nextLookAt(now);
    if (next !== undefined) armBy(this.#storage, next);
    return effects;
  }

  /** The state outlives the rows that carried it, so it is written first; what belonged to commits goes with them. */
  #drop(expired: readonly Segment[], now: number): ConversationEffect[] {
    const first = this.#store.segments[expired.length]?.first ?? this.#state.head + 1;
    forgetFormer(this.#state, first);
    const leaves = this.#state.epoch === null ? [] : (this.#groups.group()?.leaves ?? []);
    const devices = leaves.flatMap((leaf) => (isOwned(leaf) ? leaf.device : []));
    forgetDevices(this.#state, first, new Set(devices));
    this.#saveState();
    for (const segment of expired) this.#store.dropSegment(segment);
    return this.#deleteFiles(this.#commits.expire(first), now);
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
