import * as v from "valibot";
import { decodeCertificate } from "../../shared/certificate.ts";
import { type ConversationId, Cursor, MessageId, UserId } from "../../shared/ids.ts";
import { decodeTranscript, emptyTranscript, encodeTranscript, type Transcript } from "../envelope/transcript.ts";
import type { Group, Mls } from "../mls/mls.ts";
import type { Store, StoreChange } from "../store/store.ts";
import type { SubmittedCommit } from "./delivery-service.ts";
import { decodeRecord, encodeRecord } from "./record.ts";

/** What this device has of one conversation's group. Immutable. */
export interface ConversationKeys {
  /** How it stands to the group: `outside` not a member (yet); `broken` a member that has lost its place. */
  readonly status: "outside" | "member" | "broken" | "removed";
  readonly group: Group | undefined;
  /** Who was in it when this device was, last; undefined while it has the group, and where it never did. */
  readonly people: readonly UserId[] | undefined;
  /** The place of the commit by which it joined: what lies at or below is not for it to open. */
  readonly joinedAt: Cursor;
  /** The last epoch of which this device was a member: to none before it will anybody bring it back. */
  readonly reached: number;
  readonly transcript: Transcript;
  /** The last place of which the server has shown nothing, though this device was a member; 0 if there is none. */
  readonly hole: Cursor;
  /** It may be of what has left the log: this device had been away for that long. */
  readonly isHoleExpired: boolean;
  /** A commit of this device's that is on its way, or may be. */
  readonly pending: PendingCommit | undefined;
}

/** Stored before it leaves: after a crash the same bytes are submitted again. */
export interface PendingCommit extends Omit<SubmittedCommit, "after"> {
  /** The group that holds once the log brings the commit. */
  readonly group: Group;
}

export const noKeys: ConversationKeys = {
  status: "outside",
  group: undefined,
  people: undefined,
  joinedAt: 0,
  reached: 0,
  transcript: emptyTranscript,
  hole: 0,
  isHoleExpired: false,
  pending: undefined,
};

const PENDING = "commit/";
const BROKEN = "broken/";
const recordOf = (conversation: ConversationId) => `group/${conversation}`;
const treeOf = (conversation: ConversationId) => `tree/${conversation}`;
const peopleOf = (conversation: ConversationId) => `people/${conversation}`;
const pendingOf = (conversation: ConversationId) => PENDING + conversation;
const brokenOf = (conversation: ConversationId) => BROKEN + conversation;

const Fields = v.object({
  status: v.picklist(["outside", "member", "broken", "removed"]),
  joinedAt: Cursor,
  reached: Cursor,
  hole: Cursor,
  isHoleExpired: v.boolean(),
});
const PendingFields = v.object({ id: MessageId });
const PeopleFields = v.object({ people: v.array(UserId) });

/** Whose devices are in it. */
export function usersOf(group: Pick<Group, "members"> | undefined): Set<UserId> {
  return new Set(group?.members.map(({ credential }) => decodeCertificate(credential).user));
}

/** Who is in it, or was when this device was, last; undefined where it never did know. */
export function knownPeople({ group, people }: ConversationKeys): readonly UserId[] | undefined {
  return group ? [...usersOf(group)] : people;
}

/** @throws if the store's records are none of ours */
export async function loadKeys(store: Store, mls: Mls, conversation: ConversationId): Promise<ConversationKeys> {
  const record = await store.record(recordOf(conversation));
  if (!record) return noKeys;
  const { fields, blobs } = decodeRecord(Fields, record);
  const tree = await store.record(treeOf(conversation));
  const [transcript, ratchets] = blobs;
  return {
    ...fields,
    group: ratchets && tree && mls.decode({ ratchets, tree }),
    people: await loadPeople(store, conversation),
    transcript: transcript ? decodeTranscript(transcript) : emptyTranscript,
    pending: await loadPending(store, mls, conversation),
  };
}

/** What of `keys` is to be written, `before` being what stands there. The tree is large where the group is, so it is not repeated. */
export function keyChanges(
  mls: Mls,
  conversation: ConversationId,
  before: ConversationKeys,
  { status, joinedAt, reached, hole, isHoleExpired, transcript, group, people, pending }: ConversationKeys,
): StoreChange[] {
  const encoded = group && mls.encode(group);
  const blobs = [encodeTranscript(transcript), ...(encoded ? [encoded.ratchets] : [])];
  const fields = { status, joinedAt, reached, hole, isHoleExpired };
  const changes = [change(recordOf(conversation), encodeRecord(fields, blobs))];
  const isSameEpoch = group !== undefined && before.group?.epoch === group.epoch && before.joinedAt === joinedAt;
  if (!isSameEpoch) changes.push(change(treeOf(conversation), encoded?.tree));
  if (people !== before.people) changes.push(change(peopleOf(conversation), people && encodeRecord({ people })));
  if (pending !== before.pending) changes.push(change(pendingOf(conversation), pending && encodePending(mls, pending)));
  const isBroken = status === "broken";
  if (isBroken !== (before.status === "broken")) {
    changes.push(change(brokenOf(conversation), isBroken ? new Uint8Array(0) : undefined));
  }
  return changes;
}

/** Where this device has a commit under way, or has lost its place and not found a new one. */
export async function unfinished(store: Store): Promise<ConversationId[]> {
  const found = await Promise.all(
    [PENDING, BROKEN].map(async (prefix) => (await store.records(prefix)).map(([key]) => key.slice(prefix.length))),
  );
  return [...new Set(found.flat())];
}

function change(key: string, value: Uint8Array | undefined): StoreChange {
  return { type: "record", key, value };
}

async function loadPeople(store: Store, conversation: ConversationId): Promise<readonly UserId[] | undefined> {
  const record = await store.record(peopleOf(conversation));
  return record && decodeRecord(PeopleFields, record).fields.people;
}

function encodePending(mls: Mls, { id, commit, groupInfo, welcome, group }: PendingCommit): Uint8Array {
  const encoded = mls.encode(group);
  const blobs = [commit, groupInfo, encoded.ratchets, encoded.tree, ...(welcome ? [welcome] : [])];
  return encodeRecord({ id }, blobs);
}

async function loadPending(store: Store, mls: Mls, conversation: ConversationId): Promise<PendingCommit | undefined> {
  const record = await store.record(pendingOf(conversation));
  if (!record) return undefined;
  const { fields, blobs } = decodeRecord(PendingFields, record);
  const [commit, groupInfo, ratchets, tree, welcome] = blobs;
  if (!commit || !groupInfo || !ratchets || !tree) throw new TypeError("no commit");
  const group = mls.decode({ ratchets, tree });
  return { id: fields.id, commit, groupInfo, welcome, group };
}
