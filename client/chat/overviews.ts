import type { ConversationId } from "../../shared/ids.ts";
import type { ConversationSummary } from "../store/store.ts";
import type { Base } from "./base.ts";
import type { Message } from "./message.ts";
import type { Timeline } from "./timeline.ts";
import { type UnreadCount, UnreadCounts } from "./unread-counts.ts";

export interface ConversationOverview {
  readonly conversation: ConversationId;
  /** Everything up to this place has been read, on some device of this person's. */
  readonly read: number;
  /** Messages of others behind that. */
  readonly unread: number;
  readonly last: Message | undefined;
}

/** An overview, and when it changes by itself, because something disappears. */
export interface TimedOverview {
  readonly overview: ConversationOverview;
  readonly changesAt: number;
}

export class Overviews {
  readonly #base: Base;
  readonly #timeline: Timeline;
  readonly #unread: UnreadCounts;
  /** As it is stored; the session may not know of what came with a history from elsewhere. */
  readonly #storedRead = new Map<ConversationId, number>();

  constructor(base: Base, timeline: Timeline) {
    this.#base = base;
    this.#timeline = timeline;
    this.#unread = new UnreadCounts(base);
  }

  async all(): Promise<TimedOverview[]> {
    const summaries = await this.#base.store.conversations();
    return Promise.all(summaries.map((summary) => this.#ofSummary(summary)));
  }

  async of(conversation: ConversationId): Promise<TimedOverview> {
    const read = this.#readOf(conversation);
    const count = await this.#unread.count(conversation, read);
    return timed({ conversation, read, unread: count.unread, last: await this.#last(conversation) }, count);
  }

  /** Most have nothing unread, and end with a message: the store has said all about them. */
  async #ofSummary({ conversation, read: stored, unread, last: row }: ConversationSummary): Promise<TimedOverview> {
    this.#storedRead.set(conversation, stored);
    const read = this.#readOf(conversation);
    const count = unread === 0 ? nothingUnread : await this.#unread.count(conversation, read);
    const last = row && ((await this.#timeline.showLast(row)) ?? (await this.#last(conversation)));
    return timed({ conversation, read, unread: count.unread, last }, count);
  }

  #readOf(conversation: ConversationId): number {
    const { read = 0 } = this.#base.state.conversations.get(conversation) ?? {};
    return Math.max(read, this.#storedRead.get(conversation) ?? 0);
  }

  async #last(conversation: ConversationId): Promise<Message | undefined> {
    return (await this.#timeline.page(conversation, { limit: 1 }))[0];
  }
}

function timed(overview: ConversationOverview, { changesAt }: UnreadCount): TimedOverview {
  return { overview, changesAt: Math.min(changesAt, overview.last?.expiresAt ?? Number.POSITIVE_INFINITY) };
}

const nothingUnread: UnreadCount = { unread: 0, changesAt: Number.POSITIVE_INFINITY };

/** The one with the newest message first; those without any last. */
export function newestFirst(overviews: readonly ConversationOverview[]): ConversationOverview[] {
  const time = ({ last }: ConversationOverview) => last?.at ?? 0;
  return overviews.toSorted((a, b) => time(b) - time(a) || (a.conversation < b.conversation ? -1 : 1));
}
