import type { ConversationId, MessageId } from "../../shared/ids.ts";
import type { Change, ChangeType, PeerWatermark, Stored } from "../session/contract.ts";
import type { SessionStore, StoredSession } from "../session-store.ts";
import {
  type ConversationSummary,
  type MessagePage,
  type Owner,
  type Store,
  type StoredMessage,
  WrongOwner,
} from "./store.ts";

interface Row {
  have: number;
  read: number;
  readConfirmed: number;
  readonly peers: Map<string | undefined, PeerWatermark>;
  readonly placed: Map<number, StoredMessage>;
  /** Pending and failed, in the order of sending. */
  unplaced: StoredMessage[];
}

type Appliers = { readonly [T in ChangeType]: (change: Extract<Change, { type: T }>) => void };

/** Forgets everything with the process: for tests, and for clients that want nothing kept. Writes take effect at once. */
export class MemoryStore implements Store, SessionStore {
  #owner: Owner | undefined;
  #session: StoredSession | undefined;
  #lastMinted: MessageId | undefined;
  readonly #rows = new Map<ConversationId, Row>();
  #outbox: { conversation: ConversationId; id: MessageId; body: Uint8Array }[] = [];

  async load(owner: Owner): Promise<Stored> {
    this.#owner ??= owner;
    if (this.#owner.user !== owner.user || this.#owner.device !== owner.device) throw new WrongOwner();
    const conversations = [...this.#rows].map(([conversation, { have, read, readConfirmed, peers, placed }]) => {
      const ahead = [...placed.keys()].filter((seq) => seq > have).sort((a, b) => a - b);
      return { conversation, have, read, readConfirmed, peers: [...peers.values()], ahead };
    });
    return { lastMinted: this.#lastMinted, conversations, outbox: [...this.#outbox] };
  }

  async persist(changes: readonly Change[]): Promise<void> {
    for (const change of changes) {
      const apply = this.#appliers[change.type] as (change: Change) => void;
      apply(change);
    }
  }

  async messages(conversation: ConversationId, { before, limit }: MessagePage): Promise<StoredMessage[]> {
    const { placed, unplaced } = this.#row(conversation);
    const inOrder = [...placed.entries()].sort(([a], [b]) => a - b);
    const page = inOrder.filter(([seq]) => before === undefined || seq < before).map(([, message]) => message);
    return [...page, ...(before === undefined ? unplaced : [])].slice(-limit);
  }

  async conversations(): Promise<ConversationSummary[]> {
    const summaries = [...this.#rows].map(async ([conversation, { have, read, peers, placed }]) => {
      const unread = [...placed].filter(([seq, { user }]) => seq > read && user !== this.#owner?.user).length;
      const [last] = await this.messages(conversation, { limit: 1 });
      return { conversation, have, read, unread, peers: [...peers.values()], last };
    });
    return Promise.all(summaries);
  }

  async loadSession(): Promise<StoredSession | undefined> {
    return this.#session;
  }

  async saveSession(session: StoredSession | undefined): Promise<void> {
    this.#session = session;
  }

  async close(): Promise<void> {}

  readonly #appliers: Appliers = {
    queue: ({ conversation, id, at, body, content }) => {
      const { user, device } = this.#owner as Owner;
      this.#outbox.push({ conversation, id, body });
      this.#lastMinted = id;
      this.#row(conversation).unplaced.push({
        ...{ conversation, id, at, content, user, device },
        seq: undefined,
        failure: undefined,
      });
    },
    rename: ({ conversation, id, newId, at }) => {
      this.#lastMinted = newId;
      this.#outbox = this.#outbox.map((message) => (message.id === id ? { ...message, id: newId } : message));
      const row = this.#row(conversation);
      row.unplaced = row.unplaced.map((message) => (message.id === id ? { ...message, id: newId, at } : message));
    },
    sent: ({ conversation, id, seq, at }) => {
      const row = this.#row(conversation);
      const message = row.unplaced.find((pending) => pending.id === id);
      if (message) row.placed.set(seq, { ...message, seq, at });
      row.unplaced = row.unplaced.filter((pending) => pending.id !== id);
      this.#leaveOutbox(id);
    },
    failed: ({ conversation, id, code }) => {
      const row = this.#row(conversation);
      row.unplaced = row.unplaced.map((message) => (message.id === id ? { ...message, failure: code } : message));
      this.#leaveOutbox(id);
    },
    message: ({ type: _, body: content, ...meta }) => {
      const { placed } = this.#row(meta.conversation);
      if (!placed.has(meta.seq)) placed.set(meta.seq, { ...meta, content, failure: undefined });
    },
    cursor: ({ conversation, have }) => {
      this.#row(conversation).have = have;
    },
    read: ({ conversation, seq }) => {
      this.#row(conversation).read = seq;
    },
    read_confirmed: ({ conversation, seq }) => {
      this.#row(conversation).readConfirmed = seq;
    },
    receipt: ({ conversation, user, delivered, read }) => {
      this.#row(conversation).peers.set(user, { user, delivered, read });
    },
  };

  #leaveOutbox(id: MessageId): void {
    this.#outbox = this.#outbox.filter((message) => message.id !== id);
  }

  #row(conversation: ConversationId): Row {
    const known = this.#rows.get(conversation);
    if (known) return known;
    const row: Row = { have: 0, read: 0, readConfirmed: 0, peers: new Map(), placed: new Map(), unplaced: [] };
    this.#rows.set(conversation, row);
    return row;
  }
}
