import type { ConversationId, Cursor, DeviceId, UserId } from "../../shared/ids.ts";
import type { PersonBucket } from "../../shared/limits.ts";
import type { Alert } from "../../shared/protocol/down.ts";
import type { SessionRef } from "../../shared/rpc.ts";
import { isInitialised, type Migration, migrate } from "../runtime/migrations.ts";
import type { SqlRow, Storage } from "../runtime/storage.ts";
import { KeyPackageStore } from "./key-package-store.ts";
import { RequesterStore } from "./requester-store.ts";

/** A message is missed from `since` on; or nothing but receipts, then {@link RECEIPTS_ONLY}. */
interface Dirty {
  since: Cursor;
  /** A push was asked for, or is owed. */
  pushed: boolean;
}

/** Above every message: no message was missed, but how far others have got has changed. */
export const RECEIPTS_ONLY = Number.MAX_SAFE_INTEGER;

/** A device's refresh family; its newest generation was given out at `rotatedAt` (ms). */
export interface Session extends SessionRef {
  readonly rotatedAt: number;
  /** The device's name for the attempt that was answered with it. */
  readonly attempt: string | undefined;
  /** Of the sign-in that began it: the same one again begins nothing. */
  readonly requestId: string;
}

/** One device's row: all that its inbox needs, packed, so that several changes at a time cost one row. */
export interface Device {
  readonly id: DeviceId;
  name: string;
  readonly registeredAt: number;
  /** How many sessions it has had: no two have the same name. */
  sessions: number;
  /** Undefined: it was signed out, and keeps nothing but its inbox. */
  session: Session | undefined;
  /** When it was last connected, ms since 1970; 0 if never. */
  seenAt: number;
  /** Where it connected from. */
  place: string | undefined;
  /** What its person has still to be shown there, and the number of the last one. */
  alerts: Omit<Alert, "type">[];
  lastAlert: number;
  /** Of the last alert that a push was asked for: a device that never notes them is not called for each for ever. */
  calledForAlert: number;
  /** It has uploaded key packages, and is asked for more when they run low. */
  hasKeys: boolean;
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

interface RemovalBegun {
  readonly requestId: string;
  readonly devices: readonly DeviceId[];
  conversations: number;
  databaseRows: number;
  files: number;
}

/** What is the person's and no device's. */
export interface Account {
  /** What a right PIN is stretched to. */
  pin: string | undefined;
  /** Their Ed25519 public key, base64url; undefined before their first upload. */
  accountKey: string | undefined;
  /** When a device that is gone by now was last connected. */
  seenAt: number;
  /** When they were told that the account will be removed; undefined if nothing is wrong. */
  warnedAt: number | undefined;
  /** The account is being removed: what that has done so far. */
  removal: RemovalBegun | undefined;
}

/** How this person stands to another. Absent: they have nothing to do with each other. */
export interface Peer {
  /** What they write is no request (any more). */
  readonly isAccepted: boolean;
  readonly isBlocked: boolean;
  /** Counts changes of mind about blocking. */
  readonly version: number;
  /** The conversation, or the other person, may not have heard of it yet: an alarm tells them again. */
  readonly isUntold: boolean;
  /** How far this person has got with what they write, and has not told them: for when they are accepted. */
  readonly delivered: Cursor;
  readonly read: Cursor;
}

export const stranger: Peer = {
  ...{ isAccepted: false, isBlocked: false, version: 0, isUntold: false },
  ...{ delivered: 0, read: 0 },
};

/** How full a bucket was, and when. */
export interface Level {
  readonly level: number;
  readonly at: number;
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
  {
    floor: 1,
    apply: (storage) => {
      storage.run("CREATE TABLE account (id INTEGER PRIMARY KEY, packed TEXT NOT NULL)");
      storage.run(
        `CREATE TABLE peer (id TEXT PRIMARY KEY, accepted INTEGER, blocked INTEGER, version INTEGER, untold INTEGER,
          delivered INTEGER, read INTEGER) WITHOUT ROWID`,
      );
      storage.run("CREATE TABLE bucket (name TEXT PRIMARY KEY, level REAL, at INTEGER) WITHOUT ROWID");
    },
  },
  {
    floor: 1,
    apply: (storage) => {
      storage.run("CREATE TABLE key_package (no INTEGER PRIMARY KEY, ref TEXT, not_after INTEGER, bytes BLOB)");
      storage.run("CREATE TABLE claimant (no INTEGER PRIMARY KEY, level INTEGER, at INTEGER)");
    },
  },
  {
    floor: 1,
    apply: (storage) => {
      storage.run("ALTER TABLE claimant ADD COLUMN last TEXT");
      storage.run("CREATE TABLE adder (no INTEGER PRIMARY KEY, level INTEGER, at INTEGER, last TEXT)");
    },
  },
];

/** A person's SQL. */
export class UserStore {
  readonly keys: KeyPackageStore;
  /** Who claims key packages, and who brings this person into groups. */
  readonly claimants: RequesterStore;
  readonly adders: RequesterStore;
  readonly #storage: Storage;
  readonly #rows = new Map<DeviceId, number>();
  #exists: boolean;

  constructor(storage: Storage) {
    this.#storage = storage;
    this.keys = new KeyPackageStore(storage, (device) => this.#rows.get(device) ?? 0);
    this.claimants = new RequesterStore(storage, "claimant");
    this.adders = new RequesterStore(storage, "adder");
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
    this.keys.removeAll(device);
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
    if (!this.exists) return false;
    return this.#storage.all("SELECT 1 FROM conversation WHERE id = ?", id).length > 0;
  }

  addConversation(id: ConversationId): void {
    this.#storage.run("INSERT OR IGNORE INTO conversation (id) VALUES (?)", id);
  }

  conversations(): ConversationId[] {
    if (!this.exists) return [];
    return this.#storage.all<{ id: string }>("SELECT id FROM conversation").map((row) => row.id);
  }

  removeConversation(id: ConversationId): void {
    this.#storage.run("DELETE FROM conversation WHERE id = ?", id);
  }

  account(): Account {
    const [row] = this.exists ? this.#storage.all<{ packed: string }>("SELECT packed FROM account") : [];
    const nothing = { pin: undefined, accountKey: undefined, seenAt: 0, warnedAt: undefined, removal: undefined };
    return { ...nothing, ...(row && JSON.parse(row.packed)) };
  }

  saveAccount(account: Account): void {
    this.#storage.run("INSERT OR REPLACE INTO account (id, packed) VALUES (1, ?)", JSON.stringify(account));
  }

  peer(id: UserId): Peer | undefined {
    const [row] = this.exists ? this.#storage.all<PeerRow>("SELECT * FROM peer WHERE id = ?", id) : [];
    return row && peerOf(row);
  }

  peers(): Map<UserId, Peer> {
    const rows = this.exists ? this.#storage.all<PeerRow>("SELECT * FROM peer") : [];
    return new Map(rows.map((row) => [row.id, peerOf(row)]));
  }

  untoldPeers(): UserId[] {
    if (!this.exists) return [];
    return this.#storage.all<{ id: UserId }>("SELECT id FROM peer WHERE untold = 1").map(({ id }) => id);
  }

  savePeer(id: UserId, { isAccepted, isBlocked, version, isUntold, delivered, read }: Peer): void {
    this.#storage.run(
      "INSERT OR REPLACE INTO peer (id, accepted, blocked, version, untold, delivered, read) VALUES (?, ?, ?, ?, ?, ?, ?)",
      ...[id, Number(isAccepted), Number(isBlocked), version, Number(isUntold), delivered, read],
    );
  }

  removePeer(id: UserId): void {
    this.#storage.run("DELETE FROM peer WHERE id = ?", id);
  }

  bucket(name: PersonBucket): Level | undefined {
    return this.#storage.all<{ level: number; at: number }>("SELECT level, at FROM bucket WHERE name = ?", name)[0];
  }

  saveBucket(name: PersonBucket, { level, at }: Level): void {
    this.#storage.run("INSERT OR REPLACE INTO bucket (name, level, at) VALUES (?, ?, ?)", name, level, at);
  }

  armBy(at: number): void {
    const standing = this.#storage.alarmAt();
    if (standing === null || standing > at) this.#storage.setAlarm(at);
  }
}

interface PeerRow extends SqlRow {
  id: UserId;
  accepted: number;
  blocked: number;
  version: number;
  untold: number;
  delivered: Cursor;
  read: Cursor;
}

function peerOf({ accepted, blocked, version, untold, delivered, read }: PeerRow): Peer {
  const flags = { isAccepted: accepted === 1, isBlocked: blocked === 1, isUntold: untold === 1 };
  return { ...flags, version, delivered, read };
}

/** Of a device that has done nothing yet; rows of an older version lack it. */
export const untouched = {
  sessions: 0,
  session: undefined,
  seenAt: 0,
  place: undefined,
  alerts: [],
  lastAlert: 0,
  calledForAlert: 0,
  hasKeys: false,
};

function pack(device: Device): string {
  return JSON.stringify({ ...device, dirty: [...device.dirty].map(([id, { since, pushed }]) => [id, since, pushed]) });
}

function unpack(text: string): Device {
  const { dirty, ...device } = JSON.parse(text) as Omit<Device, "dirty"> & {
    dirty: [ConversationId, Cursor, boolean][];
  };
  return {
    ...untouched,
    ...device,
    dirty: new Map(dirty.map(([id, since, pushed]) => [id, { since, pushed }])),
  };
}
