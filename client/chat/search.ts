import type { ConversationId, MessageId } from "../../shared/ids.ts";
import { SEARCH_SAVE_MS } from "../../shared/limits.ts";
import { expiresAt } from "../content/expiry.ts";
import { type SearchDocument, type SearchHit, SearchIndex, type SearchScope } from "../search/search-index.ts";
import { searchableText } from "../search/searchable-text.ts";
import type { StoreChange } from "../store/store.ts";
import type { Engine } from "./engine.ts";
import { type Message, type MessageRef, readContent } from "./message.ts";
import { scan } from "./scan.ts";
import type { Timeline } from "./timeline.ts";

const SNAPSHOT = "search";
/** From which place on a conversation is to be read again: the snapshot that is stored takes it for known. */
const AGAIN = "search-again/";
/** Messages that were erased, of which the snapshot that is stored may still have the words. */
const ERASED = "search-erased/";

/** A store may take no bytes for none. */
const MARK = Uint8Array.of(1);

/**
 * Full-text search over what this device has. The index is loaded with the first search, and before each one reads what has
 * come since; it is stored now and then, and what is missing in it then is read again from the store.
 */
export class Search {
  readonly #engine: Engine;
  readonly #timeline: Timeline;
  /** Conversations with something that may not be in the index yet. */
  readonly #due = new Set<ConversationId>();
  /** Places that say something else than when they were read: the first of each conversation. */
  readonly #again = new Map<ConversationId, number>();
  /** The same, as it is stored: until a snapshot is, that has read them. */
  readonly #recorded = new Map<ConversationId, number>();
  #index: Promise<SearchIndex> | undefined;
  #working: Promise<unknown> = Promise.resolve();
  #saving: ReturnType<typeof setTimeout> | undefined;

  constructor(engine: Engine, timeline: Timeline) {
    this.#engine = engine;
    this.#timeline = timeline;
    const { listeners } = engine;
    listeners.add("message", ({ conversation }) => this.#due.add(conversation));
    listeners.add("sent", ({ conversation }) => this.#due.add(conversation));
    listeners.add("replaced", ({ conversation, seq }) => this.#readAgain(conversation, seq));
    listeners.add("erased", (message) => this.#forget(message));
    listeners.add("caught_up", () => void this.#resume().catch(() => {}));
  }

  async find(query: string, scope: SearchScope): Promise<SearchHit[]> {
    const index = await this.#load();
    await this.#inOrder(() => this.#catchUp(index));
    const hits = index.search(query, scope);
    const isThere = await Promise.all(hits.map((hit) => this.#isThere(hit)));
    for (const [at, hit] of hits.entries()) if (!isThere[at]) index.remove(hit);
    return hits.filter((_, at) => isThere[at]);
  }

  stop(): void {
    clearTimeout(this.#saving);
  }

  #load(): Promise<SearchIndex> {
    this.#index ??= this.#open().catch((error) => {
      this.#index = undefined;
      throw error;
    });
    return this.#index;
  }

  async #open(): Promise<SearchIndex> {
    const { store, state } = this.#engine;
    const index = await SearchIndex.open(await store.record(SNAPSHOT));
    for (const [key, value] of await store.records(AGAIN)) this.#recall(key.slice(AGAIN.length), value);
    for (const message of await this.#erased()) index.remove(message);
    for (const [conversation] of state.conversations) this.#due.add(conversation);
    return index;
  }

  /** What has disappeared since it was read is not found any more. */
  async #isThere({ conversation, id }: SearchHit): Promise<boolean> {
    const row = await this.#engine.store.find(conversation, id);
    const content = row && readContent(row.content);
    if (!content || content.kind === "erased") return false;
    return (expiresAt(content, row.at) ?? Number.POSITIVE_INFINITY) > this.#engine.now;
  }

  async #catchUp(index: SearchIndex): Promise<void> {
    if (this.#due.size === 0) return;
    for (const conversation of [...this.#due]) {
      const again = this.#again.get(conversation) ?? Number.POSITIVE_INFINITY;
      this.#due.delete(conversation);
      this.#again.delete(conversation);
      await this.#read(index, conversation, again).catch((error) => {
        this.#readAgain(conversation, again);
        throw error;
      });
    }
    this.#saveSoon();
  }

  async #read(index: SearchIndex, conversation: ConversationId, again: number): Promise<void> {
    const have = this.#engine.state.conversations.get(conversation)?.have ?? 0;
    const changed = new Set<MessageId>();
    const after = Math.min(index.indexedUpTo(conversation), again - 1);
    await index.addAll(this.#documents(conversation, after, changed));
    for (const id of changed) await this.#renew(index, { conversation, id });
    index.markIndexed(conversation, have);
  }

  /** @param changed gets the messages that were given other words, or none */
  async *#documents(
    conversation: ConversationId,
    after: number,
    changed: Set<MessageId>,
  ): AsyncGenerator<SearchDocument> {
    for await (const row of scan(this.#engine.store, conversation, after)) {
      const content = readContent(row.content);
      if (content.kind === "edit" || content.kind === "deletion") changed.add(content.target);
      const text = searchableText(content);
      const { seq, id, user: sender, at } = row;
      if (text !== undefined) yield { conversation, seq, id, sender, at, text };
    }
  }

  async #renew(index: SearchIndex, ref: MessageRef): Promise<void> {
    const message = await this.#timeline.find(ref);
    const document = message && documentOf(message);
    if (document) index.put(document);
    else index.remove(ref);
  }

  /** From this place on; what comes again is known by its id. */
  #readAgain(conversation: ConversationId, seq: number): void {
    this.#due.add(conversation);
    this.#again.set(conversation, Math.min(seq, this.#again.get(conversation) ?? seq));
    if ((this.#recorded.get(conversation) ?? Number.POSITIVE_INFINITY) <= seq) return;
    this.#recorded.set(conversation, seq);
    const value = new TextEncoder().encode(JSON.stringify(seq));
    void this.#write({ type: "record", key: AGAIN + conversation, value }).catch(() => {});
  }

  #recall(conversation: ConversationId, record: Uint8Array): void {
    const seq = Number(new TextDecoder().decode(record));
    this.#recorded.set(conversation, seq);
    this.#again.set(conversation, Math.min(seq, this.#again.get(conversation) ?? seq));
  }

  /** What an earlier run has erased, and not taken out of its snapshot. */
  async #resume(): Promise<void> {
    if ((await this.#erased()).length > 0) this.#saveSoon();
  }

  #forget(message: MessageRef): void {
    this.#saveSoon();
    this.#index?.then(
      (index) => index.remove(message),
      () => {},
    );
  }

  async #erased(): Promise<MessageRef[]> {
    const records = await this.#engine.store.records(ERASED);
    return records.map(([key]) => {
      const [conversation = "", id = ""] = key.slice(ERASED.length).split("/");
      return { conversation, id };
    });
  }

  #saveSoon(): void {
    this.#saving ??= setTimeout(() => void this.#inOrder(() => this.#save()).catch(() => {}), SEARCH_SAVE_MS);
  }

  async #save(): Promise<void> {
    this.#saving = undefined;
    const erased = await this.#erased();
    const isAny = this.#index !== undefined || (await this.#engine.store.record(SNAPSHOT)) !== undefined;
    if (isAny) await this.#store(await this.#load(), erased);
    else await this.#write(...erased.map((message) => erasedRecord(message, undefined)));
  }

  async #store(index: SearchIndex, erased: readonly MessageRef[]): Promise<void> {
    for (const message of erased) index.remove(message);
    const read = [...this.#recorded.keys()].filter((conversation) => !this.#again.has(conversation));
    const value = await index.snapshot();
    for (const conversation of read) this.#recorded.delete(conversation);
    const done = read.map((conversation) => ({ type: "record", key: AGAIN + conversation, value: undefined }) as const);
    const gone = erased.map((message) => erasedRecord(message, undefined));
    await this.#write({ type: "record", key: SNAPSHOT, value }, ...done, ...gone);
  }

  #write(...records: readonly StoreChange[]): Promise<void> {
    return this.#engine.encryption.writer.change(async ({ changes }) => void changes.push(...records));
  }

  /** One after the other. */
  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#working.then(work);
    this.#working = done.catch(() => {});
    return done;
  }
}

/** To be written with the erasure of a message. */
export function unindexed(message: MessageRef): StoreChange {
  return erasedRecord(message, MARK);
}

function erasedRecord({ conversation, id }: MessageRef, value: Uint8Array | undefined): StoreChange {
  return { type: "record", key: `${ERASED}${conversation}/${id}`, value };
}

/** Undefined for what has no words, or no place yet. */
function documentOf({ conversation, seq, id, user: sender, at, content }: Message): SearchDocument | undefined {
  const text = content.kind === "deleted" ? undefined : searchableText(content);
  return seq === undefined || text === undefined ? undefined : { conversation, seq, id, sender, at, text };
}
