import type { Commit } from "ts-mls/commit.js";
import type { LeafNode } from "ts-mls/leafNode.js";
import { unprotectPublicMessage } from "ts-mls/messageProtectionPublic.js";
import { processPublicMessage } from "ts-mls/processMessages.js";
import type { Proposal } from "ts-mls/proposal.js";
import type { PskIndex } from "ts-mls/pskIndex.js";
import type { PublicMessage } from "ts-mls/publicMessage.js";
import { findBlankLeafNodeIndexOrExtend, type RatchetTree } from "ts-mls/ratchetTree.js";
import { nodeToLeafIndex } from "ts-mls/treemath.js";
import { cryptoOf } from "../../shared/mls/suites.ts";
import { areEqual } from "../../shared/mls/wire.ts";
import { beginEpoch, type Epoch, type GroupState, wipeState } from "./epoch.ts";
import { identityIn, memberIn } from "./member.ts";
import { MlsError, type MlsMember } from "./mls.ts";

/**
 * Commits of others (RFC 9420 §12.4.2). This client takes part in those that add and remove members by value, and in
 * external commits (§12.4.3.2), by which a device joins, or takes its own place anew. Whatever else there is is refused.
 */
export type OpenedCommit =
  | {
      readonly kind: "commit";
      readonly sender: MlsMember;
      readonly isExternal: boolean;
      readonly added: readonly MlsMember[];
      readonly removed: readonly MlsMember[];
      readonly state: GroupState;
    }
  | { readonly kind: "removed"; readonly sender: MlsMember; readonly removed: readonly MlsMember[] };

interface Proposed {
  readonly added: readonly LeafNode[];
  readonly removed: readonly MlsMember[];
}

export const noPsks: PskIndex = {
  findPsk() {
    throw new MlsError("unsupported");
  },
};

/**
 * Uses the state up, unless it throws.
 * @throws MlsError unsupported, not_a_member, undecryptable, malformed, unauthentic, expired
 */
export async function openCommit(state: GroupState, message: PublicMessage): Promise<OpenedCommit> {
  const { epoch } = state;
  const commit = commitOf(message);
  const committer = committerOf(message, epoch);
  const crypto = await cryptoOf(epoch.suite);
  const { keySchedule, groupContext, ratchetTree } = epoch.library;
  // Before anything else is said about it: who flips a bit shall not choose the reason for which it is refused.
  await unprotectPublicMessage(keySchedule.membershipKey, groupContext, ratchetTree, message, crypto);
  if (committer?.leaf === epoch.ownLeaf) throw new MlsError("undecryptable");
  const { added, removed } = readChange(commit, committer, epoch);
  const { newState } = await processPublicMessage(epoch.library, message, noPsks, crypto);
  if (newState.groupActiveState.kind === "removedFromGroup") {
    const sender = committer ?? newcomer(commit, newState.ratchetTree);
    wipeState(state);
    return { kind: "removed", sender, removed };
  }
  const next = beginEpoch(newState);
  const sender = committer ?? memberOf(commit.path?.leafNode, next.epoch);
  const newMembers = added.map((leaf) => memberOf(leaf, next.epoch));
  wipeState(state, next.epoch);
  return { kind: "commit", sender, isExternal: !committer, added: newMembers, removed, state: next };
}

function commitOf({ content }: PublicMessage): Commit {
  if (content.contentType !== "commit") throw new MlsError("unsupported");
  return content.commit;
}

/** @returns undefined for a newcomer */
function committerOf({ content: { sender } }: PublicMessage, epoch: Epoch): MlsMember | undefined {
  if (sender.senderType === "member") return epoch.member(sender.leafIndex);
  if (sender.senderType === "new_member_commit") return undefined;
  throw new MlsError("unsupported");
}

function readChange(commit: Commit, committer: MlsMember | undefined, epoch: Epoch): Proposed {
  const leaf = commit.path?.leafNode;
  const proposals = byValue(commit);
  if (!committer) return readExternalProposals(proposals, leaf, epoch);
  assertUnchanged(committer, leaf);
  return readProposals(proposals, epoch);
}

export function byValue({ proposals }: Commit): Proposal[] {
  return proposals.map((item) => {
    if (item.proposalOrRefType === "reference") throw new MlsError("unsupported");
    return item.proposal;
  });
}

function readProposals(proposals: readonly Proposal[], epoch: Epoch): Proposed {
  const added: LeafNode[] = [];
  const removed: MlsMember[] = [];
  for (const proposal of proposals) {
    if (proposal.proposalType === "add") added.push(proposal.add.keyPackage.leafNode);
    else if (proposal.proposalType === "remove") removed.push(epoch.member(proposal.remove.removed));
    else throw new MlsError("unsupported");
  }
  return { added, removed };
}

/**
 * One ExternalInit, and at most the removal of the place that the same device had before (RFC 9420 §12.2). Which device
 * it is, its signature key says: nobody else can have signed the leaf.
 */
function readExternalProposals(proposals: readonly Proposal[], leaf: LeafNode | undefined, epoch: Epoch): Proposed {
  const others = proposals.filter(({ proposalType }) => proposalType !== "external_init");
  const { added, removed } = readProposals(others, epoch);
  const isResync = removed.every(({ publicKey }) => leaf && areEqual(leaf.signaturePublicKey, publicKey));
  const isWellFormed = proposals.length === others.length + 1 && removed.length <= 1 && added.length === 0;
  if (!isWellFormed || !isResync) throw new MlsError("unsupported");
  return { added, removed };
}

/** A member who turns into somebody else would be a change of members that nobody is shown. */
function assertUnchanged({ credential, publicKey }: MlsMember, leaf: LeafNode | undefined): void {
  if (!leaf) return;
  const isSame = areEqual(identityIn(leaf.credential), credential) && areEqual(leaf.signaturePublicKey, publicKey);
  if (!isSame) throw new MlsError("unsupported");
}

/** As it stands in the tree: a signature key does so once. */
function memberOf(leaf: LeafNode | undefined, epoch: Epoch): MlsMember {
  const member = leaf && epoch.memberWith(leaf.signaturePublicKey);
  if (!member) throw new MlsError("malformed");
  return member;
}

/** Who has removed this device by joining, in the leaf that they get: the leftmost one that is free (RFC 9420 §12.4.3.2). */
function newcomer({ path }: Commit, tree: RatchetTree): MlsMember {
  if (!path) throw new MlsError("malformed");
  return memberIn(path.leafNode, nodeToLeafIndex(findBlankLeafNodeIndexOrExtend(tree)));
}
