import type { ConversationId, UserId } from "../../shared/ids.ts";
import type { Mls } from "../mls/mls.ts";
import type { SealedMessage } from "../session/contract.ts";
import type { StoreChange } from "../store/store.ts";
import { type ConversationKeys, keyChanges, knownPeople } from "./conversation-keys.ts";

/** What a write has found out, for the app and for what follows. */
export type Noticed =
  /** The group of this conversation has moved on, or this device's part in it has. */
  | {
      readonly type: "group_changed";
      readonly conversation: ConversationId;
      readonly status: ConversationKeys["status"];
    }
  /** A commit of this device's came too late. */
  | { readonly type: "commit_lost"; readonly conversation: ConversationId }
  /** Something came that this device, which is no member there, could not read. */
  | { readonly type: "passed"; readonly conversation: ConversationId }
  /** Nothing can be sealed there yet. */
  | { readonly type: "not_sealable"; readonly conversation: ConversationId }
  /** What is written there waits: these people's keys are others than were compared, and not confirmed. */
  | { readonly type: "held"; readonly conversation: ConversationId; readonly users: readonly UserId[] }
  /** The sender had seen another log than this device. */
  | {
      readonly type: "history_differs";
      readonly conversation: ConversationId;
      readonly seq: number;
      readonly how: HistoryDifference;
    }
  | { readonly type: "unreadable"; readonly conversation: ConversationId; readonly seq: number };

export type HistoryDifference =
  /** Something was exchanged, put elsewhere or shown twice, or the sender lies. No honest server does that. */
  | "altered"
  /** Something that the sender has did not come: it was withheld. Or its author's account is gone, or was blocked. */
  | "missing"
  /** The same, after this device was away for so long that it may just have left the log, as it should. */
  | "expired";

/**
 * One atomic write under way: what is to be stored, and what of the groups holds once it is. Thrown away if anything fails,
 * so that memory and store never differ.
 */
export class Write {
  readonly changes: StoreChange[] = [];
  readonly sealed: SealedMessage[] = [];
  readonly noticed: Noticed[] = [];
  readonly #mls: Mls;
  readonly #load: (conversation: ConversationId) => Promise<ConversationKeys>;
  readonly #before = new Map<ConversationId, ConversationKeys>();
  readonly #after = new Map<ConversationId, ConversationKeys>();

  constructor(mls: Mls, load: (conversation: ConversationId) => Promise<ConversationKeys>) {
    this.#mls = mls;
    this.#load = load;
  }

  async keys(conversation: ConversationId): Promise<ConversationKeys> {
    const known = this.#after.get(conversation);
    if (known) return known;
    const keys = await this.#load(conversation);
    this.#before.set(conversation, keys);
    this.#after.set(conversation, keys);
    return keys;
  }

  async update(conversation: ConversationId, part: Partial<ConversationKeys>): Promise<void> {
    const before = await this.keys(conversation);
    const after = { ...before, ...part };
    // Who was in it outlives the group: a device that comes in again shows what has changed since.
    const keys = { ...after, people: after.group ? undefined : (part.people ?? knownPeople(before)) };
    this.#after.set(conversation, keys);
    if (part.status !== undefined) this.noticed.push({ type: "group_changed", conversation, status: keys.status });
  }

  /** Everything of it, in the order in which it is to be stored. */
  finish(): StoreChange[] {
    const records = [...this.updated()].flatMap(([conversation, keys]) =>
      keyChanges(this.#mls, conversation, this.#before.get(conversation) ?? keys, keys),
    );
    return [...this.changes, ...records];
  }

  /** What has changed of the groups. */
  *updated(): IterableIterator<[ConversationId, ConversationKeys]> {
    for (const [conversation, keys] of this.#after) {
      if (keys !== this.#before.get(conversation)) yield [conversation, keys];
    }
  }
}
