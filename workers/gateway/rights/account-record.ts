import type { Audience, Privacy } from "../../../shared/api/people.ts";
import { Refusal } from "../../../shared/errors.ts";
import type { UserId } from "../../../shared/ids.ts";
import { ARCHIVE_CHUNK_BYTES } from "../../../shared/limits.ts";
import type { AskKeysReply, DeviceListed, PersonOverview } from "../../../shared/rpc.ts";
import type { Directory } from "../archives/directory.ts";
import { contactsOf } from "../database/contacts.ts";
import type { Database } from "../database/database.ts";
import { peopleById } from "../database/people.ts";
import { privacyOf } from "../database/privacy.ts";
import { ownProfile } from "../database/profiles.ts";
import { reportsBy } from "../database/reports.ts";
import { holdsFor, usernamesOf } from "../database/usernames.ts";

/** What is not listed, and why. */
const notes = [
  "Messages are not in this archive: your devices have them. The server keeps each message, encrypted so that it cannot read it, until every device that it is for has it, and for 30 days at most, and with it who wrote it to whom, and when.",
  "Your backup, and histories on their way to a device of yours, are not in this archive either: they are encrypted so that the server cannot read them. What opens them is kept nowhere. How much room they have is listed.",
  "Your phone number is stored nowhere. What is kept are its last digits, and a hash of it that is made with a secret key: by this hash you sign in, and others find you if you let them. The same hash names the record of the last day's codes for your number.",
  "Your PIN is stored nowhere, only a value that shows whether a PIN is the right one.",
  "Your account key and your devices' key packages are public: others need them to write to you. The private keys that belong to them are on your devices alone. Somebody who has asked for key packages lately is remembered for two days at most, as a number.",
  "For each device it is also kept how far it has got in each conversation, so that it misses nothing; how far its session has got; and for you how much you have asked for lately, so that nobody can flood the service.",
  "Usernames that you gave up are kept for 30 days, as a hash that is made with a secret key, so that nobody takes your place.",
  "Messages that you attached to a report are sealed for those who run the service. Only their length is listed.",
  "What others keep about you is theirs: whether you are among their contacts, and whether they have blocked or reported you.",
];

interface Sources {
  readonly db: Database;
  readonly user: UserId;
  readonly overview: PersonOverview;
  readonly devices: readonly DeviceListed[];
  /** Of each device, in the same order. */
  readonly keys: readonly AskKeysReply[];
  readonly directory: Directory;
}

/** Everything that is kept about a person, to be read by people and by programs. Times are ISO 8601, in UTC. */
export async function accountRecord({ db, user, overview, devices, keys, directory }: Sources) {
  const { profile, privacy, contacts, reports, usernames, holds } = await rowsAbout(db, user);
  const nameOf = await namesIn(db, overview, privacy);
  return {
    exportedAt: iso(Date.now()),
    notes,
    account: {
      user,
      ...profile,
      createdAt: iso(profile.createdAt),
      hasPin: overview.hasPin,
      accountKey: keys[0]?.accountKey,
    },
    usernames: usernames.map(({ name, reservedUntil: until }) => ({ name, reservedUntil: until && iso(until) })),
    heldUsernames: holds.map(({ until }) => ({ until: iso(until) })),
    privacy: mapAudiences(privacy, ({ audience, except }) => ({ audience, except: except.map(nameOf) })),
    devices: devices.map((device, index) => ({ ...deviceRecord(device), keyPackages: keys[index]?.left })),
    archives: archivesIn(directory),
    contacts: contacts.map((contact) => ({ ...contact, addedAt: iso(contact.addedAt) })),
    blocked: overview.blocked.map(nameOf),
    requests: overview.requests.map(nameOf),
    accepted: overview.accepted.map(nameOf),
    conversations: overview.conversations,
    alerts: overview.alerts.map(({ at, ...alert }) => ({ ...alert, at: iso(at) })),
    lastSeenAt: overview.lastSeenAt === undefined ? undefined : iso(overview.lastSeenAt),
    warnedOfRemovalAt: overview.warnedAt === undefined ? undefined : iso(overview.warnedAt),
    reports: reports.map((report) => ({ ...report, at: iso(report.at) })),
  };
}

async function rowsAbout(db: Database, user: UserId) {
  const [profile, privacy, contacts, reports, usernames, holds] = await Promise.all([
    ownProfile(db, user),
    privacyOf(db, user),
    contactsOf(db, user),
    reportsBy(db, user),
    usernamesOf(db, user),
    holdsFor(db, user),
  ]);
  // Their own object knows them: the replica that was asked does not yet.
  if (!profile || !privacy) throw new Refusal("unavailable");
  return { profile, privacy, contacts, reports, usernames, holds };
}

type NameOf = (user: UserId) => { readonly user: UserId; readonly name: string | undefined };

/** Who they are; without a name if they do not exist any more. */
async function namesIn(
  db: Database,
  { blocked, requests, accepted }: PersonOverview,
  privacy: Privacy,
): Promise<NameOf> {
  const exceptions = Object.values(privacy).flatMap(({ except }) => except);
  const people = await peopleById(db, [...blocked, ...requests, ...accepted, ...exceptions]);
  const names = new Map(people.map(({ user, name }) => [user, name]));
  return (user) => ({ user, name: names.get(user) });
}

function mapAudiences<R>(privacy: Privacy, map: (audience: Audience) => R): Record<keyof Privacy, R> {
  const { seen, picture, about, groups } = privacy;
  return { seen: map(seen), picture: map(picture), about: map(about), groups: map(groups) };
}

function archivesIn({ archives, backup }: Directory) {
  return archives.map(({ archive, at, chunks }) => ({
    begunAt: iso(at),
    roomInBytes: chunks * ARCHIVE_CHUNK_BYTES,
    isBackup: archive === backup?.archive,
  }));
}

function deviceRecord({ addedAt, lastSeenAt, ...device }: DeviceListed) {
  return { ...device, addedAt: iso(addedAt), lastSeenAt: lastSeenAt === undefined ? undefined : iso(lastSeenAt) };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
