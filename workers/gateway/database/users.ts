import { eq } from "drizzle-orm";
import type { UserId } from "../../../shared/ids.ts";
import type { Database } from "./database.ts";
import { user } from "./schema.ts";

/** Whose phone number this is the keyed hash of. */
export function userByPhoneHash(db: Database, phoneHash: string): Promise<{ id: UserId } | undefined> {
  return db.select({ id: user.id }).from(user).where(eq(user.phoneHash, phoneHash)).get();
}

/** Whether there is such a person. */
export async function userExists(db: Database, id: UserId): Promise<boolean> {
  return (await db.select({ id: user.id }).from(user).where(eq(user.id, id)).get()) !== undefined;
}

export interface NewUser {
  readonly id: UserId;
  readonly phoneHash: string;
  readonly phoneEnd: string;
  readonly createdAt: number;
}

/** Changes nothing if the number is somebody's already: of two first sign-ins at once one wins, and both read whose. */
export async function insertUser(db: Database, fields: NewUser): Promise<void> {
  await db.insert(user).values(fields).onConflictDoNothing();
}

/** With everything in the database that is about them. */
export async function deleteUser(db: Database, id: UserId): Promise<void> {
  await db.delete(user).where(eq(user.id, id));
}
