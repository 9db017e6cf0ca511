import type { ConversationId } from "../../shared/ids.ts";
import type { MessagePage } from "../store/store.ts";
import type { Base } from "./base.ts";
import { keepSame } from "./keep-same.ts";
import { type LiveQuery, LiveReading, type LiveSource } from "./live-query.ts";
import type { Message } from "./message.ts";
import type { Timeline } from "./timeline.ts";
import { watchConversations } from "./watch.ts";

/** Messages of one conversation, oldest first, kept up to date; undefined until they are read. */
export interface LiveMessages extends LiveQuery<readonly Message[] | undefined> {
  /** Shows so many more from before; nothing changes if there are none. */
  readonly showOlder: (count: number) => void;
}

type List = readonly Message[];

/** Reads the page again whenever something in the conversation has changed: that takes some milliseconds. */
export class LivePage implements LiveSource<List> {
  readonly #base: Base;
  readonly #timeline: Timeline;
  readonly #conversation: ConversationId;
  #page: MessagePage;

  private constructor(base: Base, timeline: Timeline, conversation: ConversationId, page: MessagePage) {
    this.#base = base;
    this.#timeline = timeline;
    this.#conversation = conversation;
    this.#page = page;
  }

  static open(base: Base, timeline: Timeline, conversation: ConversationId, page: MessagePage): LiveMessages {
    const source = new LivePage(base, timeline, conversation, page);
    const { getSnapshot, subscribe, refresh } = new LiveReading(source);
    const showOlder = (count: number) => {
      source.#page = { ...source.#page, limit: source.#page.limit + count };
      refresh();
    };
    return { getSnapshot, subscribe, showOlder };
  }

  watch(changed: () => void): () => void {
    return watchConversations(this.#base, (conversation) => conversation === this.#conversation && changed());
  }

  async read(before: List | undefined): Promise<List> {
    return keepSame(before, await this.#timeline.page(this.#conversation, this.#page), keyOf);
  }

  changesIn(messages: List): number | undefined {
    const first = messages.reduce(
      (least, { expiresAt = least }) => Math.min(least, expiresAt),
      Number.POSITIVE_INFINITY,
    );
    return Number.isFinite(first) ? first - this.#base.now : undefined;
  }
}

/** The same from the outbox to its place in the log. */
function keyOf({ device, id }: Message): string {
  return `${device} ${id}`;
}
