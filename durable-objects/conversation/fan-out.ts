import type { ConversationId, Cursor, Seq, UserId } from "../../shared/ids.ts";
import { MAX_PAGE_BYTES, MAX_PAGE_ENTRIES, MAX_PARALLEL_DELIVERIES, MAX_RECENT_ENTRIES } from "../../shared/limits.ts";
import type { DeliverReply, Entry } from "../../shared/rpc.ts";
import { TURN_MS } from "../runtime/gather.ts";
import type { ConversationEffect } from "./effects.ts";
import { withinBytes } from "./page.ts";
import { endFor, isCommit, isFor, type Member, type State, startFor } from "./state.ts";
import type { ConversationStore } from "./store.ts";

/** Somebody who is called as long as they have not been served up to `end`. */
interface Recipient {
  readonly isDormant: boolean;
  readonly end: Cursor;
}

/** How far one recipient has been served since this object woke up. Nothing here needs to survive. */
interface Progress {
  /** Everything up to here has reached the member's user object, or is not theirs to get. */
  fanned: Cursor;
  /** Stored before this object woke up and sent again since: these go out once more, ahead of what is new. */
  readonly again: Set<Seq>;
  /** What the call in flight brings. */
  inFlight: { through: Cursor; again: readonly Seq[] } | undefined;
  yielding: boolean;
  failed: boolean;
  /** Epoch of the member's last read: an older `dormant` answer is about a past that the read has ended. */
  wokenAt: Cursor;
}

const servedTo = ({ fanned, again }: Progress): Cursor => Math.min(fanned, ...[...again].map((seq) => seq - 1));
const isServed = ({ isDormant, end }: Recipient, progress: Progress) => isDormant || servedTo(progress) >= end;

/**
 * Brings the log to the members' user objects: one call in flight a member, each with all that waits for them
 * (design §5 steps 4 and 5). A sender is skipped for their own messages: their user object has just handed them in. Commits
 * come in over HTTP, so they go to everybody, and to whom they have removed.
 */
export class FanOut {
  readonly #conversation: ConversationId;
  readonly #store: ConversationStore;
  readonly #state: State;
  readonly #progress = new Map<UserId, Progress>();
  /** The log's end, kept while it is being delivered, so that a message is not read back from disk. */
  #recent: Entry[] = [];
  #inFlightCount = 0;
  /** Where this object stood when it woke up. */
  readonly #head: Cursor;
  /** Request id of the last append, for the log lines of what follows from it. */
  requestId = "";

  constructor(conversation: ConversationId, store: ConversationStore, state: State) {
    this.#conversation = conversation;
    this.#store = store;
    this.#state = state;
    this.#head = state.head;
  }

  /** Everything that live members still have to get has reached them. */
  get isDone(): boolean {
    return this.fanned === this.#state.head;
  }

  get hasFailed(): boolean {
    return [...this.#progress.values()].some((progress) => progress.failed);
  }

  /** How far every live recipient has been served. */
  get fanned(): Cursor {
    let least = this.#state.head;
    for (const [user, recipient] of this.#recipients()) {
      const progress = this.#of(user);
      if (!isServed(recipient, progress)) least = Math.min(least, servedTo(progress));
    }
    return least;
  }

  /** An entry was committed. Whoever was served up to it and sent it themself is served. */
  committed(entry: Entry): void {
    this.#recent.push(entry);
    if (!this.#state.members.has(entry.user) || isCommit(entry)) return;
    const progress = this.#of(entry.user);
    if (progress.fanned === entry.seq - 1 && progress.inFlight === undefined) progress.fanned = entry.seq;
  }

  /**
   * An entry came again that was stored before this object woke up: whoever stored it may have gone before its fan-out
   * was done, for its sender has seen no ✓. It goes out once more; receivers drop what they have.
   */
  repeated(entry: Entry): void {
    if (entry.seq > this.#head) return;
    for (const [user, { isDormant }] of this.#recipients()) {
      if (!isDormant && this.#isDue(user, entry)) this.#of(user).again.add(entry.seq);
    }
  }

  /**
   * A member reads: they are called again from the head that this read saw; below it the reader sees to. Of somebody who is
   * none, and may be again before an older answer comes, only that is kept.
   */
  woken(user: UserId, member: Member | undefined, epoch: number): void {
    const progress = this.#of(user);
    progress.wokenAt = Math.max(progress.wokenAt, epoch);
    if (!member) return;
    if (member.dormant) {
      progress.fanned = this.#state.head;
      progress.again.clear();
    }
    member.dormant = false;
  }

  /** Somebody is no member any more. Their devices are marked if they were asleep, and find the end by themselves. */
  removed(user: UserId, { dormant }: Member): void {
    const progress = this.#of(user);
    if (!dormant) return;
    progress.fanned = this.#state.head;
    progress.again.clear();
  }

  /** Everything up to here has reached the member's user object. */
  servedTo(user: UserId): Cursor {
    return servedTo(this.#of(user));
  }

  /** The calls that can go now. */
  next(): ConversationEffect[] {
    const effects: ConversationEffect[] = [];
    for (const [user, recipient] of this.#recipients()) {
      if (this.#inFlightCount >= MAX_PARALLEL_DELIVERIES) break;
      const progress = this.#of(user);
      const isBusy = progress.inFlight !== undefined || progress.yielding || progress.failed;
      if (isBusy || isServed(recipient, progress)) continue;
      const effect = progress.again.size > 0 ? this.#deliverAgain(user, progress) : this.#deliverNew(user, progress);
      if (effect) effects.push(effect);
    }
    this.#forgetServed();
    return effects;
  }

  /** A call came back. */
  delivered(user: UserId, reply: DeliverReply | undefined): ConversationEffect[] {
    this.#inFlightCount--;
    const end = endFor(this.#state, user);
    if (end === undefined) return [];
    const progress = this.#of(user);
    const sent = progress.inFlight;
    progress.inFlight = undefined;
    if (!reply || sent === undefined) {
      progress.failed = true;
      return [];
    }
    progress.fanned = Math.max(progress.fanned, sent.through);
    for (const seq of sent.again) progress.again.delete(seq);
    const member = this.#state.members.get(user);
    if (member && reply.state === "dormant" && reply.epoch >= progress.wokenAt) member.dormant = true;
    if (isServed({ isDormant: member?.dormant === true, end }, progress)) return [];
    progress.yielding = true;
    return [{ do: "timer", name: `yield:${user}`, afterMs: TURN_MS }];
  }

  resume(user: UserId): void {
    const progress = this.#progress.get(user);
    if (progress) progress.yielding = false;
  }

  /** Nothing is on its way to anybody. */
  get isIdle(): boolean {
    return this.#inFlightCount === 0;
  }

  /** What they wrote, and how far they had been served, is nobody's business any more. */
  forget(user: UserId): void {
    this.#recent = [];
    this.#progress.delete(user);
  }

  /** Failed calls may be tried again. */
  retry(): void {
    for (const progress of this.#progress.values()) progress.failed = false;
  }

  /** Members, and everybody who was removed, up to the commit that did it. */
  *#recipients(): Generator<[UserId, Recipient]> {
    const { members, former, head } = this.#state;
    for (const [user, { dormant }] of members) yield [user, { isDormant: dormant, end: head }];
    for (const [user, spans] of former) {
      if (!members.has(user)) yield [user, { isDormant: false, end: spans.at(-1)?.left ?? 0 }];
    }
  }

  #of(user: UserId): Progress {
    const known = this.#progress.get(user);
    if (known) return known;
    const progress: Progress = {
      fanned: Math.max(this.#state.owedAbove ?? this.#head, this.#kept(user)),
      again: new Set(),
      inFlight: undefined,
      yielding: false,
      failed: false,
      wokenAt: 0,
    };
    this.#progress.set(user, progress);
    return progress;
  }

  /** What somebody has kept who was removed and is back says nothing of what they had to get before. */
  #kept(user: UserId): Cursor {
    return this.#state.former.has(user) ? 0 : (this.#state.members.get(user)?.kept ?? 0);
  }

  /** Whether an entry has to be brought to this person. */
  #isDue(user: UserId, entry: Entry): boolean {
    return isFor(this.#state, user, entry) && (entry.user !== user || isCommit(entry));
  }

  #deliverAgain(user: UserId, progress: Progress): ConversationEffect | undefined {
    const again = [...progress.again].sort((a, b) => a - b).slice(0, MAX_PAGE_ENTRIES);
    const entries = withinBytes(
      again.flatMap((seq) => this.#store.entry(seq) ?? []),
      MAX_PAGE_BYTES,
    );
    // What has left the log meanwhile is nobody's to get any more.
    if (entries.length === 0) progress.again.clear();
    return this.#call(user, progress, entries, { through: 0, again: entries.map((entry) => entry.seq) });
  }

  /**
   * Where nothing that waits is for the member, be it their own or from somebody they block, they are simply served. What
   * came while they were none is not even looked at: however much that is, nothing else would go on with it.
   */
  #deliverNew(user: UserId, progress: Progress): ConversationEffect | undefined {
    const page = this.#page(startFor(this.#state, user, progress.fanned));
    const through = page.at(-1)?.seq ?? this.#state.head;
    const entries = page.filter((entry) => this.#isDue(user, entry));
    if (entries.length === 0) progress.fanned = through;
    return this.#call(user, progress, entries, { through, again: [] });
  }

  #call(
    user: UserId,
    progress: Progress,
    entries: Entry[],
    inFlight: NonNullable<Progress["inFlight"]>,
  ): ConversationEffect | undefined {
    if (entries.length === 0) return undefined;
    progress.inFlight = inFlight;
    this.#inFlightCount++;
    return { do: "deliver", user, args: { conversation: this.#conversation, entries, requestId: this.requestId } };
  }

  #page(after: Cursor): Entry[] {
    const first = this.#recent[0]?.seq;
    const entries =
      first !== undefined && first <= after + 1
        ? this.#recent.slice(after + 1 - first, after + 1 - first + MAX_PAGE_ENTRIES)
        : this.#store.entries(after, MAX_PAGE_ENTRIES);
    return withinBytes(entries, MAX_PAGE_BYTES);
  }

  #forgetServed(): void {
    const fanned = this.fanned;
    const first = this.#recent[0]?.seq;
    if (first === undefined) return;
    if (first <= fanned) this.#recent = this.#recent.slice(fanned + 1 - first);
    // Somebody cannot be reached: what they miss is read from disk when they can.
    if (this.#recent.length > MAX_RECENT_ENTRIES) this.#recent = this.#recent.slice(-MAX_PAGE_ENTRIES);
  }
}
