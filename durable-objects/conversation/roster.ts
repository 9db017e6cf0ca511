import { Refusal } from "../../shared/errors.ts";
import type { UserId } from "../../shared/ids.ts";
import {
  MAX_DEVICES_PER_USER,
  MAX_LEAVES_PER_GROUP,
  MAX_LEAVES_PER_USER,
  MAX_MEMBERS_PER_CONVERSATION,
} from "../../shared/limits.ts";
import type { LeafOwner, SubmitCommit } from "../../shared/rpc.ts";
import type { Member } from "./state.ts";

/** A leaf of the group's tree, by whose device it is. Blank: null. Of somebody who was erased and may not be named: "nobody". */
export type Leaf = LeafOwner | "nobody" | null;

/** What a commit changes, and who asks for it. */
export type Change = Pick<SubmitCommit, "user" | "device" | "leaf" | "adds" | "removes">;

export interface Roster {
  readonly isDirect: boolean;
  /** The commit begins the group: whoever makes it is its owner, and in a 1:1 conversation adds the other one's devices too. */
  readonly isNew: boolean;
  readonly members: ReadonlyMap<UserId, Member>;
  /** By index; the last one is not blank. */
  readonly leaves: readonly Leaf[];
}

/**
 * The leaves after a commit (RFC 9420 §12.4.2): removes apply first, then adds, each to the leftmost blank leaf or to a new
 * one on the right (§12.1.1); whoever joins by an external commit is added like that after its removes (§12.4.3.2).
 * Blank leaves at the right end are left out, for that is where the tree is cut (§12.1.2) and where it would grow again.
 */
export function leavesAfter(leaves: readonly Leaf[], change: Change): Leaf[] {
  const removed = new Set(change.removes);
  const after = leaves.map((owner, index) => (removed.has(index) ? null : owner));
  while (after.at(-1) === null) after.pop();
  for (const added of addedBy(change)) {
    const blank = after.indexOf(null);
    after[blank === -1 ? after.length : blank] = added;
  }
  return after;
}

/**
 * Whether every change of a commit is the committer's to make (docs/protocol.md R16).
 * @returns the leaves after it @throws Refusal not_allowed
 */
export function checkChange(roster: Roster, change: Change): Leaf[] {
  const isAllowed =
    isOwnLeaf(roster, change) &&
    new Set(change.removes).size === change.removes.length &&
    change.removes.every((index) => mayRemove(roster, change, roster.leaves[index] ?? null)) &&
    change.adds.every((added) => mayAdd(roster, change, added));
  const after = leavesAfter(roster.leaves, change);
  if (!isAllowed || !isWithinLimits(after, change)) throw new Refusal("not_allowed");
  return after;
}

/** Everybody with a leaf. */
export function usersOf(leaves: readonly Leaf[]): Set<UserId> {
  return new Set(leaves.flatMap((leaf) => (isOwned(leaf) ? leaf.user : [])));
}

/** A member's commit comes from their own leaf and leaves that where it is; who joins has none, and adds nobody else. */
function isOwnLeaf({ leaves }: Roster, { user, device, leaf, adds, removes }: Change): boolean {
  if (leaf === null) return adds.length === 0;
  const owner = leaves[leaf] ?? null;
  return isOwned(owner) && owner.user === user && owner.device === device && !removes.includes(leaf);
}

/** Who joins may only replace their device's own former leaf. */
function mayRemove({ isDirect, members }: Roster, { user, device, leaf }: Change, owner: Leaf): boolean {
  if (owner === null) return false;
  if (leaf === null) return isOwned(owner) && owner.user === user && owner.device === device;
  if (!isOwned(owner) || owner.user === user) return true;
  const standing = members.get(owner.user);
  return standing === undefined || (!isDirect && standing.role !== "owner" && isPrivileged(members.get(user)));
}

/** Everybody's devices are their own to add; other people are added by the group's owner and admins. */
function mayAdd({ isDirect, isNew, members }: Roster, { user }: Change, added: LeafOwner): boolean {
  if (added.user === user) return true;
  const isMember = members.has(added.user);
  return isDirect ? isNew && isMember : !isMember && isPrivileged(members.get(user));
}

/** Whoever joins without help may have lost devices whose leaves still stand there, until one of theirs removes them. */
function isWithinLimits(leaves: readonly Leaf[], change: Change): boolean {
  const owned = leaves.filter(isOwned);
  const leavesOf = new Map<UserId, number>();
  for (const { user } of owned) leavesOf.set(user, (leavesOf.get(user) ?? 0) + 1);
  const most = change.leaf === null ? MAX_LEAVES_PER_USER : MAX_DEVICES_PER_USER;
  return (
    leaves.length <= MAX_LEAVES_PER_GROUP &&
    leavesOf.size <= MAX_MEMBERS_PER_CONVERSATION &&
    addedBy(change).every(({ user }) => (leavesOf.get(user) ?? 0) <= most) &&
    new Set(owned.map(({ user, device }) => `${user} ${device}`)).size === owned.length
  );
}

function addedBy({ user, device, leaf, adds }: Change): readonly LeafOwner[] {
  return leaf === null ? [{ user, device }] : adds;
}

function isPrivileged(member: Member | undefined): boolean {
  return member?.role === "owner" || member?.role === "admin";
}

export function isOwned(leaf: Leaf): leaf is LeafOwner {
  return leaf !== null && leaf !== "nobody";
}
