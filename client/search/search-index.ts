import type MiniSearch from "minisearch";
import type { Options, SearchResult } from "minisearch";
import type { ConversationId, MessageId, UserId } from "../../shared/ids.ts";
import { INDEX_SLICE_MS, MAX_QUERY_CHARS, MAX_SEARCH_HITS } from "../../shared/limits.ts";
import { packSnapshot, unpackSnapshot } from "./snapshot.ts";
import { type Snippet, snippetOf } from "./snippet.ts";
import { isIdeographic, queryTermsOf, termsOf } from "./words.ts";

/** A message that has its place, and the words by which it is found. */
export interface SearchDocument {
  readonly conversation: ConversationId;
  readonly seq: number;
  readonly id: MessageId;
  readonly sender: UserId;
  /** Ms since 1970. */
  readonly at: number;
  readonly text: string;
}

export interface SearchHit extends SearchDocument {
  readonly snippet: Snippet;
}

export interface SearchScope {
  /** Everywhere, if it is not given. */
  readonly conversation?: ConversationId;
  /** At most, and never more than MAX_SEARCH_HITS. */
  readonly limit?: number;
}

/** What MiniSearch sees of a document: its number here, and its words. */
interface Numbered {
  readonly number: number;
  readonly text: string;
}

const options: Options<Numbered> = {
  idField: "number",
  fields: ["text"],
  tokenize: termsOf,
  processTerm: (term) => term,
  autoVacuum: false,
  searchOptions: {
    tokenize: queryTermsOf,
    combineWith: "AND",
    prefix: isUnfinished,
    fuzzy: typosIn,
    // A rare word that is only similar must not come before the word itself.
    weights: { prefix: 0.1, fuzzy: 0.05 },
  },
};

/**
 * Full-text search over one's own history, on the device. It holds the texts themselves: whoever keeps a snapshot of it
 * has to encrypt it. The search engine is loaded with the first index that is opened.
 */
export class SearchIndex {
  readonly #engine: MiniSearch<Numbered>;
  readonly #documents: Map<number, SearchDocument>;
  readonly #numbers = new Map<string, number>();
  readonly #cursors: Map<ConversationId, number>;
  #lastNumber = 0;
  /** What was removed while documents are being added, which may have been read before. */
  readonly #removed = new Set<string>();
  #additions = 0;

  private constructor(
    engine: MiniSearch<Numbered>,
    documents = new Map<number, SearchDocument>(),
    cursors = new Map(),
  ) {
    this.#engine = engine;
    this.#documents = documents;
    this.#cursors = cursors;
    for (const [number, document] of documents) {
      this.#numbers.set(keyOf(document), number);
      this.#lastNumber = Math.max(this.#lastNumber, number);
    }
  }

  /** Goes on from a snapshot; begins anew if there is none, or if it is of another version or cannot be read. */
  static async open(snapshot?: Uint8Array): Promise<SearchIndex> {
    const { default: Engine } = await import("minisearch");
    const restored = snapshot && (await restore(Engine, snapshot).catch(() => undefined));
    if (!restored) return new SearchIndex(new Engine(options));
    return new SearchIndex(restored.engine, restored.documents, restored.cursors);
  }

  get size(): number {
    return this.#documents.size;
  }

  /** Everything up to this place of the conversation has been put here; 0 if nothing has. */
  indexedUpTo(conversation: ConversationId): number {
    return this.#cursors.get(conversation) ?? 0;
  }

  markIndexed(conversation: ConversationId, seq: number): void {
    this.#cursors.set(conversation, Math.max(seq, this.indexedUpTo(conversation)));
  }

  /** Adds a message, or takes its new words for the old ones. */
  put(document: SearchDocument): void {
    this.#take(document);
    const number = ++this.#lastNumber;
    this.#engine.add({ number, text: document.text });
    this.#documents.set(number, document);
    this.#numbers.set(keyOf(document), number);
  }

  /**
   * Adds what is not there yet, and lets others have a turn every few milliseconds. What is put or removed meanwhile
   * counts as newer than what comes here.
   */
  async addAll(documents: Iterable<SearchDocument> | AsyncIterable<SearchDocument>): Promise<void> {
    this.#additions += 1;
    try {
      await this.#addInSlices(documents);
    } finally {
      this.#additions -= 1;
      if (this.#additions === 0) this.#removed.clear();
    }
  }

  /** Nothing of it is left, not its words either. */
  remove(message: Pick<SearchDocument, "conversation" | "id">): void {
    this.#take(message);
    if (this.#additions > 0) this.#removed.add(keyOf(message));
  }

  /** Together with how far it was indexed. */
  removeConversation(conversation: ConversationId): void {
    for (const document of this.#documents.values()) {
      if (document.conversation === conversation) this.remove(document);
    }
    this.#cursors.delete(conversation);
  }

  /**
   * Messages with all the words of the query, of which the last may be unfinished and long ones may have a typo. The best
   * first, and of those that are equally good the newest.
   */
  search(query: string, { conversation, limit = MAX_SEARCH_HITS }: SearchScope = {}): SearchHit[] {
    const isMeant = ({ id }: SearchResult) => this.#documents.get(id)?.conversation === conversation;
    const results = this.#engine.search(query.slice(0, MAX_QUERY_CHARS), conversation ? { filter: isMeant } : {});
    return this.#best(results, Math.min(limit, MAX_SEARCH_HITS)).map(({ document, terms }) => ({
      ...document,
      snippet: snippetOf(document.text, new Set(terms)),
    }));
  }

  /** Plaintext, compressed. As long as it is made from one state, what happens meanwhile does not get in. */
  snapshot(): Promise<Uint8Array<ArrayBuffer>> {
    const engine = JSON.stringify(this.#engine);
    return packSnapshot({ engine, documents: this.#documents, cursors: this.#cursors });
  }

  /** Scores come sorted, so that only those that may be among the first need be compared further. */
  #best(results: readonly SearchResult[], limit: number) {
    const lowest = results[Math.min(limit, results.length) - 1]?.score ?? 0;
    const beyond = results.findIndex(({ score }) => score < lowest);
    return results
      .slice(0, beyond < 0 ? results.length : beyond)
      .flatMap(({ id, score, terms }) => {
        const document = this.#documents.get(id);
        return document ? [{ document, score, terms }] : [];
      })
      .sort((a, b) => b.score - a.score || b.document.at - a.document.at)
      .slice(0, limit);
  }

  async #addInSlices(documents: Iterable<SearchDocument> | AsyncIterable<SearchDocument>): Promise<void> {
    let end = performance.now() + INDEX_SLICE_MS;
    for await (const document of documents) {
      const key = keyOf(document);
      if (!this.#numbers.has(key) && !this.#removed.has(key)) this.put(document);
      if (performance.now() < end) continue;
      await new Promise((resolve) => setTimeout(resolve));
      end = performance.now() + INDEX_SLICE_MS;
    }
  }

  #take(message: Pick<SearchDocument, "conversation" | "id">): void {
    const key = keyOf(message);
    const number = this.#numbers.get(key);
    const document = number === undefined ? undefined : this.#documents.get(number);
    if (number === undefined || !document) return;
    this.#engine.remove({ number, text: document.text });
    this.#documents.delete(number);
    this.#numbers.delete(key);
  }
}

async function restore(Engine: typeof MiniSearch, snapshot: Uint8Array) {
  const parts = await unpackSnapshot(snapshot);
  return { ...parts, engine: await Engine.loadJSONAsync<Numbered>(parts.engine, options) };
}

function keyOf({ conversation, id }: Pick<SearchDocument, "conversation" | "id">): string {
  return `${conversation} ${id}`;
}

/** The last word may still be being typed; a single letter would be the beginning of half the dictionary. */
function isUnfinished(term: string, index: number, terms: readonly string[]): boolean {
  return index === terms.length - 1 && (term.length > 1 || isIdeographic(term));
}

/** How many letters may be wrong. */
function typosIn(term: string): number {
  return term.length > 4 && !/\p{N}/u.test(term) ? 1 : 0;
}
