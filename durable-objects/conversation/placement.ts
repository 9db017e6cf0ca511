import { Refusal } from "../../shared/errors.ts";
import { type MessageId, messageTime, type UserId } from "../../shared/ids.ts";
import { MAX_ID_AHEAD_MS } from "../../shared/limits.ts";
import type { Append, Appended, Entry } from "../../shared/rpc.ts";
import type { Retention } from "./retention.ts";
import { isBlocking, type State } from "./state.ts";
import type { ConversationStore } from "./store.ts";

/** Which place a message gets, or has already (docs/protocol.md R2, R3). */
export class Placement {
  readonly #store: ConversationStore;
  readonly #state: State;
  readonly #retention: Retention;
  readonly #onRepeat: (entry: Entry) => void;

  /** @param onRepeat told of every message that came again */
  constructor(store: ConversationStore, state: State, retention: Retention, onRepeat: (entry: Entry) => void) {
    this.#store = store;
    this.#state = state;
    this.#retention = retention;
    this.#onRepeat = onRepeat;
  }

  /** Gives one message its place, or finds the place it has, or refuses it. @param fresh takes what is to be written */
  place(user: UserId, message: Append["messages"][number], now: number, fresh: Entry[]): Appended {
    try {
      const member = this.#state.members.get(user);
      if (!member) throw new Refusal("not_found");
      if (isBlocking(member)) throw new Refusal("blocked");
      if (messageTime(message.id) > now + MAX_ID_AHEAD_MS) throw new Refusal("id_from_future");
      const twice = fresh.find((entry) => entry.id === message.id && entry.device === message.device);
      const known = twice ?? this.#findRepeat(message.id, message.device);
      if (known && !isSame(known, user, message)) throw new Refusal("id_conflict");
      if (known) this.#onRepeat(known);
      const entry = known ?? this.#take(user, message, now, fresh);
      return { ok: true, id: message.id, seq: entry.seq, at: entry.at };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return { ok: false, id: message.id, code: error.code, retry: error.retry };
    }
  }

  #take(user: UserId, message: Append["messages"][number], now: number, fresh: Entry[]): Entry {
    const entry: Entry = { seq: this.#state.head + 1, user, at: now, ...message };
    this.#state.head = entry.seq;
    const newest = this.#state.newest.get(entry.device);
    if (!newest || entry.id > newest.id) this.#state.newest.set(entry.device, { id: entry.id, seq: entry.seq });
    fresh.push(entry);
    return entry;
  }

  /**
   * The entry that already has this id. Ids rise per device, so one above the device's newest is new without a look; one
   * below may have been overtaken by a later one and is looked for. @throws Refusal id_expired where the log no longer
   * reaches back to when it might have been stored, so that nobody can tell.
   */
  #findRepeat(id: MessageId, device: string): Entry | undefined {
    const newest = this.#state.newest.get(device);
    if (newest && id > newest.id) return undefined;
    const found = newest?.id === id ? this.#store.entry(newest.seq) : this.#store.find(id, device);
    if (found) return found;
    const isWhole =
      this.#retention.nothingDropped || messageTime(id) - MAX_ID_AHEAD_MS > (this.#store.oldestAt() ?? Infinity);
    if (newest && !isWhole) throw new Refusal("id_expired");
    return undefined;
  }
}

function isSame(entry: Entry, user: UserId, message: Append["messages"][number]): boolean {
  return (
    entry.user === user &&
    entry.device === message.device &&
    entry.body.byteLength === message.body.byteLength &&
    entry.body.every((byte, index) => byte === message.body[index])
  );
}
