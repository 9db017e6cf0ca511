import { and, asc, eq, isNull, sql } from "drizzle-orm";
import type { UserId } from "../../../shared/ids.ts";
import { MAX_CONTACTS_PER_USER } from "../../../shared/limits.ts";
import type { Database } from "./database.ts";
import type { Person } from "./people.ts";
import { contact, user, username } from "./schema.ts";

export interface Contact extends Person {
  readonly username: string | null;
  readonly addedAt: number;
}

/** The oldest first. */
export function contactsOf(db: Database, owner: UserId): Promise<Contact[]> {
  return db
    .select({ user: user.id, name: user.name, username: username.name, addedAt: contact.addedAt })
    .from(contact)
    .innerJoin(user, eq(user.id, contact.other))
    .leftJoin(username, and(eq(username.owner, contact.other), isNull(username.reservedUntil)))
    .where(eq(contact.owner, owner))
    .orderBy(asc(contact.addedAt));
}

export interface NewContact {
  readonly owner: UserId;
  readonly other: UserId;
  readonly at: number;
}

/** Counted and added in one statement, so that many at once do not get past the limit together. */
export async function addContact(db: Database, call: NewContact): Promise<"added" | "not_found" | "too_many"> {
  const { owner, other, at } = call;
  const count = db.$count(contact, eq(contact.owner, owner));
  const [, [person], [added]] = await db.batch([
    db
      .insert(contact)
      .select(
        sql`select ${owner}, ${user.id}, ${at} from ${user}
            where ${user.id} = ${other} and ${count} < ${MAX_CONTACTS_PER_USER}`,
      )
      .onConflictDoNothing(),
    db.select({ id: user.id }).from(user).where(eq(user.id, other)),
    db.select({ other: contact.other }).from(contact).where(isPair(owner, other)),
  ]);
  if (added) return "added";
  return person ? "too_many" : "not_found";
}

export async function removeContact(db: Database, owner: UserId, other: UserId): Promise<void> {
  await db.delete(contact).where(isPair(owner, other));
}

function isPair(owner: UserId, other: UserId) {
  return and(eq(contact.owner, owner), eq(contact.other, other));
}
