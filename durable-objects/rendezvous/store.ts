import type { LinkState } from "../../shared/api/devices.ts";
import type { Cursor, DeviceId, UserId } from "../../shared/ids.ts";
import type { LinkSide, OpenLink } from "../../shared/rpc.ts";
import { isInitialised, type Migration, migrate } from "../runtime/migrations.ts";
import type { SqlRow, Storage } from "../runtime/storage.ts";

const migrations: readonly Migration[] = [
  {
    floor: 1,
    apply(storage) {
      storage.run(
        `CREATE TABLE link (id INTEGER PRIMARY KEY, deviceName TEXT NOT NULL, place TEXT, expiresAt INTEGER NOT NULL,
          state TEXT NOT NULL, user TEXT, device TEXT)`,
      );
      storage.run(
        `CREATE TABLE message (receiver TEXT NOT NULL, number INTEGER NOT NULL, sealed TEXT NOT NULL,
          PRIMARY KEY (receiver, number)) WITHOUT ROWID`,
      );
    },
  },
];

/** `user` and `device` are who approved it: null while it waits. */
export interface Link extends SqlRow {
  deviceName: string;
  place: string | null;
  expiresAt: number;
  state: LinkState;
  user: UserId | null;
  device: DeviceId | null;
}

/** Numbered from 1 for each side. */
export type LinkMessage = { number: number; sealed: string };

/** The SQL of a place where two devices meet: one link, and the messages for either side. */
export class RendezvousStore {
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** Undefined if it was never opened, which is found out without a write. */
  link(): Link | undefined {
    if (!isInitialised(this.#storage)) return undefined;
    return this.#storage.all<Link>("SELECT deviceName, place, expiresAt, state, user, device FROM link")[0];
  }

  open({ deviceName, place }: OpenLink, expiresAt: number): void {
    migrate(this.#storage, migrations);
    this.#storage.run(
      "INSERT INTO link (id, deviceName, place, expiresAt, state) VALUES (1, ?, ?, ?, 'waiting')",
      deviceName,
      place ?? null,
      expiresAt,
    );
    this.#storage.setAlarm(expiresAt);
  }

  approve(user: UserId, device: DeviceId): void {
    this.#storage.run("UPDATE link SET state = 'approved', user = ?, device = ?", user, device);
  }

  complete(): void {
    this.#storage.run("UPDATE link SET state = 'completed'");
  }

  add(receiver: LinkSide, { number, sealed }: LinkMessage): void {
    this.#storage.run("INSERT INTO message (receiver, number, sealed) VALUES (?, ?, ?)", receiver, number, sealed);
  }

  has(receiver: LinkSide, sealed: string): boolean {
    return this.#storage.all("SELECT 1 FROM message WHERE receiver = ? AND sealed = ?", receiver, sealed).length > 0;
  }

  count(receiver: LinkSide): number {
    const rows = this.#storage.all<{ count: number }>(
      "SELECT count(*) AS count FROM message WHERE receiver = ?",
      receiver,
    );
    return rows[0]?.count ?? 0;
  }

  messages(receiver: LinkSide, after: Cursor): LinkMessage[] {
    return this.#storage.all<LinkMessage>(
      "SELECT number, sealed FROM message WHERE receiver = ? AND number > ? ORDER BY number",
      receiver,
      after,
    );
  }
}
