import { and, eq, inArray, isNull } from "drizzle-orm";
import type { UserId } from "../../../shared/ids.ts";
import type { Database } from "./database.ts";
import { listed } from "./listed.ts";
import { user, username } from "./schema.ts";

/** Somebody as others find them. */
export interface Person {
  readonly user: UserId;
  readonly name: string;
}

const person = { user: user.id, name: user.name };

/** Those of them who exist, in no order. */
export function peopleById(db: Database, ids: readonly UserId[]): Promise<Person[]> {
  return db
    .select(person)
    .from(user)
    .where(inArray(user.id, listed(ids)));
}

export function personByUsername(db: Database, name: string): Promise<Person | undefined> {
  return db
    .select(person)
    .from(username)
    .innerJoin(user, eq(user.id, username.owner))
    .where(and(eq(username.name, name), isNull(username.reservedUntil)))
    .get();
}

export function personByLink(db: Database, link: string): Promise<Person | undefined> {
  return db.select(person).from(user).where(eq(user.link, link)).get();
}

/** Who of those with these numbers lets themself be found by number. */
export function peopleByPhoneHash(
  db: Database,
  hashes: readonly string[],
): Promise<(Person & { phoneHash: string })[]> {
  return db
    .select({ ...person, phoneHash: user.phoneHash })
    .from(user)
    .where(and(inArray(user.phoneHash, listed(hashes)), eq(user.discoverable, true)));
}
