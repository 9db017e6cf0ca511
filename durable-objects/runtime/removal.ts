import type { UserId } from "../../shared/ids.ts";
import { USERNAME_HOLD_MS } from "../../shared/limits.ts";
import type { Env } from "./env.ts";

export interface RemovedRecords {
  readonly databaseRows: number;
  readonly files: number;
}

/**
 * Removes everything of a person that stands outside the objects: their rows in D1 (workers/gateway/database/schema.ts,
 * workers/push/schema.ts) and their files in R2. It may be repeated, and counts what this call removed.
 */
export async function removeRecords(env: Pick<Env, "DB" | "MEDIA">, user: UserId): Promise<RemovedRecords> {
  return { databaseRows: await removeRows(env.DB, user), files: await removeFiles(env.MEDIA, `user/${user}/`) };
}

/** To them, or of a conversation with them. */
const isPushAbout = "(user = ?1 OR conversation BETWEEN ?1 || '.' AND ?1 || '/' OR second = ?1)";

/** All that goes, once each: what cascades is not in any count that D1 gives. */
const countRows = `SELECT
  (SELECT count(*) FROM user WHERE id = ?1)
  + (SELECT count(*) FROM username WHERE owner = ?1)
  + (SELECT count(*) FROM contact WHERE owner = ?1 OR other = ?1)
  + (SELECT count(*) FROM audience_exception WHERE owner = ?1 OR other = ?1)
  + (SELECT count(*) FROM report WHERE reporter = ?1 OR reported = ?1)
  + (SELECT count(*) FROM push_delivery WHERE ${isPushAbout}) AS count`;

/** A name that its owner leaves behind stays out of everybody's reach for a while: nobody steps into their place. */
const holdUsername = `INSERT INTO username_hold (name_hash, former_owner, until)
  SELECT name_hash, NULL, ?2 FROM username WHERE owner = ?1 AND reserved_until IS NULL
  ON CONFLICT (name_hash) DO UPDATE SET former_owner = NULL, until = excluded.until`;

/** One transaction. Every table that names people cascades from the last statement. */
async function removeRows(database: D1Database, user: UserId): Promise<number> {
  const [counted] = await database.batch<{ count: number }>([
    database.prepare(countRows).bind(user),
    database.prepare(holdUsername).bind(user, Date.now() + USERNAME_HOLD_MS),
    database.prepare(`DELETE FROM push_delivery WHERE ${isPushAbout}`).bind(user),
    database.prepare("DELETE FROM user WHERE id = ?1").bind(user),
  ]);
  return counted?.results[0]?.count ?? 0;
}

/**
 * Removes all whose name begins so. A page is what R2 lists and deletes at once, 1,000 at most; the next one begins where
 * nothing was removed yet. @returns how many there were
 */
export async function removeFiles(bucket: R2Bucket, prefix: string): Promise<number> {
  let removed = 0;
  for (;;) {
    const { objects, truncated } = await bucket.list({ prefix });
    if (objects.length > 0) await bucket.delete(objects.map(({ key }) => key));
    removed += objects.length;
    if (!truncated) return removed;
  }
}
