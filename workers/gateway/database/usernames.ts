import { and, eq, exists, gt, inArray, isNotNull, isNull, lte, type SQL, sql } from "drizzle-orm";
import type { UserId } from "../../../shared/ids.ts";
import { MAX_NAMES_SWEPT, USERNAME_HOLD_MS, USERNAME_RESERVATION_MS } from "../../../shared/limits.ts";
import type { Database } from "./database.ts";
import { username, usernameHold } from "./schema.ts";

/*
 * Every change is one batch, which D1 runs as one transaction: what a statement looks at is still so in the next.
 * Reservations and holds that have run out go when somebody asks for their name, and some at every reservation.
 */

export interface UsernameCall {
  readonly name: string;
  readonly nameHash: string;
  readonly owner: UserId;
  /** ms since 1970 */
  readonly now: number;
}

/** Takes the place of what the owner had reserved before. @returns until when; undefined: it is taken */
export async function reserveUsername(db: Database, call: UsernameCall): Promise<number | undefined> {
  const { name, nameHash, owner, now } = call;
  const hold = eq(usernameHold.nameHash, nameHash);
  const heldForAnother = db
    .select({ found: sql`1` })
    .from(usernameHold)
    .where(and(hold, sql`${usernameHold.formerOwner} is not ${owner}`));
  const [, , , , [reserved]] = await db.batch([
    db.delete(username).where(and(eq(username.owner, owner), isNotNull(username.reservedUntil))),
    db.delete(username).where(and(eq(username.name, name), lte(username.reservedUntil, now))),
    db.delete(usernameHold).where(and(hold, lte(usernameHold.until, now))),
    db
      .insert(username)
      .select(
        sql`select ${name}, ${nameHash}, ${owner}, ${now + USERNAME_RESERVATION_MS} where not exists ${heldForAnother}`,
      )
      .onConflictDoNothing(),
    db.select({ until: username.reservedUntil }).from(username).where(isReserved(call)),
    ...sweeps(db, now),
  ]);
  return reserved?.until ?? undefined;
}

/** What has run out, as far as it is removed at once. */
function sweeps(db: Database, now: number) {
  const reservations = db
    .select({ name: username.name })
    .from(username)
    .where(lte(username.reservedUntil, now))
    .limit(MAX_NAMES_SWEPT);
  const holds = db
    .select({ nameHash: usernameHold.nameHash })
    .from(usernameHold)
    .where(lte(usernameHold.until, now))
    .limit(MAX_NAMES_SWEPT);
  return [
    db.delete(username).where(inArray(username.name, reservations)),
    db.delete(usernameHold).where(inArray(usernameHold.nameHash, holds)),
  ] as const;
}

/** The owner's live reservation becomes their name; the former one is held. @returns whether the name is theirs */
export async function confirmUsername(db: Database, call: UsernameCall): Promise<boolean> {
  const { name, owner, now } = call;
  const hasReserved = exists(db.select({ found: sql`1` }).from(username).where(isReserved(call)));
  const isOwn = and(eq(username.name, name), isConfirmed(owner));
  const [, , , [own]] = await db.batch([
    hold(db, and(isConfirmed(owner), hasReserved), now),
    db.delete(username).where(and(isConfirmed(owner), hasReserved)),
    db.update(username).set({ reservedUntil: null }).where(isReserved(call)),
    db.select({ name: username.name }).from(username).where(isOwn),
  ]);
  return own !== undefined;
}

export async function releaseUsername(db: Database, owner: UserId, now: number): Promise<void> {
  await db.batch([hold(db, isConfirmed(owner), now), db.delete(username).where(isConfirmed(owner))]);
}

/** The confirmed one (`reservedUntil` null) and the reserved one, if they have not run out unnoticed. */
export function usernamesOf(db: Database, owner: UserId) {
  const { name, reservedUntil } = username;
  return db.select({ name, reservedUntil }).from(username).where(eq(username.owner, owner));
}

/** Until when names are held for the person who gave them up. */
export function holdsFor(db: Database, formerOwner: UserId) {
  return db.select({ until: usernameHold.until }).from(usernameHold).where(eq(usernameHold.formerOwner, formerOwner));
}

function hold(db: Database, which: SQL | undefined, now: number) {
  return db
    .insert(usernameHold)
    .select(
      sql`select ${username.nameHash}, ${username.owner}, ${now + USERNAME_HOLD_MS} from ${username} where ${which}`,
    )
    .onConflictDoUpdate({
      target: usernameHold.nameHash,
      set: { formerOwner: sql`excluded.former_owner`, until: sql`excluded.until` },
    });
}

function isConfirmed(owner: UserId) {
  return and(eq(username.owner, owner), isNull(username.reservedUntil));
}

function isReserved({ name, owner, now }: UsernameCall) {
  return and(eq(username.name, name), eq(username.owner, owner), gt(username.reservedUntil, now));
}
