import { and, eq, isNull, sql } from "drizzle-orm";
import type { Audience, Privacy } from "../../../shared/api/people.ts";
import type { UserId } from "../../../shared/ids.ts";
import type { Database } from "./database.ts";
import { listed } from "./listed.ts";
import { audienceException, contact, user, username } from "./schema.ts";

export type Subject = keyof Privacy;
const subjects: readonly Subject[] = ["seen", "picture", "about", "groups"];

const audiences = {
  seen: user.seenAudience,
  picture: user.pictureAudience,
  about: user.aboutAudience,
  groups: user.groupsAudience,
};

export async function privacyOf(db: Database, owner: UserId): Promise<Privacy | undefined> {
  const { subject, other } = audienceException;
  const [[chosen], exceptions] = await db.batch([
    db.select(audiences).from(user).where(eq(user.id, owner)),
    db.select({ subject, other }).from(audienceException).where(eq(audienceException.owner, owner)),
  ]);
  if (!chosen) return undefined;
  const audienceOf = (wanted: Subject): Audience => ({
    audience: chosen[wanted],
    except: exceptions.filter((exception) => exception.subject === wanted).map((exception) => exception.other),
  });
  return {
    seen: audienceOf("seen"),
    picture: audienceOf("picture"),
    about: audienceOf("about"),
    groups: audienceOf("groups"),
  };
}

export type PrivacyChange = { readonly [S in Subject]?: Audience | undefined };

/** @param change at least one subject; exceptions who do not exist are left out */
export async function changePrivacy(db: Database, owner: UserId, change: PrivacyChange): Promise<void> {
  const named = subjects.flatMap((subject) => {
    const audience = change[subject];
    return audience ? [{ subject, audience }] : [];
  });
  const columns = named.map(({ subject, audience }) => [`${subject}Audience`, audience.audience]);
  await db.batch([
    db.update(user).set(Object.fromEntries(columns)).where(eq(user.id, owner)),
    ...named.flatMap(({ subject, audience }) => [
      db
        .delete(audienceException)
        .where(and(eq(audienceException.owner, owner), eq(audienceException.subject, subject))),
      db
        .insert(audienceException)
        .select(
          sql`select ${owner}, ${subject}, ${user.id} from ${user} where ${user.id} in ${listed(audience.except)}`,
        ),
    ]),
  ]);
}

/** A person's profile with all that decides how much of it the viewer sees. */
export interface View {
  readonly name: string;
  readonly about: string;
  readonly username: string | null;
  readonly seenAudience: Audience["audience"];
  readonly aboutAudience: Audience["audience"];
  /** The owner has the viewer among their contacts. */
  readonly isContact: boolean;
  /** Where the owner has made an exception of the viewer. */
  readonly exceptions: readonly Subject[];
  /** The viewer's own setting. */
  readonly viewerSeenAudience: Audience["audience"];
}

export async function viewOf(db: Database, owner: UserId, viewer: UserId): Promise<View | undefined> {
  const isPair = and(eq(contact.owner, owner), eq(contact.other, viewer));
  const isExcepted = and(eq(audienceException.owner, owner), eq(audienceException.other, viewer));
  const [[profile], [known], exceptions, [own]] = await db.batch([
    profileQuery(db, owner),
    db.select({ other: contact.other }).from(contact).where(isPair),
    db.select({ subject: audienceException.subject }).from(audienceException).where(isExcepted),
    db.select({ seenAudience: user.seenAudience }).from(user).where(eq(user.id, viewer)),
  ]);
  if (!profile) return undefined;
  return {
    ...profile,
    isContact: known !== undefined,
    exceptions: exceptions.map(({ subject }) => subject),
    viewerSeenAudience: own?.seenAudience ?? "nobody",
  };
}

function profileQuery(db: Database, owner: UserId) {
  const { name, about, seenAudience, aboutAudience } = user;
  // In a batch D1 gives rows by column name, of which two must not be the same.
  const aliased = sql<string | null>`${username.name}`.as("username");
  return db
    .select({ name, about, username: aliased, seenAudience, aboutAudience })
    .from(user)
    .leftJoin(username, and(eq(username.owner, user.id), isNull(username.reservedUntil)))
    .where(eq(user.id, owner));
}
