import { Refusal } from "../../shared/errors.ts";
import { type ConversationId, directMembers, type Seq, type UserId } from "../../shared/ids.ts";
import type {
  Entry,
  ReadEpoch,
  ReadEpochReply,
  ReadGroup,
  ReadGroupReply,
  Stored,
  SubmitCommit,
  SubmitCommitReply,
} from "../../shared/rpc.ts";
import type { Group, GroupStore } from "./group-store.ts";
import { readPage } from "./page.ts";
import type { Placement } from "./placement.ts";
import { checkChange, isOwned, type Leaf, type Roster, usersOf } from "./roster.ts";
import { endMembership, type Member, newMember, type State, wasMember } from "./state.ts";
import type { ConversationStore } from "./store.ts";

/** What becomes of a commit that was handed in. */
type Outcome =
  | { readonly type: "refused"; readonly reply: SubmitCommitReply }
  /** It is here already. */
  | { readonly type: "known"; readonly entry: Entry }
  /** It brings in people of whom nobody knows whether they exist. */
  | { readonly type: "ask"; readonly users: UserId[] }
  | Taken;

/** What may hold, if it is of the epoch. */
type Takeable = SubmitCommit & { readonly groupInfo: Stored; readonly tree: Stored };

/** It holds: the entry has still to be written to the log, with the state. */
export interface Taken {
  readonly type: "taken";
  readonly entry: Entry;
  readonly removed: readonly (readonly [UserId, Member])[];
  /** Files that nothing refers to any more. */
  readonly files: string[];
}

/** The MLS group's part of a conversation (docs/protocol.md R16): which commit begins the next epoch, and who is in it. */
export class Commits {
  readonly #isDirect: boolean;
  readonly #store: ConversationStore;
  readonly #groups: GroupStore;
  readonly #state: State;
  readonly #placement: Placement;

  constructor(id: ConversationId, store: ConversationStore, groups: GroupStore, state: State, placement: Placement) {
    this.#isDirect = directMembers(id).length > 0;
    this.#store = store;
    this.#groups = groups;
    this.#state = state;
    this.#placement = placement;
  }

  /** @param registered people who are known to exist */
  submit(args: SubmitCommit, registered: ReadonlySet<UserId>, now: number): Outcome {
    try {
      const isNew = this.#state.epoch === null && args.epoch === 0 && args.leaf !== null;
      const isAnybodys = isNew && !this.#isDirect && this.#state.members.size === 0;
      const entry = isAnybodys ? undefined : this.#placement.repeatedCommit(args.user, args, now);
      if (entry) return { type: "known", entry };
      if (!isNew && args.epoch !== this.#state.epoch) return { type: "refused", reply: this.#missed(args) };
      const { groupInfo, tree } = args;
      // Since the gateway has looked the conversation has come to this epoch.
      if (!groupInfo || !tree) throw new Refusal("unavailable");
      const group = this.#group();
      const roster = this.#roster(args, group);
      const leaves = checkChange(roster, args);
      const users = newcomers(roster, leaves).filter((user) => !registered.has(user));
      return users.length > 0 ? { type: "ask", users } : this.#take({ ...args, groupInfo, tree }, leaves, group, now);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return { type: "refused", reply: refused(error) };
    }
  }

  /** To others there is no group. */
  readGroup({ user }: ReadGroup): ReadGroupReply {
    const group = this.#state.members.has(user) ? this.#group() : undefined;
    if (!group || this.#state.epoch === null) return { ok: false, code: "not_found" };
    const { seq, groupInfo, tree } = group;
    const leaves = group.leaves.map((leaf) => (isOwned(leaf) ? leaf : null));
    const orphans = group.leaves.flatMap((leaf, index) => (leaf === "nobody" ? index : []));
    return { ok: true, epoch: this.#state.epoch, seq, groupInfo, tree, leaves, orphans };
  }

  readEpoch({ user, seq }: ReadEpoch): ReadEpochReply {
    const epoch = this.#store.exists && wasMember(this.#state, user, seq) ? this.#groups.epoch(seq) : undefined;
    if (!epoch) return { ok: false, code: "not_found" };
    const { commit, welcome, tree } = epoch;
    return { ok: true, ...(commit && { commit }), ...(welcome && { welcome }), ...(tree && { tree }) };
  }

  /**
   * Somebody is erased who was in the group. Their leaves can be taken from the tree by a commit alone, so they stay as
   * nobody's; what carries their certificate goes, but for commits and that tree, without which the others could not go on.
   * @param before the first place that their time as a member had not to do with
   * @returns files that nothing refers to any more
   */
  erase(user: UserId, before: Seq): string[] {
    const group = this.#group();
    if (!group) return [];
    const dropped = this.#groups.dropTreesBefore(before).flatMap(({ welcome, tree }) => [welcome, tree]);
    const isTheirs = (leaf: Leaf) => isOwned(leaf) && leaf.user === user;
    if (group.leaves.some(isTheirs)) {
      const leaves = group.leaves.map((leaf) => (isTheirs(leaf) ? "nobody" : leaf));
      this.#groups.saveGroup({ ...group, leaves });
      this.#state.hasOrphans = true;
    }
    return fileNames(...dropped).filter((name) => name !== group.tree);
  }

  /** @param first the oldest place that is left in the log @returns files that nothing refers to any more */
  expire(first: Seq): string[] {
    const tree = this.#group()?.tree;
    const dropped = this.#store.exists ? this.#groups.dropEpochsBefore(first) : [];
    return fileNames(...dropped.flatMap((epoch) => [epoch.commit, epoch.welcome, epoch.tree])).filter(
      (name) => name !== tree,
    );
  }

  /** There is none before the first commit, and where nothing was ever stored there is not even a place for one. */
  #group(): Group | undefined {
    return this.#state.epoch === null ? undefined : this.#groups.group();
  }

  #missed({ user, after }: SubmitCommit): SubmitCommitReply {
    const page = readPage(this.#store, this.#state, user, after);
    return { ok: false, code: "epoch_stale", epoch: this.#state.epoch, ...page };
  }

  #roster({ user, device }: SubmitCommit, group: Group | undefined): Roster {
    const isDirect = this.#isDirect;
    const { members } = this.#state;
    if (group) return { isDirect, isNew: false, members, leaves: group.leaves };
    const founders = isDirect ? members : new Map([[user, newMember(0, "owner")]]);
    return { isDirect, isNew: true, members: founders, leaves: [{ user, device }] };
  }

  #take(args: Takeable, leaves: readonly Leaf[], group: Group | undefined, now: number): Taken {
    const entry = this.#placement.take(args.user, args, now);
    const removed = this.#isDirect ? [] : this.#changeMembers(usersOf(leaves), entry, group === undefined);
    this.#state.epoch = args.epoch + 1;
    this.#state.hasOrphans = leaves.includes("nobody");
    return { type: "taken", entry, removed, files: this.#save(args, entry.seq, leaves, group) };
  }

  /** Who has a leaf is a member. */
  #changeMembers(users: ReadonlySet<UserId>, { seq, user: committer }: Entry, isNew: boolean): Taken["removed"] {
    const { members } = this.#state;
    const removed = [...members].filter(([user]) => !users.has(user));
    for (const [user] of removed) endMembership(this.#state, user, seq);
    for (const user of users) {
      const role = isNew && user === committer ? "owner" : "member";
      if (!members.has(user)) members.set(user, newMember(isNew ? 0 : seq, role));
    }
    return removed;
  }

  /** @returns files of the epoch before that nothing refers to any more */
  #save(args: Takeable, seq: Seq, leaves: readonly Leaf[], before: Group | undefined): string[] {
    const { commit = null, groupInfo, tree, welcome = null } = args;
    this.#store.initialise();
    this.#groups.saveGroup({ seq, leaves, groupInfo, tree });
    if (commit || welcome) this.#groups.addEpoch({ seq, commit, welcome, tree: welcome && tree });
    const kept = before && this.#groups.epoch(before.seq)?.tree;
    return fileNames(before?.groupInfo, before?.tree).filter((name) => name !== kept);
  }
}

/** Whom nothing here has named before. */
function newcomers({ isNew, members }: Roster, leaves: readonly Leaf[]): UserId[] {
  const users = usersOf(leaves);
  return isNew ? [...new Set([...users, ...members.keys()])] : [...users].filter((user) => !members.has(user));
}

/** What a commit brings with it that stands in the file store. */
export function filesOf({ commit, groupInfo, tree, welcome }: SubmitCommit): string[] {
  return fileNames(commit, groupInfo, tree, welcome);
}

function fileNames(...all: (Stored | null | undefined)[]): string[] {
  return [...new Set(all.filter((stored) => typeof stored === "string"))];
}

export function refused({ code, retry }: Refusal): SubmitCommitReply {
  if (code === "epoch_stale") throw new Error("what was missed goes with it");
  return { ok: false, code, retry };
}
