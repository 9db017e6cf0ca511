import { openDB } from "idb";
import { askToKeepStorage, IndexedDbStore } from "../../../client/browser/index.ts";
import { chat, idOf, message, owner, type StoreKind, storeCases } from "../../../client/store/contract-suite.ts";
import type { StoreChange } from "../../../client/store/store.ts";

let databases = 0;

/** A database of its own for each store. */
function inIndexedDb(): StoreKind {
  const name = `store ${++databases}`;
  return {
    open: () => IndexedDbStore.open(name),
    reopen: async (store) => {
      await store.close();
      return IndexedDbStore.open(name);
    },
  };
}

/** @throws as the case does */
export async function runCase(name: string): Promise<void> {
  const found = storeCases.find((one) => one.name === name);
  if (!found) throw new Error(`no such case: ${name}`);
  await found.run(inIndexedDb());
}

let store: IndexedDbStore;

export async function open(name: string): Promise<void> {
  store = await IndexedDbStore.open(name);
  await store.load(owner);
}

/** One write. */
export function persist(...changes: StoreChange[]): Promise<void> {
  return store.persist(changes);
}

/** One write, whose second part the database cannot take. */
export function persistUncloneable(): Promise<void> {
  const at = (() => {}) as unknown as number;
  return store.persist([message(1), message(2, { at }), message(3)]);
}

/** @returns how durable the transactions are in which a message and a session are written */
export async function durabilities(): Promise<string[]> {
  const asked: string[] = [];
  const { transaction } = IDBDatabase.prototype;
  IDBDatabase.prototype.transaction = function (...args) {
    const begun = transaction.apply(this, args);
    if (begun.mode === "readwrite") asked.push(begun.durability);
    return begun;
  };
  await store.persist([message(9)]);
  await store.saveSession({ ...owner, isSignedOut: true });
  IDBDatabase.prototype.transaction = transaction;
  return asked;
}

export async function keepStorage(): Promise<{ promised: boolean; kept: boolean }> {
  return { promised: await askToKeepStorage(), kept: await navigator.storage.persisted() };
}

/** A queued message, sealed, a received one, a record and a session, each of which says `text`. */
export async function writeEverywhere(text: string): Promise<void> {
  const content = new TextEncoder().encode(text);
  const own = { conversation: chat, id: idOf(1) };
  await store.persist([
    { type: "queue", ...own, at: 1, content },
    { type: "sealed", ...own, body: content },
    message(1, { content }),
    message(2, { content }),
    { type: "record", key: "keys/1", value: content },
  ]);
  await store.saveSession({ ...owner, refreshToken: text, isSignedOut: false });
}

/** What the store says where `writeEverywhere` wrote. */
export async function readEverywhere(): Promise<string[]> {
  const { outbox } = await store.load(owner);
  const written = [outbox[0]?.content, outbox[0]?.body, await store.record("keys/1")];
  const contents = (await store.messages(chat, { limit: 10 })).map(({ content }) => content);
  const session = await store.loadSession();
  return [...[...written, ...contents].map((bytes) => new TextDecoder().decode(bytes)), String(session?.refreshToken)];
}

/** Everything that is in the database, past the store: all that is text or bytes, a character for each byte. */
export async function raw(name: string): Promise<string> {
  const db = await openDB(name);
  const rows = await Promise.all([...db.objectStoreNames].map((stored) => db.getAll(stored)));
  db.close();
  const asText = (_: string, value: unknown) => (value instanceof Uint8Array ? String.fromCharCode(...value) : value);
  return JSON.stringify(rows, asText);
}

/** @returns why the key of the database cannot be read */
export async function readKey(name: string): Promise<string> {
  const db = await openDB(name);
  const key: CryptoKey = await db.get("key", "only");
  db.close();
  return crypto.subtle.exportKey("raw", key).then(
    () => "it can",
    (error: DOMException) => error.name,
  );
}

/** Puts the content of one message in the place of another. */
export async function moveContent(name: string, from: number, to: number): Promise<void> {
  const db = await openDB(name);
  const { content } = await db.get("messages", [chat, from]);
  await db.put("messages", { ...(await db.get("messages", [chat, to])), content });
  db.close();
}

/** As a newer version of the app does. */
export async function upgrade(name: string): Promise<void> {
  (await openDB(name, 2)).close();
}

/** A record of so many bytes that nothing makes them fewer. */
export async function writeLarge(bytes: number): Promise<string> {
  const value = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 65_536) crypto.getRandomValues(value.subarray(at, at + 65_536));
  const changes: StoreChange[] = [message(3), { type: "record", key: "large", value }];
  return store.persist(changes).then(
    () => "written",
    (error: Error) => error.name,
  );
}

export async function placesKept(): Promise<(number | undefined)[]> {
  return (await store.scan(chat, 0, 100)).map(({ seq }) => seq);
}
