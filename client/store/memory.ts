import type { ConversationId, MessageId } from "../../shared/ids.ts";
import type { Stored } from "../session/contract.ts";
import type { SessionStore, StoredSession } from "../session-store.ts";
import { type ConversationRow, Draft, type FoundRows, type UnplacedRow } from "./draft.ts";
import {
  type ConversationSummary,
  type MessagePage,
  type Owner,
  type PlacedMessage,
  type Store,
  type StoreChange,
  type StoredMessage,
  WrongOwner,
} from "./store.ts";

/**
 * Forgets everything with the process: for tests, and for clients that want nothing kept. Writes take effect at once. Bytes
 * are copied on their way in and out: keys are wiped by whoever has used them.
 */
export class MemoryStore implements Store, SessionStore {
  #owner: Owner | undefined;
  #session: StoredSession | undefined;
  #lastMinted: MessageId | undefined;
  #lastNumber = 0;
  readonly #conversations = new Map<ConversationId, ConversationRow>();
  readonly #placed = new Map<ConversationId, Map<number, PlacedMessage>>();
  readonly #unplaced = new Map<string, UnplacedRow>();
  readonly #records = new Map<string, Uint8Array>();

  async load(owner: Owner): Promise<Stored> {
    this.#owner ??= owner;
    if (this.#owner.user !== owner.user || this.#owner.device !== owner.device) throw new WrongOwner();
    const conversations = [...this.#conversations.values()].map((row) => {
      // What others wrote can lie there too: it was imported.
      const isOwn = (seq: number) => this.#placed.get(row.conversation)?.get(seq)?.device === owner.device;
      const ahead = this.#placesOf(row.conversation).filter((seq) => seq > row.have && isOwn(seq));
      return { ...row, ahead };
    });
    const outbox = this.#unplacedInOrder()
      .filter(({ failure }) => failure === undefined)
      .map(({ conversation, id, content, body }) => ({
        ...{ conversation, id, content: content.slice() },
        ...(body && { body: body.slice() }),
      }));
    return { lastMinted: this.#lastMinted, conversations, outbox };
  }

  async persist(changes: readonly StoreChange[]): Promise<void> {
    if (!this.#owner) throw new Error("The store has not been loaded.");
    const draft = new Draft(this.#owner, this.#found());
    for (const change of changes) draft.apply(ownBytes(change));
    this.#adopt(draft);
  }

  async record(key: string): Promise<Uint8Array | undefined> {
    return this.#records.get(key)?.slice();
  }

  async records(prefix: string): Promise<(readonly [string, Uint8Array])[]> {
    const found = [...this.#records].filter(([key]) => key.startsWith(prefix));
    return found.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => [key, value.slice()]);
  }

  async scan(conversation: ConversationId, after: number, limit: number): Promise<StoredMessage[]> {
    const places = this.#placesOf(conversation).filter((seq) => seq > after);
    return this.#messagesAt(conversation, places.slice(0, limit));
  }

  async find(conversation: ConversationId, id: MessageId): Promise<StoredMessage | undefined> {
    const rows = this.#placed.get(conversation);
    const place = this.#placesOf(conversation).find((seq) => rows?.get(seq)?.id === id);
    if (place !== undefined) return this.#messagesAt(conversation, [place])[0];
    const unplaced = this.#unplaced.get(keyOf(conversation, id));
    return unplaced && unplacedMessage(unplaced);
  }

  async messages(conversation: ConversationId, { before, limit }: MessagePage): Promise<StoredMessage[]> {
    const places = this.#placesOf(conversation).filter((seq) => before === undefined || seq < before);
    const placed = this.#messagesAt(conversation, places.slice(-limit));
    if (before !== undefined) return placed;
    const unplaced = this.#unplacedInOrder().filter((row) => row.conversation === conversation);
    return [...placed, ...unplaced.map(unplacedMessage)].slice(-limit);
  }

  async conversations(): Promise<ConversationSummary[]> {
    const summaries = [...this.#conversations.values()].map(async ({ conversation, have, read, peers }) => {
      const placed = [...(this.#placed.get(conversation)?.values() ?? [])];
      const unread = placed.filter(({ seq, user, isEvent }) => seq > read && user !== this.#owner?.user && !isEvent);
      const [last] = await this.messages(conversation, { limit: 1 });
      return { conversation, have, read, unread: unread.length, peers, last };
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

  #found(): FoundRows {
    return {
      conversation: (id) => this.#conversations.get(id),
      placed: (conversation, seq) => this.#placed.get(conversation)?.get(seq),
      unplaced: (conversation, id) => this.#unplaced.get(keyOf(conversation, id)),
      lastNumber: this.#lastNumber,
    };
  }

  #adopt(draft: Draft): void {
    this.#lastMinted = draft.lastMinted ?? this.#lastMinted;
    for (const { key, row } of draft.conversations.touched()) put(this.#conversations, key[0], row);
    for (const { key, row } of draft.records.touched()) put(this.#records, key[0], row);
    for (const { key, row } of draft.unplaced.touched()) {
      put(this.#unplaced, keyOf(...key), row);
      this.#lastNumber = Math.max(this.#lastNumber, row?.number ?? 0);
    }
    for (const { key, row } of draft.placed.touched()) {
      const [conversation, seq] = key;
      const places = this.#placed.get(conversation) ?? new Map<number, PlacedMessage>();
      this.#placed.set(conversation, places);
      put(places, seq, row);
    }
  }

  #placesOf(conversation: ConversationId): number[] {
    return [...(this.#placed.get(conversation)?.keys() ?? [])].sort((a, b) => a - b);
  }

  #messagesAt(conversation: ConversationId, places: readonly number[]): StoredMessage[] {
    const messages = places.map((seq) => this.#placed.get(conversation)?.get(seq));
    return messages.filter((message) => message !== undefined).map(placedMessage);
  }

  #unplacedInOrder(): UnplacedRow[] {
    return [...this.#unplaced.values()].sort((a, b) => a.number - b.number);
  }
}

function ownBytes(change: StoreChange): StoreChange {
  if ("content" in change) return { ...change, content: change.content.slice() };
  if ("body" in change) return { ...change, body: change.body.slice() };
  return change.type === "record" ? { ...change, value: change.value?.slice() } : change;
}

function placedMessage(row: PlacedMessage): StoredMessage {
  return { ...row, content: row.content.slice(), failure: undefined };
}

function unplacedMessage({ number: _, body: __, ...row }: UnplacedRow): StoredMessage {
  return { ...row, content: row.content.slice(), seq: undefined, isEvent: false };
}

function put<Key, Row>(rows: Map<Key, Row>, key: Key, row: Row | undefined): void {
  if (row === undefined) rows.delete(key);
  else rows.set(key, row);
}

function keyOf(conversation: ConversationId, id: MessageId): string {
  return `${conversation} ${id}`;
}
