import { and, eq, isNull } from "drizzle-orm";
import type { UserId } from "../../../shared/ids.ts";
import type { Database } from "./database.ts";
import { user, username } from "./schema.ts";

export interface OwnProfile {
  readonly name: string;
  readonly about: string;
  readonly username: string | null;
  readonly link: string | null;
  readonly phoneEnd: string;
  readonly discoverable: boolean;
  readonly createdAt: number;
}

export function ownProfile(db: Database, id: UserId): Promise<OwnProfile | undefined> {
  const { name, about, link, phoneEnd, discoverable, createdAt } = user;
  return db
    .select({ name, about, username: username.name, link, phoneEnd, discoverable, createdAt })
    .from(user)
    .leftJoin(username, and(eq(username.owner, user.id), isNull(username.reservedUntil)))
    .where(eq(user.id, id))
    .get();
}

export interface ProfileChange {
  readonly name?: string | undefined;
  readonly about?: string | undefined;
  readonly discoverable?: boolean | undefined;
  readonly link?: string | null;
}

/** @param change at least one field */
export async function changeProfile(db: Database, id: UserId, change: ProfileChange): Promise<void> {
  await db.update(user).set(change).where(eq(user.id, id));
}
