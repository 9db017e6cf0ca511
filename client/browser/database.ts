import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import type { ConversationId, DeviceId, MessageId, UserId } from "../../shared/ids.ts";
import type { ConversationRow, UnplacedRow } from "../store/draft.ts";
import type { PlacedMessage } from "../store/store.ts";
import { ValueCipher } from "./value-cipher.ts";

const VERSION = 1;
/** Where there is only one row. */
export const ONLY = "only";

/**
 * What people write, every record and the session are encrypted; in the clear is what is asked for by key and what is
 * counted: conversations, places, ids, times, who wrote from which device, failures, read marks, and the records' keys.
 */
export interface Schema extends DBSchema {
  key: { key: typeof ONLY; value: CryptoKey };
  owner: { key: typeof ONLY; value: OwnerRow };
  session: { key: typeof ONLY; value: Uint8Array };
  records: { key: string; value: Uint8Array };
  conversations: { key: ConversationId; value: ConversationRow };
  messages: {
    key: [ConversationId, number];
    value: MessageRow;
    indexes: { id: [ConversationId, MessageId]; unread: [ConversationId, number] };
  };
  unplaced: {
    key: [ConversationId, MessageId];
    value: UnplacedRow;
    indexes: { order: [ConversationId, number]; number: number };
  };
}

export interface OwnerRow {
  readonly user: UserId;
  readonly device: DeviceId;
  readonly lastMinted: MessageId | undefined;
}

/** `unread` is its place again, if it counts as unread above the read mark: then the index has it. */
export type MessageRow = PlacedMessage & { readonly unread: number | undefined };

export type Database = IDBPDatabase<Schema>;

/**
 * It closes when another tab wants to delete it, or to open it as a newer version of the app; what is asked of it after
 * that is rejected. So whoever opens it never waits for longer than a write takes that is under way elsewhere.
 */
export function openDatabase(name: string): Promise<Database> {
  return openDB<Schema>(name, VERSION, {
    upgrade: createStores,
    blocking: (_, __, { target }) => (target as IDBDatabase).close(),
  });
}

function createStores(db: Database): void {
  for (const store of ["key", "owner", "session", "records"] as const) db.createObjectStore(store);
  db.createObjectStore("conversations", { keyPath: "conversation" });
  const messages = db.createObjectStore("messages", { keyPath: ["conversation", "seq"] });
  messages.createIndex("id", ["conversation", "id"]);
  messages.createIndex("unread", ["conversation", "unread"]);
  const unplaced = db.createObjectStore("unplaced", { keyPath: ["conversation", "id"] });
  unplaced.createIndex("order", ["conversation", "number"]);
  unplaced.createIndex("number", "number");
}

/** The cipher with the database's own key, which is made with the database. */
export async function cipherOf(db: Database): Promise<ValueCipher> {
  const made = (await db.get("key", ONLY)) ?? (await ValueCipher.makeKey());
  const tx = db.transaction("key", "readwrite", { durability: "strict" });
  // Another tab may have been quicker.
  const key = (await tx.store.get(ONLY)) ?? made;
  await Promise.all([tx.store.put(key, ONLY), tx.done]);
  return new ValueCipher(key);
}
