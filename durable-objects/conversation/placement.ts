import { Refusal } from "../../shared/errors.ts";
import { type ConversationId, type DeviceId, messageTime, type UserId } from "../../shared/ids.ts";
import { MAX_ID_AHEAD_MS } from "../../shared/limits.ts";
import { groupIdOf, readFraming } from "../../shared/mls/framing.ts";
import type { Append, Appended, Entry } from "../../shared/rpc.ts";
import type { GroupStore } from "./group-store.ts";
import type { Retention } from "./retention.ts";
import { endFor, isBlocking, type State } from "./state.ts";
import type { ConversationStore } from "./store.ts";

/** What somebody wants to have placed: a message, or a commit. */
type Message = Append["messages"][number];

/** Which place a message gets, or has already (docs/protocol.md R2, R3), and whether it gets one (R16). */
export class Placement {
  readonly #group: Uint8Array;
  readonly #store: ConversationStore;
  readonly #state: State;
  readonly #groups: GroupStore;
  readonly #retention: Retention;
  readonly #onRepeat: (entry: Entry) => void;

  /** @param onRepeat told of everything that came again */
  constructor(
    id: ConversationId,
    store: ConversationStore,
    state: State,
    groups: GroupStore,
    retention: Retention,
    onRepeat: (entry: Entry) => void,
  ) {
    this.#group = groupIdOf(id);
    this.#store = store;
    this.#state = state;
    this.#groups = groups;
    this.#retention = retention;
    this.#onRepeat = onRepeat;
  }

  /**
   * Gives each message its place, or finds the place it has, or refuses it. Behind one that its device is to send again
   * nothing new of that device gets a place: its messages would change their order (docs/protocol.md R2).
   * @param fresh takes what is to be written
   */
  placeAll(user: UserId, messages: readonly Message[], now: number, fresh: Entry[]): Appended[] {
    const waiting = new Set<DeviceId>();
    return messages.map((message) => {
      const placed = this.#place(user, message, now, fresh, waiting.has(message.device));
      if (!placed.ok && placed.retry !== "never") waiting.add(message.device);
      return placed;
    });
  }

  #place(user: UserId, message: Message, now: number, fresh: Entry[], isBehind: boolean): Appended {
    try {
      const known = this.#repeated(user, message, now, fresh);
      if (!known) this.requireWriter(user);
      if (!known && isBehind) throw new Refusal("busy");
      if (!known) this.#requireSealed(message.body);
      const entry = known ?? this.#takeMessage(user, message, now);
      if (!known) fresh.push(entry);
      return { ok: true, id: message.id, seq: entry.seq, at: entry.at };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return { ok: false, id: message.id, code: error.code, retry: error.retry };
    }
  }

  /** @throws Refusal not_found, blocked */
  requireWriter(user: UserId): void {
    const member = this.#state.members.get(user);
    if (!member) throw new Refusal("not_found");
    if (isBlocking(member)) throw new Refusal("blocked");
  }

  /**
   * The commit that has the same id already, because it came before. It is always looked for: messages that its device has
   * written earlier may still be to come, so its id says nothing about theirs. What has left the log, its epoch tells.
   * @throws Refusal not_found, blocked; id_from_future; id_conflict where it is something else
   */
  repeatedCommit(user: UserId, commit: Message, now: number): Entry | undefined {
    // Whoever was removed since is told all the same: with it they read what is still theirs.
    const wasMember = endFor(this.#state, user) !== undefined;
    if (wasMember) requireTimely(commit, now);
    const known = wasMember ? this.#store.find(commit.id, commit.device) : undefined;
    if (!known) this.requireWriter(user);
    return this.#repeat(known, user, commit);
  }

  /** The next place. */
  take(user: UserId, { id, device, body }: Message, now: number): Entry {
    const entry: Entry = { seq: this.#state.head + 1, id, user, device, at: now, body };
    this.#state.head = entry.seq;
    return entry;
  }

  #takeMessage(user: UserId, message: Message, now: number): Entry {
    const { id, device } = message;
    const entry = this.take(user, message, now);
    const newest = this.#state.newest.get(device);
    if (!newest || id > newest.id) this.#state.newest.set(device, { id, seq: entry.seq });
    return entry;
  }

  /**
   * What has the same id already, because it came before: also whoever was removed since hears that it is there.
   * @param fresh what is about to be written
   * @throws Refusal not_found, blocked; id_from_future, id_expired; id_conflict where it is something else
   */
  #repeated(user: UserId, message: Message, now: number, fresh: readonly Entry[]): Entry | undefined {
    // For who never wrote anything here nothing is looked for.
    if (!this.#state.newest.has(message.device)) this.requireWriter(user);
    requireTimely(message, now);
    const twice = fresh.find((entry) => entry.id === message.id && entry.device === message.device);
    return this.#repeat(twice ?? this.#findRepeat(message), user, message);
  }

  #repeat(known: Entry | undefined, user: UserId, message: Message): Entry | undefined {
    if (known && !isSame(known, user, message)) throw new Refusal("id_conflict");
    if (known) this.#onRepeat(known);
    return known;
  }

  /** The log takes nothing that this group's members can read only with keys of the past. @throws Refusal */
  #requireSealed(body: Uint8Array): void {
    const sealed = readFraming(body);
    if (sealed?.kind !== "message" || !isEqual(sealed.group, this.#group)) throw new Refusal("not_sealed");
    if (sealed.epoch !== this.#state.epoch) throw new Refusal("epoch_stale");
  }

  /**
   * The entry that already has this id. Ids rise per device, so one above the device's newest is new without a look; one
   * below may have been overtaken by a later one and is looked for. @throws Refusal id_expired where the log no longer
   * reaches back to when it might have been stored, so that nobody can tell.
   */
  #findRepeat(message: Message): Entry | undefined {
    const { id, device } = message;
    const newest = this.#state.newest.get(device);
    if (newest && id > newest.id) return undefined;
    const found = newest?.id === id ? this.#store.entry(newest.seq) : this.#store.find(id, device);
    if (found) return found;
    const isWhole =
      this.#retention.nothingDropped || messageTime(id) - MAX_ID_AHEAD_MS > (this.#store.oldestAt() ?? Infinity);
    const mayHaveGone = newest !== undefined || messageTime(id) <= this.#state.forgottenUntil;
    if (mayHaveGone && !isWhole && !this.#isOfThisEpoch(message)) throw new Refusal("id_expired");
    return undefined;
  }

  /**
   * What is sealed in the present epoch was sealed after its commit, and everything since is here if that one is. A device
   * seals a message anew only where what it had sealed before was refused and never had a place.
   */
  #isOfThisEpoch({ body }: Message): boolean {
    const sealed = readFraming(body);
    if (sealed?.kind !== "message" || sealed.epoch !== this.#state.epoch) return false;
    const [begun, first] = [this.#groups.group()?.seq, this.#store.segments[0]?.first];
    return begun !== undefined && first !== undefined && begun >= first;
  }
}

function requireTimely({ id }: Message, now: number): void {
  if (messageTime(id) > now + MAX_ID_AHEAD_MS) throw new Refusal("id_from_future");
}

function isSame(entry: Entry, user: UserId, message: Message): boolean {
  return entry.user === user && entry.device === message.device && isEqual(entry.body, message.body);
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, index) => byte === b[index]);
}
