import {
  type ConversationId,
  type Cursor,
  type DeviceId,
  type MessageId,
  messageTime,
  type Seq,
  type UserId,
} from "../../shared/ids.ts";
import {
  MAX_CARRIED_STATE_BYTES,
  MAX_ID_AHEAD_MS,
  SEGMENT_AGE_MS,
  SEGMENT_ENTRIES,
  STATE_EVERY_MESSAGES,
} from "../../shared/limits.ts";
import type { Entry } from "../../shared/rpc.ts";
import { isInitialised, type Migration, migrate } from "../runtime/migrations.ts";
import type { SqlRow, SqlValue, Storage } from "../runtime/storage.ts";
import { createGroupTables } from "./group-store.ts";
import { pack, unpack } from "./packed-state.ts";
import { emptyState, type State } from "./state.ts";

const migrations: readonly Migration[] = [
  {
    floor: 1,
    apply: (storage) => storage.run("CREATE TABLE state (id INTEGER PRIMARY KEY, packed TEXT NOT NULL)"),
  },
  { floor: 1, apply: createGroupTables },
];

/**
 * One table of the log. Its name says all about it, so that it needs no row: `log_<first seq>_<started, ms>`.
 * A log expires by dropping tables, which costs no rows.
 */
export interface Segment {
  readonly first: Seq;
  readonly startedAt: number;
}

const tableOf = (segment: Segment) => `log_${segment.first}_${segment.startedAt}`;
const COLUMNS = "seq, id, user, device, at, body";
const ROW = "(?, ?, ?, ?, ?, ?, ?)";
/** How a commit begins, and how a reference to one (shared/mls/framing.ts). */
const COMMITS = [Uint8Array.of(0, 1, 0, 1), Uint8Array.of(0, 1, 0xf0, 1)];
/** The platform takes at most 100 parameters a statement. */
const ROWS_PER_STATEMENT = 14;

/** A conversation's SQL: the log in segments, and the packed state that rides in the log's rows. */
export class ConversationStore {
  readonly #storage: Storage;
  readonly #id: ConversationId;
  #segments: Segment[];
  #initialised: boolean;

  constructor(storage: Storage, id: ConversationId) {
    this.#storage = storage;
    this.#id = id;
    this.#initialised = isInitialised(storage);
    if (this.#initialised) migrate(storage, migrations);
    this.#segments = this.#initialised ? this.#readSegments() : [];
  }

  /** Something was ever stored here. */
  get exists(): boolean {
    return this.#initialised;
  }

  /** Oldest first. */
  get segments(): readonly Segment[] {
    return this.#segments;
  }

  initialise(): void {
    if (this.#initialised) return;
    migrate(this.#storage, migrations);
    this.#initialised = true;
  }

  /** The newest state written, carried on by the log's rows that follow it. */
  load(): State {
    if (!this.#initialised) return emptyState(this.#id);
    const stored = this.#storage.all<{ packed: string }>("SELECT packed FROM state");
    const states = [...stored.map((row) => unpack(row.packed)), ...this.#carriedState()];
    const state = states.reduce((a, b) => (b.revision > a.revision ? b : a), emptyState(this.#id));
    return this.#replay(state);
  }

  /**
   * Writes entries up to `state.head`. True: the state is written too; it rides in the last one's row if it is small.
   * @param isDecisive the entry means nothing without the state that it leads to
   */
  append(entries: readonly Entry[], state: State, isDecisive = false): boolean {
    this.initialise();
    const [first, last] = [entries[0], entries.at(-1)];
    if (!first || !last) return false;
    const table = tableOf(this.#segmentFor(first));
    state.revision++;
    const packed = pack(state);
    const isDue = Math.floor(last.seq / STATE_EVERY_MESSAGES) > Math.floor((first.seq - 1) / STATE_EVERY_MESSAGES);
    const carried = packed.length <= MAX_CARRIED_STATE_BYTES || isDue;
    for (let from = 0; from < entries.length; from += ROWS_PER_STATEMENT) {
      const rows = entries.slice(from, from + ROWS_PER_STATEMENT);
      const params = rows.flatMap((entry) => rowOf(entry, carried && entry === last ? packed : null));
      this.#storage.run(`INSERT INTO ${table} (${COLUMNS}, state) VALUES ${rows.map(() => ROW).join(", ")}`, ...params);
    }
    // In the row that is written over: with each of its commits in the log a large group would fill the object's storage.
    if (!carried && isDecisive) this.save(state);
    return carried || isDecisive;
  }

  /** Writes the state in a row of its own: for what may not be forgotten and has no message to ride with. */
  save(state: State): void {
    this.initialise();
    state.revision++;
    this.#storage.run("INSERT OR REPLACE INTO state (id, packed) VALUES (1, ?)", pack(state));
  }

  /** Up to `limit` entries in (after, head], in order. */
  entries(after: Cursor, limit: number): Entry[] {
    const found: Entry[] = [];
    for (const [index, segment] of this.#segments.entries()) {
      const next = this.#segments[index + 1];
      if (found.length >= limit) break;
      if (next && next.first <= after + 1) continue;
      const rows = this.#storage.all<EntryRow>(
        `SELECT ${COLUMNS} FROM ${tableOf(segment)} WHERE seq > ? ORDER BY seq LIMIT ?`,
        after,
        limit - found.length,
      );
      found.push(...(rows as Entry[]));
    }
    return found;
  }

  entry(seq: Seq): Entry | undefined {
    const [entry] = this.entries(seq - 1, 1);
    return entry?.seq === seq ? entry : undefined;
  }

  /** Newest first: a repeat is nearly always of something recent. Nothing was stored before it was made. */
  find(id: MessageId, device: DeviceId): Entry | undefined {
    const since = messageTime(id) - MAX_ID_AHEAD_MS;
    const candidates = this.#segments.filter((_, index) => (this.#segments[index + 1]?.startedAt ?? Infinity) >= since);
    for (const segment of candidates.toReversed()) {
      const [row] = this.#storage.all<EntryRow>(
        `SELECT ${COLUMNS} FROM ${tableOf(segment)} WHERE id = ? AND device = ?`,
        id,
        device,
      );
      if (row) return row as Entry;
    }
    return undefined;
  }

  /** Who wrote what lies in (after, through]. */
  authors(after: Cursor, through: Cursor): Set<UserId> {
    if (through <= after) return new Set();
    const rows = this.#segments.flatMap((segment) =>
      this.#storage.all<{ user: UserId }>(
        `SELECT DISTINCT user FROM ${tableOf(segment)} WHERE seq > ? AND seq <= ?`,
        after,
        through,
      ),
    );
    return new Set(rows.map(({ user }) => user));
  }

  /** When the oldest entry still kept was stored; undefined for an empty log. */
  oldestAt(): number | undefined {
    return this.entries(0, 1)[0]?.at;
  }

  /** When the newest entry that is left in it was stored; undefined if none is. */
  newestAt(segment: Segment): number | undefined {
    const [row] = this.#storage.all<{ at: number }>(`SELECT at FROM ${tableOf(segment)} ORDER BY seq DESC LIMIT 1`);
    return row?.at;
  }

  dropSegment(segment: Segment): void {
    this.#storage.run(`DROP TABLE ${tableOf(segment)}`);
    this.#segments = this.#segments.filter((kept) => kept !== segment);
  }

  /**
   * Their messages, and what the log's rows carry: the state has to be saved after it. Their commits stay until the log
   * expires, like the others' that name them: devices that have not seen them could not go on. @returns their devices
   */
  eraseAuthor(user: UserId): Set<DeviceId> {
    const devices = new Set<DeviceId>();
    for (const table of this.#segments.map(tableOf)) {
      const found = this.#storage.all<{ device: DeviceId }>(
        `SELECT DISTINCT device FROM ${table} WHERE user = ?`,
        user,
      );
      for (const { device } of found) devices.add(device);
      this.#storage.run(`DELETE FROM ${table} WHERE user = ? AND substr(body, 1, 4) NOT IN (?, ?)`, user, ...COMMITS);
      this.#storage.run(`UPDATE ${table} SET state = NULL WHERE state IS NOT NULL`);
    }
    return devices;
  }

  #segmentFor(entry: Entry): Segment {
    const current = this.#segments.at(-1);
    const isFull = current && entry.seq - current.first >= SEGMENT_ENTRIES;
    const isOld = current && entry.at - current.startedAt >= SEGMENT_AGE_MS;
    if (current && !isFull && !isOld) return current;
    const segment = { first: entry.seq, startedAt: entry.at };
    this.#storage.run(
      `CREATE TABLE ${tableOf(segment)} (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, user TEXT NOT NULL,
        device TEXT NOT NULL, at INTEGER NOT NULL, body BLOB NOT NULL, state TEXT)`,
    );
    this.#segments = [...this.#segments, segment];
    return segment;
  }

  #readSegments(): Segment[] {
    const tables = this.#storage.all<{ name: string }>(
      "SELECT name FROM sqlite_master WHERE name LIKE 'log\\_%' ESCAPE '\\'",
    );
    return tables
      .map(({ name }) => name.split("_"))
      .map(([, first, startedAt]) => ({ first: Number(first), startedAt: Number(startedAt) }))
      .sort((a, b) => a.first - b.first);
  }

  #carriedState(): State[] {
    for (const segment of this.#segments.toReversed()) {
      const [row] = this.#storage.all<{ state: string }>(
        `SELECT state FROM ${tableOf(segment)} WHERE state IS NOT NULL ORDER BY seq DESC LIMIT 1`,
      );
      if (row) return [unpack(row.state)];
    }
    return [];
  }

  /** Rows above the state's head were written without it: they still say what was taken and by which device. */
  #replay(state: State): State {
    for (const entry of this.#heads(state.head)) {
      state.head = entry.seq;
      const newest = state.newest.get(entry.device);
      if (!newest || entry.id > newest.id) state.newest.set(entry.device, { id: entry.id, seq: entry.seq });
    }
    return state;
  }

  #heads(after: Cursor): { seq: Seq; id: MessageId; device: DeviceId }[] {
    return this.#segments.flatMap((segment) =>
      this.#storage.all<{ seq: number; id: string; device: string }>(
        `SELECT seq, id, device FROM ${tableOf(segment)} WHERE seq > ? ORDER BY seq`,
        after,
      ),
    );
  }
}

function rowOf({ seq, id, user, device, at, body }: Entry, state: string | null): SqlValue[] {
  return [seq, id, user, device, at, body, state];
}

interface EntryRow extends SqlRow {
  seq: Seq;
  id: MessageId;
  user: UserId;
  device: DeviceId;
  at: number;
  body: Uint8Array;
}
