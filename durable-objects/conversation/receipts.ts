import { type ConversationId, type Cursor, directMembers, type UserId } from "../../shared/ids.ts";
import type { PutWatermark, ReadLog } from "../../shared/rpc.ts";
import type { ConversationEffect } from "./effects.ts";
import type { Member, State } from "./state.ts";
import type { ConversationStore } from "./store.ts";

/** How far the least advanced member has got. */
type Floor = { delivered: Cursor; read: Cursor };

/** How far all members but the author have got: an author sees ✓✓ when everybody else has the message. */
function floorWithout(state: State, author: UserId): Floor {
  const floor = { delivered: state.head, read: state.head };
  for (const [user, member] of state.members) {
    if (user === author) continue;
    floor.delivered = Math.min(floor.delivered, member.delivered);
    floor.read = Math.min(floor.read, member.read);
  }
  return floor;
}

/** Who is told how far a message has got. */
export class ReceiptRoute {
  readonly #id: ConversationId;
  readonly #store: ConversationStore;
  readonly #state: State;
  readonly #isDirect: boolean;

  constructor(id: ConversationId, store: ConversationStore, state: State) {
    this.#id = id;
    this.#store = store;
    this.#state = state;
    this.#isDirect = directMembers(id).length > 0;
  }

  /** What a reader is shown of the others. */
  watermarks(): { user: UserId; delivered: Cursor; read: Cursor }[] {
    return [...this.#state.members].map(([user, { delivered, read }]) => ({ user, delivered, read }));
  }

  /** After `user`'s watermark rose from `before`: tells the authors whose messages have now got further. */
  risen(before: Readonly<Member>, args: PutWatermark | ReadLog): ConversationEffect[] {
    const member = this.#state.members.get(args.user);
    if (!member) return [];
    if (this.#isDirect) return this.#tellPeer(args, member);
    const delivered = this.#store.authors(before.delivered, member.delivered);
    const authors = new Set([...delivered, ...this.#store.authors(before.read, member.read)]);
    authors.delete(args.user);
    const members = [...authors].filter((author) => this.#state.members.has(author));
    return members.flatMap((author) => this.#tellAuthor(author, before, args));
  }

  #tellPeer(args: PutWatermark | ReadLog, { delivered, read }: Member): ConversationEffect[] {
    const peers = [...this.#state.members.keys()].filter((user) => user !== args.user);
    return peers.map((peer) => this.#notify(peer, { user: args.user, delivered, read }, args.requestId));
  }

  /** In a group only the aggregate counts, and only when it moves: who has read what is asked for on demand. */
  #tellAuthor(author: UserId, before: Readonly<Member>, args: PutWatermark | ReadLog): ConversationEffect[] {
    const now = floorWithout(this.#state, author);
    if (now.delivered <= before.delivered && now.read <= before.read) return [];
    return [this.#notify(author, now, args.requestId)];
  }

  #notify(to: UserId, receipt: Floor & { user?: UserId }, requestId: string): ConversationEffect {
    return { do: "notifyReceipt", user: to, args: { conversation: this.#id, ...receipt, requestId } };
  }
}
