import type { ConversationId, Cursor, DeviceId } from "../../shared/ids.ts";
import { isInitialised, type Migration, migrate } from "../runtime/migrations.ts";
import type { Storage } from "../runtime/storage.ts";

/** A message is missed from `since` on; or nothing but receipts, then {@link RECEIPTS_ONLY}. */
interface Dirty {
  since: Cursor;
  /** A push was asked for, or is owed. */
  pushed: boolean;
}

/** Above every message: no message was missed, but how far others have got has changed. */
export const RECEIPTS_ONLY = Number.MAX_SAFE_INTEGER;

/** One device's row: all that its inbox needs, packed, so that several changes at a time cost one row. */
export interface Device {
  readonly id: DeviceId;
  name: string;
  readonly registeredAt: number;
  /** Epoch of its last connection. */
  epoch: Cursor;
  /** That connection has not ended as far as is stored. */
  isOpen: boolean;
  /** What it has is not known: everything is compared when it next says hello. */
  isSuspect: boolean;
  /** A push is still to be asked for; an alarm is set. */
  owesPush: boolean;
  /** What its last connection had used up, so that connecting anew gives nothing back. */
  budget: Budget | undefined;
  /** Tickets used and not yet expired, with their end (ms). */
  tickets: [ticket: string, expiresAt: number][];
  dirty: Map<ConversationId, Dirty>;
}

/** What a person's device may still do; it lives with the connection, and between two of them here. */
export interface Budget {
  /** The person's remaining sends, and when they were counted. */
  allowance: { sends: number; at: number };
  /** Frames taken since then. */
  frames: { count: number; since: number };
  /** Frames refused since then. */
  offences: { count: number; since: number };
}

const migrations: readonly Migration[] = [
  {
    floor: 1,
    apply: (storage) => {
      storage.run("CREATE TABLE person (id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL)");
      storage.run("CREATE TABLE device (no INTEGER PRIMARY KEY, packed TEXT NOT NULL)");
      storage.run("CREATE TABLE conversation (id TEXT PRIMARY KEY) WITHOUT ROWID");
    },
  },
];

/** A person's SQL. */
export class UserStore {
  readonly #storage: Storage;
  readonly #rows = new Map<DeviceId, number>();
  #exists: boolean;

  constructor(storage: Storage) {
    this.#storage = storage;
    this.#exists = isInitialised(storage);
    if (this.#exists) migrate(storage, migrations);
  }

  /** A person exists once a device was registered; probing for one writes nothing. */
  get exists(): boolean {
    return this.#exists;
  }

  initialise(): void {
    migrate(this.#storage, migrations);
    this.#exists = true;
  }

  devices(): Device[] {
    if (!this.exists) return [];
    const rows = this.#storage.all<{ no: number; packed: string }>("SELECT no, packed FROM device ORDER BY no");
    return rows.map(({ no, packed }) => {
      const device = unpack(packed);
      this.#rows.set(device.id, no);
      return device;
    });
  }

  save(device: Device): void {
    const no = this.#rows.get(device.id) ?? Math.max(0, ...this.#rows.values()) + 1;
    this.#rows.set(device.id, no);
    this.#storage.run("INSERT OR REPLACE INTO device (no, packed) VALUES (?, ?)", no, pack(device));
  }

  /** The epoch outlives the device that had it: it only rises. */
  remove(device: DeviceId, epoch: Cursor): void {
    this.#storage.run("DELETE FROM device WHERE no = ?", this.#rows.get(device) ?? 0);
    this.#rows.delete(device);
    this.#storage.run("INSERT OR REPLACE INTO person (id, epoch) VALUES (1, ?)", epoch);
  }

  /** The epoch of the last device that was removed. */
  epoch(): Cursor {
    if (!this.exists) return 0;
    return this.#storage.all<{ epoch: number }>("SELECT epoch FROM person")[0]?.epoch ?? 0;
  }

  hasConversation(id: ConversationId): boolean {
    return this.#storage.all("SELECT 1 FROM conversation WHERE id = ?", id).length > 0;
  }

  addConversation(id: ConversationId): void {
    this.#storage.run("INSERT OR IGNORE INTO conversation (id) VALUES (?)", id);
  }

  conversations(): ConversationId[] {
    return this.#storage.all<{ id: string }>("SELECT id FROM conversation").map((row) => row.id);
  }

  armBy(at: number): void {
    const standing = this.#storage.alarmAt();
    if (standing === null || standing > at) this.#storage.setAlarm(at);
  }
}

function pack(device: Device): string {
  return JSON.stringify({ ...device, dirty: [...device.dirty].map(([id, { since, pushed }]) => [id, since, pushed]) });
}

function unpack(text: string): Device {
  const { dirty, ...device } = JSON.parse(text) as Omit<Device, "dirty"> & {
    dirty: [ConversationId, Cursor, boolean][];
  };
  return { ...device, dirty: new Map(dirty.map(([id, since, pushed]) => [id, { since, pushed }])) };
}
