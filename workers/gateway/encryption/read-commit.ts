import type { Commit } from "ts-mls/commit.js";
import type { LeafNode } from "ts-mls/leafNode.js";
import type { Proposal } from "ts-mls/proposal.js";
import type { PublicMessage } from "ts-mls/publicMessage.js";
import type { UpdatePath } from "ts-mls/updatePath.js";
import { decodeCertificate } from "../../../shared/certificate.ts";
import { Refusal } from "../../../shared/errors.ts";
import type { ConversationId } from "../../../shared/ids.ts";
import { MAX_ADDS_PER_COMMIT, MAX_REMOVES_PER_COMMIT } from "../../../shared/limits.ts";
import { groupIdOf } from "../../../shared/mls/framing.ts";
import { areEqual, decodeMessage, type Format, type Message } from "../../../shared/mls/wire.ts";
import type { LeafOwner, SubmitCommit } from "../../../shared/rpc.ts";
import { isBounded } from "./bounded-commit.ts";

/** A leaf that a commit brings, and whose its certificate says it is. */
export interface ClaimedLeaf extends LeafOwner {
  readonly leaf: LeafNode;
}

/** What a commit says of itself and of whom it adds and removes. Whether that may be is for the conversation to say. */
export interface ReadCommit extends Pick<SubmitCommit, "epoch" | "leaf" | "removes"> {
  /** The committer's. */
  readonly own: ClaimedLeaf;
  readonly adds: readonly ClaimedLeaf[];
  readonly path: UpdatePath;
}

/**
 * Reads a commit (RFC 9420 §12.4) as far as it is public. Signatures are for the members to check.
 * @param commit an MLSMessage, as is the Welcome
 * @throws Refusal bad_frame; not_allowed for what no commit here may do, or does not name the caller as who it comes from
 */
export function readCommit(
  { commit, welcome }: { commit: Uint8Array; welcome: Uint8Array | undefined },
  conversation: ConversationId,
  caller: LeafOwner,
): ReadCommit {
  if (!isBounded(commit)) throw new Refusal("bad_frame");
  const { content } = decode(commit, "mls_public_message").publicMessage;
  const isOurs = areEqual(content.groupId, groupIdOf(conversation));
  if (content.contentType !== "commit" || !isOurs) throw new Refusal("bad_frame");
  const epoch = Number(content.epoch);
  if (!Number.isSafeInteger(epoch)) throw new Refusal("bad_frame");
  const leaf = leafOf(content);
  const { path } = content.commit;
  // With one every commit renews its maker's keys, and shows whose it is.
  if (!path) throw new Refusal("not_allowed");
  const own = claimed(path.leafNode);
  if (own.user !== caller.user || own.device !== caller.device) throw new Refusal("not_allowed");
  const { added, removes } = readProposals(content.commit, leaf === null);
  const adds = added.map(claimed);
  if (welcome) decode(welcome, "mls_welcome");
  if ((welcome !== undefined) !== adds.length > 0) throw new Refusal("bad_frame");
  return { epoch, leaf, own, adds, removes, path };
}

/** @throws Refusal bad_frame, also for what could be written otherwise */
export function decode<F extends Format>(bytes: Uint8Array, format: F): Message<F> {
  try {
    const message = decodeMessage(bytes, [format]);
    if (message) return message;
  } catch {
    // What makes no sense lets ts-mls throw this or that.
  }
  throw new Refusal("bad_frame");
}

function leafOf({ sender }: PublicMessage["content"]): number | null {
  if (sender.senderType === "member") return sender.leafIndex;
  if (sender.senderType === "new_member_commit") return null;
  throw new Refusal("not_allowed");
}

/** Adds and removes by value; to join without help one ExternalInit beside removes (RFC 9420 §12.2), and nothing else ever. */
function readProposals(
  { proposals }: Commit,
  isExternal: boolean,
): { readonly added: LeafNode[]; readonly removes: number[] } {
  const added: LeafNode[] = [];
  const removes: number[] = [];
  let inits = 0;
  for (const item of proposals) {
    const proposal: Proposal | undefined = item.proposalOrRefType === "proposal" ? item.proposal : undefined;
    if (proposal?.proposalType === "add") added.push(proposal.add.keyPackage.leafNode);
    else if (proposal?.proposalType === "remove") removes.push(proposal.remove.removed);
    else if (proposal?.proposalType === "external_init") inits++;
    else throw new Refusal("not_allowed");
  }
  const isTooMuch = added.length > MAX_ADDS_PER_COMMIT || removes.length > MAX_REMOVES_PER_COMMIT;
  if (isTooMuch || inits !== (isExternal ? 1 : 0)) throw new Refusal("not_allowed");
  return { added, removes };
}

/** @throws Refusal bad_frame for what is no certificate */
function claimed(leaf: LeafNode): ClaimedLeaf {
  const { credential } = leaf;
  if (credential.credentialType !== "basic" || !("identity" in credential)) throw new Refusal("bad_frame");
  const { user, device } = decodeCertificate(credential.identity);
  return { user, device, leaf };
}
