import type { ConversationId } from "../../shared/ids.ts";
import type { Base } from "./base.ts";
import { keepSame } from "./keep-same.ts";
import { LiveReading, type LiveSource } from "./live-query.ts";
import { type ConversationOverview, newestFirst, type Overviews, type TimedOverview } from "./overviews.ts";
import { watchConversations } from "./watch.ts";

type List = readonly ConversationOverview[];

/** Reads all conversations once, and after that only those in which something has happened. */
export class LiveConversations implements LiveSource<List> {
  readonly query: LiveReading<List> = new LiveReading(this);
  readonly #base: Base;
  readonly #overviews: Overviews;
  readonly #known = new Map<ConversationId, TimedOverview>();
  readonly #due = new Set<ConversationId>();
  /** All are to be read: nobody has looked for a while, or it has failed. */
  #isStale = true;

  constructor(base: Base, overviews: Overviews) {
    this.#base = base;
    this.#overviews = overviews;
  }

  watch(changed: () => void): () => void {
    this.#isStale = true;
    const unwatch = watchConversations(this.#base, (conversation) => {
      this.#due.add(conversation);
      changed();
    });
    // What comes with a history from elsewhere may be about other conversations, and about how far they were read.
    const unlisten = this.#base.listeners.add("replaced", () => {
      this.#isStale = true;
    });
    return () => {
      unwatch();
      unlisten();
    };
  }

  async read(before: List | undefined): Promise<List> {
    const overviews = await this.#readDue();
    for (const timed of overviews) this.#known.set(timed.overview.conversation, timed);
    const list = newestFirst([...this.#known.values()].map(({ overview }) => overview));
    return keepSame(before, list, ({ conversation }) => conversation);
  }

  changesIn(): number | undefined {
    let first = Number.POSITIVE_INFINITY;
    for (const { changesAt } of this.#known.values()) first = Math.min(first, changesAt);
    return Number.isFinite(first) ? first - this.#base.now : undefined;
  }

  async #readDue(): Promise<TimedOverview[]> {
    const due = [...this.#due, ...this.#over()];
    const isStale = this.#isStale;
    this.#due.clear();
    this.#isStale = false;
    try {
      if (isStale) return await this.#overviews.all();
      return await Promise.all([...new Set(due)].map((conversation) => this.#overviews.of(conversation)));
    } catch (error) {
      this.#isStale = true;
      throw error;
    }
  }

  /** Those in which something has disappeared by itself. */
  #over(): ConversationId[] {
    const { now } = this.#base;
    return [...this.#known].filter(([, { changesAt }]) => changesAt <= now).map(([conversation]) => conversation);
  }
}
