import type { ConversationId } from "../../shared/ids.ts";
import { expiresAt } from "../content/expiry.ts";
import { hasVanished } from "../content/local.ts";
import { type Entry, foldMessage, isBetweenDevices, isChange, type MessageState } from "../content/message-state.ts";
import type { MessagePage, StoredMessage } from "../store/store.ts";
import { ticksOf } from "../ticks.ts";
import type { Base } from "./base.ts";
import { entryOf, type FoldedRow, type Message, type MessageRef, shownMessage } from "./message.ts";
import { type ChangesOf, MessageChanges } from "./message-changes.ts";

/** A page is looked for in twice as many rows, and in twice as many again as long as too few of them are to be seen. */
const ROWS_PER_MESSAGE = 2;

/**
 * What is to be seen of conversations: messages as they are now, and what became of the group. What only changes a message
 * shows in it; what was hidden here or has expired does not show at all.
 */
export class Timeline {
  readonly #base: Base;
  readonly #changes: MessageChanges;

  constructor(base: Base) {
    this.#base = base;
    this.#changes = new MessageChanges(base);
  }

  /** The last ones that are to be seen, oldest first. */
  async page(conversation: ConversationId, page: MessagePage): Promise<Message[]> {
    for (let limit = page.limit * ROWS_PER_MESSAGE; ; limit *= 2) {
      const rows = await this.#base.store.messages(conversation, { ...page, limit });
      const messages = await this.show(conversation, rows);
      if (messages.length >= page.limit || rows.length < limit) return messages.slice(-page.limit);
    }
  }

  /** Those of these rows of one conversation that are to be seen. */
  async show(conversation: ConversationId, rows: readonly StoredMessage[]): Promise<Message[]> {
    return this.#messages(conversation, await this.#fold(conversation, rows));
  }

  /** The same for the row that the store has last: nothing stands behind it, so nothing needs to be read. */
  async showLast(row: StoredMessage): Promise<Message | undefined> {
    const shown = this.#toBeSeen([row]);
    return this.#messages(row.conversation, folded(shown, this.#changes.unsent(row.conversation)))[0];
  }

  /** Undefined if it is not here, or not to be seen. */
  async find({ conversation, id }: MessageRef): Promise<Message | undefined> {
    const row = await this.#base.store.find(conversation, id);
    return row && (await this.show(conversation, [row]))[0];
  }

  /** What the rules of edits and so on go by. Undefined as with `find`. */
  async stateOf({ conversation, id }: MessageRef): Promise<MessageState | undefined> {
    const row = await this.#base.store.find(conversation, id);
    return row && (await this.#fold(conversation, [row]))[0]?.state;
  }

  async #fold(conversation: ConversationId, rows: readonly StoredMessage[]): Promise<FoldedRow[]> {
    const shown = this.#toBeSeen(rows);
    const first = shown.reduce((least, { entry }) => Math.min(least, placeOf(entry)), Number.POSITIVE_INFINITY);
    return folded(shown, await this.#changes.behind(conversation, first));
  }

  #messages(conversation: ConversationId, rows: readonly FoldedRow[]): Message[] {
    const { state, account, held } = this.#base;
    const ticks = ticksOf(state.conversations.get(conversation), conversation, account.user);
    return rows.map((row) => shownMessage(row, ticks, account.user, held.has(conversation)));
  }

  #toBeSeen(rows: readonly StoredMessage[]): Omit<FoldedRow, "state">[] {
    return rows.map((row) => ({ row, entry: entryOf(row) })).filter(({ entry }) => this.#isToBeSeen(entry));
  }

  #isToBeSeen({ content, at }: Entry): boolean {
    const expiry = expiresAt(content, at);
    if (hasVanished(content) || (expiry !== undefined && expiry <= this.#base.now)) return false;
    return !isChange(content) && !isBetweenDevices(content) && !isAboutDevices(content);
  }
}

function folded(rows: readonly Omit<FoldedRow, "state">[], changesOf: ChangesOf): FoldedRow[] {
  return rows.map(({ row, entry }) => ({ row, entry, state: foldMessage(entry, changesOf(entry.id), nobodyIsAdmin) }));
}

/** People neither joined nor left. */
function isAboutDevices(content: Entry["content"]): boolean {
  return content.kind === "group" && content.added.length + content.removed.length === 0;
}

function placeOf({ seq }: Entry): number {
  return seq ?? Number.POSITIVE_INFINITY;
}

/** Devices do not know roles yet, so that what an admin alone may do changes nothing. */
export const nobodyIsAdmin = () => false;
