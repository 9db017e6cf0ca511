import type { ConversationId, Cursor, DeviceId, MessageId, Seq, UserId } from "../../shared/ids.ts";
import { directMembers, messageTime } from "../../shared/ids.ts";
import { MAX_FORMER_DEVICES, MAX_FORMER_MEMBERS, MAX_TIMES_AS_MEMBER } from "../../shared/limits.ts";
import { isCommit as isCommitBody } from "../../shared/mls/framing.ts";
import type { Entry, Watermark } from "../../shared/rpc.ts";

/** What a conversation knows beside its log. Small: it is packed into the log's rows (docs/decisions/0002). */
export interface State {
  /** Rises with every write; of two stored states the higher one is the newer. */
  revision: number;
  /** Last place taken. */
  head: Cursor;
  /**
   * What lies above this was answered with ✓ before its fan-out was done: an alarm is set that will finish it. Null:
   * everything answered has reached every live member's user object.
   */
  owedAbove: Cursor | null;
  members: Map<UserId, Member>;
  /** When people were members who were removed since, be they back or not; as long as the log reaches back there. */
  former: Map<UserId, Span[]>;
  /** The MLS epoch that the next entry has to be of; null: there is no group yet. */
  epoch: Cursor | null;
  /** Leaves of people who were erased are still in the group. */
  hasOrphans: boolean;
  /** The newest message of each device, commits left out: what is above it is certainly not a repeat. */
  newest: Map<DeviceId, { id: MessageId; seq: Seq }>;
  /** Of devices that were dropped from there no message was made later than this, ms since 1970. */
  forgottenUntil: number;
}

export interface Member extends Watermark {
  /** Asleep: no device connected, every device marked; not called until its next read. */
  dormant: boolean;
  /**
   * What the other one wrote in [from, to] is not for this member, who had blocked them (docs/protocol.md R12).
   * `to` null: they are blocked now.
   */
  hidden: [from: Seq, to: Seq | null][];
  /** Of this member's last change of mind about that; an older one is ignored. */
  blockVersion: number;
  /** Place of the commit that made them a member, the first that is theirs; 0: from the beginning on. */
  joined: Cursor;
  role: Role;
}

/** Who may change what in a group (docs/protocol.md R16). In a 1:1 conversation nobody is more than a member. */
export type Role = "member" | "admin" | "owner";

/** From the commit that added somebody to the one that removed them, both included. */
interface Span {
  readonly joined: Cursor;
  readonly left: Seq;
}

/** A commit, whole or by reference; all else in a log are messages. */
export function isCommit({ body }: Pick<Entry, "body">): boolean {
  return isCommitBody(body);
}

/**
 * Whether this person may have an entry: they were a member when it was placed, and do not block who wrote it. Commits are
 * hidden from nobody: without one a device can read nothing that follows.
 */
export function isFor(state: State, user: UserId, entry: Entry): boolean {
  const member = state.members.get(user);
  const isPlaceHidden = member !== undefined && isHidden(member, entry.seq);
  return wasMember(state, user, entry.seq) && (!isPlaceHidden || isCommit(entry));
}

/** Whether this person was a member when that place was taken. */
export function wasMember({ members, former }: State, user: UserId, seq: Seq): boolean {
  const joined = members.get(user)?.joined;
  if (joined !== undefined && seq >= joined) return true;
  return (former.get(user) ?? []).some((span) => seq >= span.joined && seq <= span.left);
}

/** The last place that can be this person's; undefined if they are, or were, no member. */
export function endFor(state: State, user: UserId): Cursor | undefined {
  return state.members.has(user) ? state.head : state.former.get(user)?.at(-1)?.left;
}

/** The place before the first above `after` that can be this person's; `after`, if there is none. */
export function startFor(state: State, user: UserId, after: Cursor): Cursor {
  const joined = state.members.get(user)?.joined;
  const spans = [...(state.former.get(user) ?? []), ...(joined === undefined ? [] : [{ joined, left: Infinity }])];
  return Math.max(after, (spans.find(({ left }) => left > after)?.joined ?? 0) - 1);
}

function isHidden(member: Member, seq: Seq): boolean {
  return member.hidden.some(([from, to]) => seq >= from && seq <= (to ?? Number.POSITIVE_INFINITY));
}

/** Whether this member has blocked the other one. */
export function isBlocking(member: Member): boolean {
  return member.hidden.at(-1)?.[1] === null;
}

/** From the next place on; or up to the last one. Where nothing was written meanwhile nothing is hidden. */
export function setBlocking(member: Member, blocks: boolean, head: Cursor): void {
  const standing = member.hidden.at(-1);
  if (blocks === isBlocking(member)) return;
  if (blocks) member.hidden.push([head + 1, null]);
  else if (standing && standing[0] > head) member.hidden.pop();
  else if (standing) standing[1] = head;
}

/** A 1:1 conversation begins with the two members that its id names, a group with none. */
export function emptyState(id: ConversationId): State {
  const members = new Map(directMembers(id).map((user) => [user, newMember(0, "member")]));
  const nothing = { epoch: null, hasOrphans: false, forgottenUntil: 0 };
  return { revision: 0, head: 0, owedAbove: null, members, former: new Map(), ...nothing, newest: new Map() };
}

/** What lies before a member's time counts as had: it holds nobody back. */
export function newMember(joined: Cursor, role: Role): Member {
  const before = Math.max(0, joined - 1);
  const watermark = { delivered: before, read: before, kept: before };
  return { ...watermark, dormant: false, hidden: [], blockVersion: 0, joined, role };
}

/** Somebody's time as a member ends with this place. The state has to fit a row, so only so much is remembered of that. */
export function endMembership(state: State, user: UserId, left: Seq): void {
  const joined = state.members.get(user)?.joined ?? left;
  const spans = [...(state.former.get(user) ?? []), { joined, left }].slice(-MAX_TIMES_AS_MEMBER);
  state.members.delete(user);
  // Whoever left last stands last.
  state.former.delete(user);
  state.former.set(user, spans);
  const [first] = state.former.keys();
  if (state.former.size > MAX_FORMER_MEMBERS && first !== undefined) state.former.delete(first);
}

/** Nobody can have been a member in what the log has not any more. @param first the oldest place that is left */
export function forgetFormer(state: State, first: Seq): void {
  for (const [user, spans] of state.former) {
    const kept = spans.filter(({ left }) => left >= first);
    if (kept.length > 0) state.former.set(user, kept);
    else state.former.delete(user);
  }
}

/**
 * Of devices that are no more in the group, and whose messages have left the log, only so many are remembered; of the others
 * together, when the last message was made. @param first the oldest place that is left
 */
export function forgetDevices(state: State, first: Seq, present: ReadonlySet<DeviceId>): void {
  const gone = [...state.newest].filter(([device, { seq }]) => seq < first && !present.has(device));
  const oldestFirst = gone.toSorted(([, a], [, b]) => a.seq - b.seq);
  for (const [device, { id }] of oldestFirst.slice(0, -MAX_FORMER_DEVICES)) {
    state.newest.delete(device);
    state.forgottenUntil = Math.max(state.forgottenUntil, messageTime(id));
  }
}

/** A group always has an owner: without one the oldest admin, else the oldest member takes over. */
export function appointOwner(members: ReadonlyMap<UserId, Member>): void {
  const all = [...members.values()].toSorted((a, b) => a.joined - b.joined);
  if (all.some(({ role }) => role === "owner")) return;
  const next = all.find(({ role }) => role === "admin") ?? all[0];
  if (next) next.role = "owner";
}

/** Raises what is higher. A claim beyond the head is no claim. True if anything rose. */
export function raise(member: Member, claim: Watermark, head: Cursor): boolean {
  const before = member.delivered + member.read + member.kept;
  const credible = (cursor: Cursor) => (cursor <= head ? cursor : 0);
  member.read = Math.max(member.read, credible(claim.read));
  member.delivered = Math.max(member.delivered, member.read, credible(claim.delivered));
  member.kept = Math.max(member.kept, credible(claim.kept));
  return member.delivered + member.read + member.kept > before;
}
