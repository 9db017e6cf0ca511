import { type ConversationId, type MessageId, messageTime } from "../../shared/ids.ts";
import { MAX_FOLDED_CONVERSATIONS } from "../../shared/limits.ts";
import { type Entry, isChange } from "../content/message-state.ts";
import type { Base } from "./base.ts";
import { entryOf, readContent } from "./message.ts";
import { type PlacedRow, scan } from "./scan.ts";

export type ChangesOf = (target: MessageId) => readonly Entry[];

/**
 * Edits, reactions and the like, by the message that they are about. They stand behind it in the log, so whoever shows a
 * message needs all that follows it. Each place is read for this once a run, from the oldest message that anybody has looked
 * at up to the newest one: the last page costs itself, a jump back by n messages costs n rows, and nothing the second time.
 */
export class MessageChanges {
  readonly #base: Base;
  /** The conversations used last come last. */
  readonly #known = new Map<ConversationId, ConversationChanges>();

  constructor(base: Base) {
    this.#base = base;
    base.listeners.add("replaced", ({ conversation }) => this.#known.delete(conversation));
  }

  /** All that is about messages of this conversation behind `after`. */
  async behind(conversation: ConversationId, after: number): Promise<ChangesOf> {
    const changes = this.#of(conversation);
    await changes.reach(after);
    const unsent = this.unsent(conversation);
    return (target) => [...changes.about(target), ...unsent(target)];
  }

  /** What this person has just done, which shows at once. */
  unsent(conversation: ConversationId): ChangesOf {
    const { state, account } = this.#base;
    const byTarget = new Map<MessageId, Entry[]>();
    for (const { id, content: bytes } of state.conversations.get(conversation)?.queue ?? []) {
      const content = readContent(bytes);
      if (!isChange(content)) continue;
      const entry = { id, seq: undefined, user: account.user, at: messageTime(id), content };
      byTarget.set(content.target, [...(byTarget.get(content.target) ?? []), entry]);
    }
    return (target) => byTarget.get(target) ?? [];
  }

  #of(conversation: ConversationId): ConversationChanges {
    const changes = this.#known.get(conversation) ?? new ConversationChanges(this.#base, conversation);
    this.#known.delete(conversation);
    this.#known.set(conversation, changes);
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_FOLDED_CONVERSATIONS && oldest !== undefined) this.#known.delete(oldest);
    return changes;
  }
}

/** Of one conversation, complete in (#after, #through]. */
class ConversationChanges {
  readonly #base: Base;
  readonly #conversation: ConversationId;
  readonly #byTarget = new Map<MessageId, Map<number, Entry>>();
  #after: number;
  #through: number;

  constructor(base: Base, conversation: ConversationId) {
    this.#base = base;
    this.#conversation = conversation;
    this.#after = this.#through = this.#have;
  }

  about(target: MessageId): Iterable<Entry> {
    return this.#byTarget.get(target)?.values() ?? [];
  }

  /** Several may be under way: whatever is read twice is the same. */
  async reach(after: number): Promise<void> {
    const { store } = this.#base;
    const have = this.#have;
    if (after < this.#after) {
      for await (const row of scan(store, this.#conversation, after)) {
        if (row.seq > this.#after) break;
        this.#take(row);
      }
      this.#after = Math.min(after, this.#after);
    }
    // Beyond what is complete there may be messages of this device's own, before others that are missing.
    for await (const row of scan(store, this.#conversation, this.#through)) this.#take(row);
    this.#through = Math.max(have, this.#through);
  }

  get #have(): number {
    return this.#base.state.conversations.get(this.#conversation)?.have ?? 0;
  }

  #take(row: PlacedRow): void {
    // Of what others wrote the store knows which ones are events; most are not, and need not be read.
    if (!row.isEvent && row.user !== this.#base.account.user) return;
    const entry = entryOf(row);
    if (!isChange(entry.content)) return;
    const changes = this.#byTarget.get(entry.content.target) ?? new Map<number, Entry>();
    this.#byTarget.set(entry.content.target, changes.set(row.seq, entry));
  }
}
