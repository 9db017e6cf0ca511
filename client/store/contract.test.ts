import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SqliteStore } from "../node/sqlite-store.ts";
import { chat, idOf, message, owner, queue, type StoreKind, storeCases } from "./contract-suite.ts";
import { MemoryStore } from "./memory.ts";
import type { StoreChange } from "./store.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "store-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const path = () => join(directory, "chat.db");
const textOf = (content: Uint8Array | undefined) => new TextDecoder().decode(content);

const kinds: Record<string, StoreKind> = {
  memory: { open: async () => new MemoryStore(), reopen: async (store) => store },
  sqlite: {
    open: async () => new SqliteStore(path()),
    reopen: async (store) => {
      await store.close();
      return new SqliteStore(path());
    },
  },
};

for (const [kind, store] of Object.entries(kinds)) {
  describe(`a store: ${kind}`, () => {
    for (const { name, run } of storeCases) test(name, () => run(store));
  });
}

describe("the SQLite store", () => {
  test("nobody else on the machine may read it", async () => {
    const store = new SqliteStore(path());
    await store.load(owner);
    const modes = readdirSync(directory).map((file) => statSync(join(directory, file)).mode & 0o777);
    expect(modes.length).toBeGreaterThan(1);
    expect(new Set(modes)).toEqual(new Set([0o600]));
    await store.close();
  });

  test("what cannot be stored leaves nothing behind", async () => {
    const store = new SqliteStore(path());
    await store.load(owner);
    const broken = { ...queue(2), content: null } as unknown as StoreChange;
    await expect(store.persist([queue(1), broken])).rejects.toThrow();
    expect((await store.load(owner)).outbox).toEqual([]);
    await store.close();
  });

  test("a file of a newer version is refused", async () => {
    await new SqliteStore(path()).close();
    const db = new DatabaseSync(path());
    db.exec("PRAGMA user_version = 99");
    db.close();
    expect(() => new SqliteStore(path())).toThrow(/newer/);
  });

  test("a file from before encryption keeps its messages, and what waits is not sealed", async () => {
    const db = new DatabaseSync(path());
    db.exec(beforeEncryption);
    db.close();
    const store = new SqliteStore(path());
    const { outbox, lastMinted, conversations } = await store.load(owner);
    expect(lastMinted).toBe(idOf(3));
    expect(conversations).toMatchObject([{ conversation: chat, have: 1, read: 1 }]);
    expect(outbox.map(({ id, content, body }) => [id, textOf(content), body])).toEqual([[idOf(1), "waits", undefined]]);
    const messages = await store.messages(chat, { limit: 10 });
    expect(messages.map(({ content, isEvent, failure }) => [textOf(content), isEvent, failure])).toEqual([
      ["received", false, undefined],
      ["waits", false, undefined],
      ["failed", false, "too_large"],
    ]);
    await store.persist([message(2), { type: "record", key: "k", value: new Uint8Array(1) }]);
    expect(await store.conversations()).toMatchObject([{ unread: 1 }]);
    await store.close();
  });
});

/** As the third version of the schema left it. */
const beforeEncryption = `
  CREATE TABLE device (
    only INTEGER PRIMARY KEY CHECK (only = 1), user TEXT NOT NULL, device TEXT NOT NULL, last_minted TEXT
  ) STRICT;
  CREATE TABLE conversation (
    id TEXT PRIMARY KEY, have INTEGER NOT NULL DEFAULT 0, read INTEGER NOT NULL DEFAULT 0,
    read_confirmed INTEGER NOT NULL DEFAULT 0
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE peer (
    conversation TEXT NOT NULL, user TEXT NOT NULL, delivered INTEGER NOT NULL, read INTEGER NOT NULL,
    PRIMARY KEY (conversation, user)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE message (
    number INTEGER PRIMARY KEY, conversation TEXT NOT NULL, seq INTEGER, id TEXT NOT NULL, user TEXT NOT NULL,
    device TEXT NOT NULL, at INTEGER NOT NULL, content BLOB NOT NULL, body BLOB, failure TEXT
  ) STRICT;
  CREATE UNIQUE INDEX message_place ON message (conversation, seq) WHERE seq IS NOT NULL;
  CREATE UNIQUE INDEX message_unplaced ON message (conversation, id) WHERE seq IS NULL;
  CREATE TABLE session (
    only INTEGER PRIMARY KEY CHECK (only = 1), user TEXT NOT NULL, device TEXT NOT NULL, refresh_token TEXT,
    is_signed_out INTEGER NOT NULL, attempt TEXT
  ) STRICT;
  PRAGMA user_version = 3;

  INSERT INTO device VALUES (1, '${owner.user}', '${owner.device}', '${idOf(3)}');
  INSERT INTO conversation VALUES ('${chat}', 1, 1, 0);
  INSERT INTO message (conversation, seq, id, user, device, at, content, body, failure) VALUES
    ('${chat}', 1, '${idOf(7)}', 'somebody', 'd', 1, CAST('received' AS BLOB), NULL, NULL),
    ('${chat}', NULL, '${idOf(1)}', '${owner.user}', '${owner.device}', 1, CAST('waits' AS BLOB), x'0102', NULL),
    ('${chat}', NULL, '${idOf(2)}', '${owner.user}', '${owner.device}', 1, CAST('failed' AS BLOB), NULL, 'too_large');
`;
