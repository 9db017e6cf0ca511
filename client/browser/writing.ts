import type { IDBPTransaction } from "idb";
import { Draft, type FoundRows, type RowChange } from "../store/draft.ts";
import type { Owner, PlacedMessage } from "../store/store.ts";
import { type Database, type MessageRow, ONLY, type Schema } from "./database.ts";

type Stores = ["owner", "records", "conversations", "messages", "unplaced"];
type Writing = IDBPTransaction<Schema, Stores, "readwrite">;

const stores: Stores = ["owner", "records", "conversations", "messages", "unplaced"];

/**
 * One transaction, which has reached the disk when the promise is fulfilled and has left nothing if it is rejected.
 * @param changes with their values encrypted
 */
export async function write(db: Database, owner: Owner, changes: readonly RowChange[]): Promise<void> {
  const tx = db.transaction(stores, "readwrite", { durability: "strict" });
  try {
    const draft = new Draft(owner, await findRows(tx, changes));
    for (const change of changes) draft.apply(change);
    putRows(tx, owner, draft);
    await tx.done;
  } catch (error) {
    await abort(tx);
    throw error;
  }
}

/** All that the changes may touch, asked for at once: whoever waits for one row after another waits for each. */
async function findRows(tx: Writing, changes: readonly RowChange[]): Promise<FoundRows> {
  const inside = changes.filter((change) => "conversation" in change);
  const places = inside.filter((change) => "seq" in change);
  const messages = inside.filter((change) => "id" in change);
  const [conversations, placed, unplaced, last] = await Promise.all([
    getEach(new Set(inside.map(({ conversation }) => conversation)), (id) => tx.objectStore("conversations").get(id)),
    getEach(
      places.map(({ conversation, seq }) => [conversation, seq] as [string, number]),
      (key) => tx.objectStore("messages").get(key),
    ),
    getEach(
      messages.map(({ conversation, id }) => [conversation, id] as [string, string]),
      (key) => tx.objectStore("unplaced").get(key),
    ),
    tx.objectStore("unplaced").index("number").openKeyCursor(null, "prev"),
  ]);
  return {
    conversation: (id) => conversations.get(id),
    placed: (conversation, seq) => placed.get(String([conversation, seq])),
    unplaced: (conversation, id) => unplaced.get(String([conversation, id])),
    lastNumber: last?.key ?? 0,
  };
}

/** By their keys as text. */
async function getEach<Key, Row>(keys: Iterable<Key>, get: (key: Key) => Promise<Row>): Promise<Map<string, Row>> {
  return new Map(await Promise.all([...keys].map(async (key) => [String(key), await get(key)] as const)));
}

function putRows(tx: Writing, owner: Owner, draft: Draft): void {
  const { user, device } = owner;
  const { lastMinted } = draft;
  if (lastMinted !== undefined) request(tx.objectStore("owner").put({ user, device, lastMinted }, ONLY));
  for (const { row } of draft.conversations.touched()) if (row) request(tx.objectStore("conversations").put(row));
  for (const { row } of draft.placed.touched()) {
    if (row) request(tx.objectStore("messages").put({ ...row, unread: unreadPlace(row, owner) }));
  }
  for (const { key, row } of draft.unplaced.touched()) {
    const unplaced = tx.objectStore("unplaced");
    request(row ? unplaced.put(row) : unplaced.delete([...key]));
  }
  for (const { key, row } of draft.records.touched()) {
    const records = tx.objectStore("records");
    request(row ? records.put(row, key[0]) : records.delete(key[0]));
  }
}

/** What fails of it ends its transaction, and the transaction says why. */
function request(asked: Promise<unknown>): void {
  asked.catch(() => {});
}

function unreadPlace({ seq, user, isEvent }: PlacedMessage, owner: Owner): MessageRow["unread"] {
  return isEvent || user === owner.user ? undefined : seq;
}

async function abort(tx: Writing): Promise<void> {
  try {
    tx.abort();
  } catch {
    // It has ended by itself.
  }
  await tx.done.catch(() => {});
}
