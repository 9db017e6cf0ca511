import { closeSync, openSync } from "node:fs";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import type { ConversationId, MessageId } from "../../shared/ids.ts";
import type { QueuedForSending, SessionErrorCode, Stored } from "../session/contract.ts";
import type { SessionStore, StoredSession } from "../session-store.ts";
import {
  type ConversationSummary,
  type MessagePage,
  type Owner,
  type Store,
  type StoreChange,
  type StoredMessage,
  WrongOwner,
} from "../store/store.ts";

/** A later version of the schema is one more entry here; `user_version` counts those applied. */
const migrations = [
  `
  CREATE TABLE device (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    user TEXT NOT NULL,
    device TEXT NOT NULL,
    last_minted TEXT
  ) STRICT;
  CREATE TABLE conversation (
    id TEXT PRIMARY KEY,
    have INTEGER NOT NULL DEFAULT 0,
    read INTEGER NOT NULL DEFAULT 0,
    read_confirmed INTEGER NOT NULL DEFAULT 0
  ) STRICT, WITHOUT ROWID;
  -- "user" is empty for "every other member".
  CREATE TABLE peer (
    conversation TEXT NOT NULL,
    user TEXT NOT NULL,
    delivered INTEGER NOT NULL,
    read INTEGER NOT NULL,
    PRIMARY KEY (conversation, user)
  ) STRICT, WITHOUT ROWID;
  -- In the outbox as long as it has neither place nor failure; "body" is what it was sealed to, "number" keeps the order
  -- of sending.
  CREATE TABLE message (
    number INTEGER PRIMARY KEY,
    conversation TEXT NOT NULL,
    seq INTEGER,
    id TEXT NOT NULL,
    user TEXT NOT NULL,
    device TEXT NOT NULL,
    at INTEGER NOT NULL,
    content BLOB NOT NULL,
    body BLOB,
    failure TEXT
  ) STRICT;
  CREATE UNIQUE INDEX message_place ON message (conversation, seq) WHERE seq IS NOT NULL;
  CREATE UNIQUE INDEX message_unplaced ON message (conversation, id) WHERE seq IS NULL;
  `,
  `
  CREATE TABLE session (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    user TEXT NOT NULL,
    device TEXT NOT NULL,
    refresh_token TEXT,
    is_signed_out INTEGER NOT NULL
  ) STRICT;
  `,
  "ALTER TABLE session ADD COLUMN attempt TEXT;",
  `
  ALTER TABLE message ADD COLUMN is_event INTEGER NOT NULL DEFAULT 0;
  CREATE INDEX message_id ON message (conversation, id);
  CREATE INDEX message_queued ON message (number) WHERE seq IS NULL AND failure IS NULL;
  -- Until now messages went out unencrypted: what waits is sealed before it leaves.
  UPDATE message SET body = NULL;
  CREATE TABLE record (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
  ) STRICT;
  `,
] as const;

const columns = "conversation, id, seq, user, device, at, content, is_event AS isEvent, failure";
const queued = "seq IS NULL AND failure IS NULL";
const thisQueued = `conversation = :conversation AND id = :id AND ${queued}`;

/** The statements of each kind of change; they bind the change's own fields by name. */
const changeStatements: Record<StoreChange["type"], readonly string[]> = {
  queue: [
    `INSERT INTO message (conversation, id, user, device, at, content)
     SELECT :conversation, :id, user, device, :at, :content FROM device`,
    "UPDATE device SET last_minted = :id",
  ],
  sealed: [`UPDATE message SET body = :body WHERE ${thisQueued}`],
  rename: [
    `UPDATE message SET id = :newId, at = :at, body = NULL WHERE ${thisQueued}`,
    "UPDATE device SET last_minted = :newId",
  ],
  sent: [`UPDATE message SET seq = :seq, at = :at, body = NULL WHERE ${thisQueued}`],
  failed: [`UPDATE message SET failure = :code, body = NULL WHERE ${thisQueued}`],
  message: [
    `INSERT INTO message (conversation, seq, id, user, device, at, content, is_event)
     VALUES (:conversation, :seq, :id, :user, :device, :at, :content, :isEvent)
     ON CONFLICT (conversation, seq) WHERE seq IS NOT NULL DO NOTHING`,
  ],
  replace: [
    "UPDATE message SET content = :content, is_event = :isEvent WHERE conversation = :conversation AND seq = :seq",
  ],
  drop: ["DELETE FROM message WHERE conversation = :conversation AND id = :id AND failure IS NOT NULL"],
  cursor: [upsert("have", ":have")],
  read: [upsert("read", ":seq")],
  read_confirmed: [upsert("read_confirmed", ":seq")],
  receipt: [
    `INSERT INTO peer (conversation, user, delivered, read) VALUES (:conversation, ifnull(:user, ''), :delivered, :read)
     ON CONFLICT DO UPDATE SET delivered = :delivered, read = :read`,
  ],
  record: [
    `INSERT INTO record (key, value) SELECT :key, :value WHERE :value IS NOT NULL
     ON CONFLICT DO UPDATE SET value = :value`,
    "DELETE FROM record WHERE key = :key AND :value IS NULL",
  ],
};

function upsert(column: string, value: string): string {
  return `INSERT INTO conversation (id, ${column}) VALUES (:conversation, ${value})
    ON CONFLICT DO UPDATE SET ${column} = ${value}`;
}

/** A device's store in one SQLite file, its session included. What is persisted has reached the disk. */
export class SqliteStore implements Store, SessionStore {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /** @param path a file, or ":memory:" */
  constructor(path: string) {
    if (path !== ":memory:") keepPrivate(path);
    this.#db = new DatabaseSync(path);
    this.#db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000");
    // What is deleted or replaced is overwritten in the file.
    this.#db.exec("PRAGMA secure_delete = ON");
    this.#migrate();
  }

  async load(owner: Owner): Promise<Stored> {
    this.#run(
      "INSERT INTO device (only, user, device) VALUES (1, ?, ?) ON CONFLICT DO NOTHING",
      owner.user,
      owner.device,
    );
    const device = this.#all<DeviceRow>("SELECT * FROM device")[0];
    if (device?.user !== owner.user || device.device !== owner.device) throw new WrongOwner();
    return {
      lastMinted: device.last_minted ?? undefined,
      conversations: this.#conversationRows().map(({ id, have, read, read_confirmed }) => ({
        ...{ conversation: id, have, read, readConfirmed: read_confirmed },
        peers: this.#peers(id),
        ahead: this.#all<{ seq: number }>(
          // What others wrote can lie there too: it was imported.
          "SELECT seq FROM message WHERE conversation = ? AND seq > ? AND device = ? ORDER BY seq",
          id,
          have,
          owner.device,
        ).map(({ seq }) => seq),
      })),
      outbox: this.#outbox(),
    };
  }

  async persist(changes: readonly StoreChange[]): Promise<void> {
    this.#transaction(() => {
      for (const change of changes) this.#apply(change);
    });
    // The log that SQLite keeps beside the file would still have what stood there before.
    if (changes.some(({ type }) => type === "replace" || type === "drop")) this.#checkpoint();
  }

  async record(key: string): Promise<Uint8Array | undefined> {
    return this.#all<RecordRow>("SELECT key, value FROM record WHERE key = ?", key)[0]?.value;
  }

  async records(prefix: string): Promise<(readonly [string, Uint8Array])[]> {
    // Keys are ASCII: nothing that begins with the prefix comes after this.
    const end = `${prefix}\u{ffff}`;
    const rows = this.#all<RecordRow>(
      "SELECT key, value FROM record WHERE key >= ? AND key < ? ORDER BY key",
      prefix,
      end,
    );
    return rows.map(({ key, value }) => [key, value]);
  }

  async scan(conversation: ConversationId, after: number, limit: number): Promise<StoredMessage[]> {
    const sql = `SELECT ${columns} FROM message WHERE conversation = ? AND seq > ? ORDER BY seq LIMIT ?`;
    return this.#all<MessageRow>(sql, conversation, after, limit).map(toMessage);
  }

  async find(conversation: ConversationId, id: MessageId): Promise<StoredMessage | undefined> {
    const sql = `SELECT ${columns} FROM message WHERE conversation = ? AND id = ? ORDER BY seq IS NULL, seq LIMIT 1`;
    return this.#all<MessageRow>(sql, conversation, id).map(toMessage)[0];
  }

  async messages(conversation: ConversationId, { before, limit }: MessagePage): Promise<StoredMessage[]> {
    const unplaced = before === undefined ? this.#unplaced(conversation, limit) : [];
    const placed = this.#all<MessageRow>(
      `SELECT ${columns} FROM message WHERE conversation = ? AND seq < ? ORDER BY seq DESC LIMIT ?`,
      conversation,
      before ?? Number.MAX_SAFE_INTEGER,
      limit - unplaced.length,
    );
    return [...placed.reverse(), ...unplaced.reverse()].map(toMessage);
  }

  async conversations(): Promise<ConversationSummary[]> {
    const summaries = this.#conversationRows().map(async ({ id, have, read, unread }) => {
      const [last] = await this.messages(id, { limit: 1 });
      return { conversation: id, have, read, unread, peers: this.#peers(id), last };
    });
    return Promise.all(summaries);
  }

  async loadSession(): Promise<StoredSession | undefined> {
    const [row] = this.#all<SessionRow>("SELECT * FROM session");
    if (!row) return undefined;
    const { user, device, refresh_token: refreshToken, attempt, is_signed_out } = row;
    const secrets = { ...(refreshToken !== null && { refreshToken }), ...(attempt !== null && { attempt }) };
    return { user, device, ...secrets, isSignedOut: is_signed_out === 1 };
  }

  async saveSession(session: StoredSession | undefined): Promise<void> {
    if (!session) return this.#run("DELETE FROM session");
    const { user, device, refreshToken, attempt, isSignedOut } = session;
    this.#run(
      `INSERT OR REPLACE INTO session (only, user, device, refresh_token, attempt, is_signed_out)
       VALUES (1, ?, ?, ?, ?, ?)`,
      ...[user, device, refreshToken ?? null, attempt ?? null, isSignedOut ? 1 : 0],
    );
  }

  async close(): Promise<void> {
    this.#db.close();
  }

  #apply({ type, ...fields }: StoreChange): void {
    const parameters = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, toParameter(value)]));
    for (const sql of changeStatements[type]) {
      const statement = this.#prepare(sql);
      statement.setAllowUnknownNamedParameters(true);
      statement.run(parameters);
    }
  }

  #checkpoint(): void {
    this.#all("PRAGMA wal_checkpoint(TRUNCATE)");
  }

  #outbox(): QueuedForSending[] {
    const sql = `SELECT conversation, id, content, body FROM message WHERE ${queued} ORDER BY number`;
    return this.#all<OutboxRow>(sql).map(({ body, ...message }) => ({ ...message, ...(body && { body }) }));
  }

  #unplaced(conversation: ConversationId, limit: number): MessageRow[] {
    return this.#all(
      `SELECT ${columns} FROM message WHERE conversation = ? AND seq IS NULL ORDER BY number DESC LIMIT ?`,
      conversation,
      limit,
    );
  }

  /** A conversation that holds nothing but a message of one's own, or a receipt, has no cursor yet. */
  #conversationRows(): ConversationRow[] {
    return this.#all(`
      WITH known AS (
        SELECT id FROM conversation UNION SELECT conversation FROM peer UNION SELECT conversation FROM message
      ), positions AS (
        SELECT known.id, ifnull(have, 0) AS have, ifnull(read, 0) AS read, ifnull(read_confirmed, 0) AS read_confirmed
        FROM known LEFT JOIN conversation USING (id)
      )
      SELECT *, (
        SELECT count(*) FROM message, device
        WHERE conversation = positions.id AND seq > positions.read AND message.user <> device.user AND NOT is_event
      ) AS unread
      FROM positions ORDER BY id`);
  }

  #peers(conversation: ConversationId) {
    return this.#all<PeerRow>("SELECT user, delivered, read FROM peer WHERE conversation = ?", conversation).map(
      ({ user, delivered, read }) => ({ user: user === "" ? undefined : user, delivered, read }),
    );
  }

  #migrate(): void {
    const [row] = this.#all<{ user_version: number }>("PRAGMA user_version");
    const version = row?.user_version ?? 0;
    if (version > migrations.length) throw new Error("The store was written by a newer version of this client.");
    this.#transaction(() => {
      for (const migration of migrations.slice(version)) this.#db.exec(migration);
      this.#db.exec(`PRAGMA user_version = ${migrations.length}`);
    });
  }

  #transaction(work: () => void): void {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.#db.exec("COMMIT");
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  #run(sql: string, ...parameters: (string | number | null)[]): void {
    this.#prepare(sql).run(...parameters);
  }

  #all<Row>(sql: string, ...parameters: (string | number)[]): Row[] {
    return this.#prepare(sql).all(...parameters) as Row[];
  }

  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known) return known;
    const statement = this.#db.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

/** Messages and the session are the person's alone; the files that SQLite keeps beside this one take its mode over. */
function keepPrivate(path: string): void {
  closeSync(openSync(path, "a", 0o600));
}

type SessionRow = {
  user: string;
  device: string;
  refresh_token: string | null;
  attempt: string | null;
  is_signed_out: number;
};
type DeviceRow = { user: string; device: string; last_minted: string | null };
type ConversationRow = { id: string; have: number; read: number; read_confirmed: number; unread: number };
type PeerRow = { user: string; delivered: number; read: number };
type OutboxRow = Omit<QueuedForSending, "body"> & { body: Uint8Array | null };
type RecordRow = { key: string; value: Uint8Array };
type MessageRow = Omit<StoredMessage, "seq" | "isEvent" | "failure"> & {
  seq: number | null;
  isEvent: number;
  failure: SessionErrorCode | null;
};

function toMessage({ seq, isEvent, failure, ...row }: MessageRow): StoredMessage {
  return { ...row, seq: seq ?? undefined, isEvent: isEvent === 1, failure: failure ?? undefined };
}

function toParameter(value: string | number | boolean | Uint8Array | undefined): SQLInputValue {
  if (value === undefined) return null;
  return typeof value === "boolean" ? Number(value) : value;
}
