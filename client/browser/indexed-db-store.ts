import type { IDBPObjectStore, StoreNames } from "idb";
import type { ConversationId, DeviceId, MessageId } from "../../shared/ids.ts";
import type { QueuedForSending, Stored } from "../session/contract.ts";
import type { SessionStore, StoredSession } from "../session-store.ts";
import type { ConversationRow, UnplacedRow } from "../store/draft.ts";
import {
  type ConversationSummary,
  type MessagePage,
  type Owner,
  type Store,
  type StoreChange,
  type StoredMessage,
  WrongOwner,
} from "../store/store.ts";
import {
  cipherOf,
  type Database,
  type MessageRow,
  ONLY,
  type OwnerRow,
  openDatabase,
  type Schema,
} from "./database.ts";
import { bodyPlace, contentPlace, recordPlace, sealChanges } from "./sealed-changes.ts";
import type { Place, ValueCipher } from "./value-cipher.ts";
import { write } from "./writing.ts";

const SESSION_PLACE: Place = ["session", ONLY];

/** Part of a transaction that reads, or of any other. */
type Reading<Name extends StoreNames<Schema>> = IDBPObjectStore<Schema, ArrayLike<StoreNames<Schema>>, Name>;

/**
 * A device's store in a browser, its session included, encrypted under a key that is in the database and that no script can
 * read. A write is on the disk when it is fulfilled; one that has no room, or whose database was deleted, is rejected.
 * Several tabs may have it open; one of them alone may write (see tabs.ts).
 */
export class IndexedDbStore implements Store, SessionStore {
  readonly #db: Database;
  readonly #cipher: ValueCipher;
  #owner: Owner | undefined;
  #written: Promise<unknown> = Promise.resolve();

  private constructor(db: Database, cipher: ValueCipher) {
    this.#db = db;
    this.#cipher = cipher;
  }

  /** @param name of the database; it is made if there is none. @throws DOMException if the browser keeps nothing */
  static async open(name: string): Promise<IndexedDbStore> {
    const db = await openDatabase(name);
    return new IndexedDbStore(db, await cipherOf(db));
  }

  /** Of the database. */
  get name(): string {
    return this.#db.name;
  }

  async load({ user, device }: Owner): Promise<Stored> {
    const owner = await this.#claim({ user, device });
    const tx = this.#db.transaction(["conversations", "messages", "unplaced"]);
    const [rows, unplaced] = await Promise.all([
      tx.objectStore("conversations").getAll(),
      tx.objectStore("unplaced").index("number").getAll(),
    ]);
    const ahead = ({ conversation, have }: ConversationRow) =>
      ownPlacesFrom(tx.objectStore("messages"), conversation, have + 1, owner.device);
    const conversations = await Promise.all(rows.map(async (row) => ({ ...row, ahead: await ahead(row) })));
    const queued = unplaced.filter(({ failure }) => failure === undefined);
    const outbox = await Promise.all(queued.map((row) => this.#openQueued(row)));
    return { lastMinted: owner.lastMinted, conversations, outbox };
  }

  async persist(changes: readonly StoreChange[]): Promise<void> {
    const owner = this.#owner;
    if (!owner) throw new Error("The store has not been loaded.");
    await this.#inOrder(async () => {
      const sealed = await sealChanges(changes, this.#cipher, (...message) => this.#unplacedContent(...message));
      await write(this.#db, owner, sealed);
    });
  }

  async record(key: string): Promise<Uint8Array | undefined> {
    const sealed = await this.#db.get("records", key);
    return sealed && this.#cipher.open(recordPlace(key), sealed);
  }

  async records(prefix: string): Promise<(readonly [string, Uint8Array])[]> {
    const { store } = this.#db.transaction("records");
    // Keys are ASCII: nothing that begins with the prefix comes after this.
    const range = IDBKeyRange.bound(prefix, `${prefix}\u{ffff}`);
    const [keys, values] = await Promise.all([store.getAllKeys(range), store.getAll(range)]);
    const open = async (sealed: Uint8Array, index: number) => {
      const key = keys[index] as string;
      return [key, await this.#cipher.open(recordPlace(key), sealed)] as const;
    };
    return Promise.all(values.map(open));
  }

  async scan(conversation: ConversationId, after: number, limit: number): Promise<StoredMessage[]> {
    const rows = await this.#db.getAll("messages", places(conversation, after + 1), limit);
    return Promise.all(rows.map((row) => this.#openPlaced(row)));
  }

  async find(conversation: ConversationId, id: MessageId): Promise<StoredMessage | undefined> {
    const tx = this.#db.transaction(["messages", "unplaced"]);
    const [placed, unplaced] = await Promise.all([
      tx.objectStore("messages").index("id").get([conversation, id]),
      tx.objectStore("unplaced").get([conversation, id]),
    ]);
    if (placed) return this.#openPlaced(placed);
    return unplaced && this.#openUnplaced(unplaced);
  }

  async messages(conversation: ConversationId, { before, limit }: MessagePage): Promise<StoredMessage[]> {
    const tx = this.#db.transaction(["messages", "unplaced"]);
    const [placed, unplaced] = await Promise.all([
      lastPlaced(tx.objectStore("messages"), conversation, { before, limit }),
      before === undefined ? tx.objectStore("unplaced").index("order").getAll(places(conversation, 0)) : [],
    ]);
    return this.#openLast(placed, unplaced, limit);
  }

  async conversations(): Promise<ConversationSummary[]> {
    const tx = this.#db.transaction(["conversations", "messages", "unplaced"]);
    const messages = tx.objectStore("messages");
    const [rows, allUnplaced] = await Promise.all([
      tx.objectStore("conversations").getAll(),
      tx.objectStore("unplaced").index("number").getAll(),
    ]);
    const summarize = async ({ conversation, have, read, peers }: ConversationRow) => {
      const [unread, placed] = await Promise.all([
        messages.index("unread").count(places(conversation, read + 1)),
        lastPlaced(messages, conversation, { limit: 1 }),
      ]);
      const unplaced = allUnplaced.filter((row) => row.conversation === conversation);
      const [last] = await this.#openLast(placed, unplaced, 1);
      return { conversation, have, read, unread, peers, last };
    };
    return Promise.all(rows.map(summarize));
  }

  async loadSession(): Promise<StoredSession | undefined> {
    const sealed = await this.#db.get("session", ONLY);
    if (!sealed) return undefined;
    return JSON.parse(new TextDecoder().decode(await this.#cipher.open(SESSION_PLACE, sealed)));
  }

  async saveSession(session: StoredSession | undefined): Promise<void> {
    await this.#inOrder(async () => {
      const text = session && new TextEncoder().encode(JSON.stringify(session));
      const sealed = text && (await this.#cipher.seal(SESSION_PLACE, text));
      const { store, done } = this.#db.transaction("session", "readwrite", { durability: "strict" });
      await Promise.all([sealed ? store.put(sealed, ONLY) : store.delete(ONLY), done]);
    });
  }

  /** Waits for the writes that were asked for. */
  async close(): Promise<void> {
    await this.#written;
    this.#db.close();
  }

  /** What is asked for first is encrypted and written first. */
  #inOrder(work: () => Promise<void>): Promise<void> {
    const written = this.#written.then(work);
    this.#written = written.catch(() => {});
    return written;
  }

  /** @throws WrongOwner */
  async #claim(owner: Owner): Promise<OwnerRow> {
    const { store, done } = this.#db.transaction("owner", "readwrite", { durability: "strict" });
    const known = await store.get(ONLY);
    const row = known ?? { ...owner, lastMinted: undefined };
    if (row.user !== owner.user || row.device !== owner.device) throw new WrongOwner();
    await Promise.all([known ?? store.put(row, ONLY), done]);
    this.#owner = owner;
    return row;
  }

  async #unplacedContent(conversation: ConversationId, id: MessageId): Promise<Uint8Array | undefined> {
    const row = await this.#db.get("unplaced", [conversation, id]);
    return row && this.#cipher.open(contentPlace.unplaced(conversation, id), row.content);
  }

  #openLast(placed: readonly MessageRow[], unplaced: readonly UnplacedRow[], limit: number): Promise<StoredMessage[]> {
    const opened = [
      ...placed.map((row) => () => this.#openPlaced(row)),
      ...unplaced.map((row) => () => this.#openUnplaced(row)),
    ];
    return Promise.all(opened.slice(-limit).map((open) => open()));
  }

  async #openPlaced({ unread: _, ...row }: MessageRow): Promise<StoredMessage> {
    const content = await this.#cipher.open(contentPlace.placed(row.conversation, row.seq), row.content);
    return { ...row, content, failure: undefined };
  }

  async #openUnplaced({ number: _, body: __, ...row }: UnplacedRow): Promise<StoredMessage> {
    const content = await this.#cipher.open(contentPlace.unplaced(row.conversation, row.id), row.content);
    return { ...row, content, seq: undefined, isEvent: false };
  }

  async #openQueued({ conversation, id, content, body }: UnplacedRow): Promise<QueuedForSending> {
    const opened = await this.#cipher.open(contentPlace.unplaced(conversation, id), content);
    if (!body) return { conversation, id, content: opened };
    return { conversation, id, content: opened, body: await this.#cipher.open(bodyPlace(conversation, id), body) };
  }
}

/** Its last `limit` rows before a place. Places have hardly any gaps, so that a range of them is nearly always full. */
async function lastPlaced(
  messages: Reading<"messages">,
  conversation: ConversationId,
  { before = Infinity, limit }: { before?: number | undefined; limit: number },
): Promise<MessageRow[]> {
  let page: MessageRow[] = [];
  let end = before;
  while (page.length < limit) {
    const last = (await messages.openCursor(places(conversation, -Infinity, end), "prev"))?.value;
    if (!last) break;
    end = last.seq - (limit - page.length) + 1;
    const rest = end < last.seq ? await messages.getAll(places(conversation, end, last.seq)) : [];
    page = [...rest, last, ...page];
  }
  return page;
}

/** What others wrote can lie there too: it was imported. */
async function ownPlacesFrom(
  messages: Reading<"messages">,
  conversation: ConversationId,
  seq: number,
  device: DeviceId,
): Promise<number[]> {
  const rows = await messages.getAll(places(conversation, seq));
  return rows.filter((row) => row.device === device).map((row) => row.seq);
}

/** Keys of a conversation with a number in [from, end). */
function places(conversation: ConversationId, from: number, end = Infinity): IDBKeyRange {
  return IDBKeyRange.bound([conversation, from], [conversation, end], false, true);
}
