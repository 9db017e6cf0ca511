import type { ConversationId } from "../../shared/ids.ts";
import { expiresAt } from "../content/expiry.ts";
import { hasVanished } from "../content/local.ts";
import { isEvent } from "../content/message-state.ts";
import type { Base } from "./base.ts";
import { readContent } from "./message.ts";
import { type PlacedRow, scan } from "./scan.ts";

export interface UnreadCount {
  readonly unread: number;
  /** When the first of them disappears, ms since 1970. */
  readonly changesAt: number;
}

/** Of what is complete, behind one read mark. */
interface Counted extends UnreadCount {
  readonly read: number;
  readonly through: number;
}

/** Messages of others behind the read mark, as far as they are to be seen. Counts on from where it has counted before. */
export class UnreadCounts {
  readonly #base: Base;
  readonly #known = new Map<ConversationId, Counted>();

  constructor(base: Base) {
    this.#base = base;
    for (const type of ["hidden", "replaced"] as const) {
      base.listeners.add(type, ({ conversation }) => this.#known.delete(conversation));
    }
  }

  async count(conversation: ConversationId, read: number): Promise<UnreadCount> {
    const { have = 0 } = this.#base.state.conversations.get(conversation) ?? {};
    const known = this.#knownFor(conversation, read);
    const isUnread = this.#counter();
    let [counted, ahead, changesAt] = [known.unread, 0, known.changesAt];
    for await (const row of scan(this.#base.store, conversation, known.through)) {
      const expiry = isUnread(row);
      if (expiry === undefined) continue;
      if (row.seq <= have) counted += 1;
      else ahead += 1;
      changesAt = Math.min(changesAt, expiry);
    }
    const through = Math.max(have, known.through);
    this.#known.set(conversation, { read, through, unread: counted, changesAt });
    return { unread: counted + ahead, changesAt };
  }

  #knownFor(conversation: ConversationId, read: number): Counted {
    const known = this.#known.get(conversation);
    if (known?.read === read && known.changesAt > this.#base.now) return known;
    return { read, through: read, unread: 0, changesAt: Number.POSITIVE_INFINITY };
  }

  /** Undefined for what is not counted; when it disappears, infinitely far away for what stays. */
  #counter(): (row: PlacedRow) => number | undefined {
    const { account, now } = this.#base;
    return (row) => {
      if (row.user === account.user || row.isEvent) return undefined;
      const content = readContent(row.content);
      const expiry = expiresAt(content, row.at) ?? Number.POSITIVE_INFINITY;
      return isEvent(content) || hasVanished(content) || expiry <= now ? undefined : expiry;
    };
  }
}
