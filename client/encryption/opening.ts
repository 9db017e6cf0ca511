import { decodeCertificate } from "../../shared/certificate.ts";
import { type ConversationId, directMembers, type UserId } from "../../shared/ids.ts";
import { groupIdOf, readEpoch, readFraming } from "../../shared/mls/framing.ts";
import {
  encodeLocal,
  type GroupEvent,
  type LocalContent,
  type UnreadableContent,
  type UnreadableReason,
} from "../content/local.ts";
import { isEvent } from "../content/message-state.ts";
import { decodeContent } from "../content.ts";
import { decodeEnvelope } from "../envelope/envelope.ts";
import { isSameKey } from "../identity/ed25519.ts";
import { type Group, MlsError, type MlsMember } from "../mls/mls.ts";
import type { ReceivedMessage } from "../session/contract.ts";
import { type ConversationKeys, knownPeople, type PendingCommit, usersOf } from "./conversation-keys.ts";
import type { OpenedEntry, WriterParts } from "./device-writer.ts";
import type { Invitation } from "./intake.ts";
import { keyPackageRecord, takeKeyPackage } from "./key-packages.ts";
import { isFromBeforeRestoring } from "./restored.ts";
import type { Write } from "./write.ts";

/** What an entry of the log says, with the group as it stands there. Entries come in the order of the log. */
export async function openEntry(write: Write, parts: WriterParts, message: ReceivedMessage): Promise<OpenedEntry> {
  const framing = readFraming(message.body);
  await parts.transcripts.approach(write, message);
  const opened =
    framing?.kind === "message" ? openMessage(write, parts, message) : openHandshake(write, parts, message);
  const entry = await opened;
  await parts.transcripts.received(write, message);
  return entry;
}

async function openHandshake(write: Write, parts: WriterParts, message: ReceivedMessage): Promise<OpenedEntry> {
  const isPublic = readFraming(message.body)?.kind === "public";
  const commit = isPublic ? message.body : parts.intake.commitOf(message);
  if (!commit) return unreadable(write, message, "malformed");
  return event(await openCommit(write, parts, message, commit));
}

// ── messages ────────────────────────────────────────────────────────────────────────────────────────────────────────

async function openMessage(
  write: Write,
  { mls, store, transcripts }: WriterParts,
  message: ReceivedMessage,
): Promise<OpenedEntry> {
  const { conversation, seq, body } = message;
  const { group, status, joinedAt } = await write.keys(conversation);
  if (status === "removed") return event(unreadableContent("before_joining"));
  if (status === "outside" || seq <= joinedAt) {
    const content = status === "outside" ? passed(write, message) : unreadableContent("before_joining");
    return (await isFromBeforeRestoring(store, message)) ? unreadable(write, message, "lost_place") : event(content);
  }
  if (!group || status === "broken") return unreadable(write, message, "lost_place");
  if ((sealedIn(body) ?? 0) > group.epoch) {
    // The commit that led there has left the log, or was withheld.
    await write.update(conversation, { status: "broken", group: undefined, pending: undefined });
    return unreadable(write, message, "lost_place");
  }
  try {
    const opened = await mls.open(group, body);
    if (opened.kind !== "message") return unreadable(write, message, "malformed");
    // The key is used up, whatever it turns out to have opened.
    await write.update(conversation, { group: opened.group });
    if (opened.id !== message.id || !isFrom(opened.sender, message)) return unreadable(write, message, "forged");
    const { content, claim } = decodeEnvelope(opened.plaintext);
    await transcripts.compare(write, message, claim);
    return { content, isEvent: isEvent(decodeContent(content)) };
  } catch (error) {
    return unreadable(write, message, error instanceof MlsError ? "undecryptable" : "malformed");
  }
}

function sealedIn(body: Uint8Array): number | undefined {
  const framing = readFraming(body);
  return framing?.kind === "message" ? framing.epoch : undefined;
}

/** Whether the member that sealed it is the device that the server names. */
function isFrom({ credential }: MlsMember, { user, device }: ReceivedMessage): boolean {
  const certificate = decodeCertificate(credential);
  return certificate.user === user && certificate.device === device;
}

// ── commits ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Moves the group on by an epoch. @returns what is to be shown of it */
async function openCommit(
  write: Write,
  parts: WriterParts,
  message: ReceivedMessage,
  commit: Uint8Array,
): Promise<LocalContent> {
  const { conversation, seq } = message;
  const keys = await write.keys(conversation);
  const isOwn = keys.pending?.id === message.id && message.device === parts.owner.device;
  if (isOwn) return adopt(write, parts, message, keys);
  if (seq <= keys.joinedAt) return unreadableContent("before_joining");
  const invitation = parts.intake.invitationOf(message);
  // Whoever is added once more has been removed, by a commit that has left the log.
  const isMember = keys.status === "member" && !(invitation && isAhead(keys.group, commit));
  if (isMember && keys.group) return follow(write, parts, message, { ...keys, group: keys.group }, commit);
  if (invitation) return join(write, parts, message, invitation);
  return keys.status === "broken" ? unreadableContent("lost_place") : passed(write, message);
}

function isAhead(group: Group | undefined, commit: Uint8Array): boolean {
  return group !== undefined && (readEpoch(commit) ?? 0) > group.epoch;
}

/** A commit of this device's may still be taken if it was made in this epoch, or a later one. */
function viable(pending: PendingCommit | undefined, { epoch }: Group): PendingCommit | undefined {
  return pending && pending.group.epoch > epoch ? pending : undefined;
}

/** This device's own commit was taken: what was made with it holds from here on. */
async function adopt(
  write: Write,
  { owner }: WriterParts,
  { conversation, seq }: ReceivedMessage,
  keys: ConversationKeys,
): Promise<LocalContent> {
  const group = keys.pending?.group;
  const joinedAt = keys.status === "member" ? keys.joinedAt : seq;
  const reached = group?.epoch ?? keys.reached;
  await write.update(conversation, { status: "member", group, pending: undefined, joinedAt, reached });
  const isOwnDoing = keys.status === "member" || group?.epoch === FIRST_EPOCH;
  return isOwnDoing ? groupEvent(owner.user, knownPeople(keys) ?? [], usersOf(group)) : sinceThen(keys, group);
}

async function follow(
  write: Write,
  { mls }: WriterParts,
  message: ReceivedMessage,
  keys: ConversationKeys & { readonly group: Group },
  commit: Uint8Array,
): Promise<LocalContent> {
  const { conversation, seq } = message;
  const epoch = readEpoch(commit);
  if (epoch !== undefined && epoch < keys.group.epoch) {
    // It was taken before, or never: the server takes none of an epoch that is over.
    write.noticed.push({ type: "history_differs", conversation, seq, how: "altered" });
    return unreadableContent("malformed");
  }
  try {
    const opened = await mls.open(keys.group, commit);
    if (opened.kind === "message" || !isFrom(opened.sender, message)) throw new MlsError("malformed");
    const by = userOf(opened.sender);
    if (opened.kind === "removed") {
      const people = [...usersOf(without(keys.group, opened.removed)).add(by)];
      await write.update(conversation, { status: "removed", group: undefined, people, pending: undefined });
      return groupEvent(by, usersOf(keys.group), people);
    }
    // MLS lets in whoever has the group info; here only further devices of people who are in it may let themselves in.
    if (opened.isExternal && !usersOf(keys.group).has(by)) throw new MlsError("unauthentic");
    mustBeTheirs(conversation, opened.group);
    const { group } = opened;
    const pending = viable(keys.pending, group);
    if (keys.pending !== pending) write.noticed.push({ type: "commit_lost", conversation });
    await write.update(conversation, { status: "member", group, pending, reached: group.epoch });
    return groupEvent(by, usersOf(keys.group), usersOf(group));
  } catch {
    // Whatever follows is of a group that this device has not come along with: it has to join anew.
    await write.update(conversation, { status: "broken", group: undefined, pending: undefined });
    return unreadableContent("lost_place");
  }
}

/** By the Welcome that was made for this device. */
async function join(
  write: Write,
  { mls, store, owner }: WriterParts,
  message: ReceivedMessage,
  invitation: Invitation,
): Promise<LocalContent> {
  const { conversation, seq } = message;
  const own = await takeKeyPackage(store, invitation.ref);
  if (!own) return passed(write, message);
  try {
    const { group, inviter } = await mls.join(invitation.welcome, invitation.tree, [own]);
    mustBeTheirs(conversation, group);
    // A Welcome from before it was removed is good no more, though its key package may still be the last resort.
    const before = await write.keys(conversation);
    if (group.epoch <= before.reached) throw new MlsError("wrong_epoch");
    const pending = viable(before.pending, group);
    await write.update(conversation, { status: "member", group, joinedAt: seq, pending, reached: group.epoch });
    if (!own.isLastResort)
      write.changes.push({ type: "record", key: keyPackageRecord(invitation.ref), value: undefined });
    return invited(before, group, { self: owner.user, by: userOf(inviter) });
  } catch {
    // It can still join from outside.
    return passed(write, message);
  }
}

function passed(write: Write, { conversation }: ReceivedMessage): UnreadableContent {
  write.noticed.push({ type: "passed", conversation });
  return unreadableContent("before_joining");
}

/**
 * It is the group of this conversation, and in a conversation of two there is nobody else, whatever the server has let pass.
 * @throws MlsError wrong_group, unauthentic
 */
export function mustBeTheirs(conversation: ConversationId, group: Group): void {
  if (!isSameKey(group.groupId, groupIdOf(conversation))) throw new MlsError("wrong_group");
  const people = directMembers(conversation);
  if (people.length > 0 && [...usersOf(group)].some((user) => !people.includes(user)))
    throw new MlsError("unauthentic");
}

// ── what is shown of commits ────────────────────────────────────────────────────────────────────────────────────────

/** Which the first commit begins: whoever made that one has brought in everybody who is there. */
const FIRST_EPOCH = 1;

/** Devices come and go unseen; it is people who join and leave. */
function groupEvent(by: UserId | undefined, before: Iterable<UserId>, after: Iterable<UserId>): GroupEvent {
  const [had, has] = [new Set(before), new Set(after)];
  const added = [...has].filter((user) => !had.has(user));
  const removed = [...had].filter((user) => !has.has(user));
  return { kind: "group", ...(by !== undefined && { by }), added, removed };
}

/** By a Welcome. Who else is in it has been before, as far as a device can tell that was not. */
function invited(
  before: ConversationKeys,
  group: Group,
  { self, by }: { readonly self: UserId; readonly by: UserId },
): GroupEvent {
  const known = knownPeople(before);
  if (group.epoch === FIRST_EPOCH) return groupEvent(by, known ?? [], usersOf(group));
  if (known) return sinceThen(before, group);
  return groupEvent(by, [], by === self ? [] : [self]);
}

/** What has become of the people while this device was away; nothing, where it had never been there. */
function sinceThen(before: ConversationKeys, group: Group | undefined): GroupEvent {
  const people = usersOf(group);
  return groupEvent(undefined, knownPeople(before) ?? people, people);
}

function userOf({ credential }: MlsMember): UserId {
  return decodeCertificate(credential).user;
}

function without({ members }: Group, removed: readonly MlsMember[]): Pick<Group, "members"> {
  const leaves = new Set(removed.map(({ leaf }) => leaf));
  return { members: members.filter(({ leaf }) => !leaves.has(leaf)) };
}

// ── what cannot be opened ───────────────────────────────────────────────────────────────────────────────────────────

/** Of records, one a message that is still to be asked for: its conversation and its place follow. */
export const MISSING = "missing/";
/** A store may take no bytes for none. */
const MARK = Uint8Array.of(1);

function unreadable(write: Write, { conversation, seq }: ReceivedMessage, reason: UnreadableReason): OpenedEntry {
  write.changes.push({ type: "record", key: `${MISSING}${conversation}/${seq}`, value: MARK });
  write.noticed.push({ type: "unreadable", conversation, seq });
  return { content: encodeLocal(unreadableContent(reason)), isEvent: false };
}

function unreadableContent(reason: UnreadableReason): UnreadableContent {
  return { kind: "unreadable", reason };
}

function event(content: LocalContent): OpenedEntry {
  return { content: encodeLocal(content), isEvent: true };
}
