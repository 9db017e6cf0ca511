import type { Commit } from "ts-mls/commit.js";
import { decodeMlsMessage, encodeMlsMessage, type MlsMessageContent } from "ts-mls/message.js";
import type { Proposal } from "ts-mls/proposal.js";
import type { PublicMessage } from "ts-mls/publicMessage.js";
import { decodeCertificate } from "../../../shared/certificate.ts";
import { Refusal } from "../../../shared/errors.ts";
import type { ConversationId } from "../../../shared/ids.ts";
import { MAX_ADDS_PER_COMMIT, MAX_REMOVES_PER_COMMIT } from "../../../shared/limits.ts";
import { groupIdOf } from "../../../shared/mls/framing.ts";
import type { LeafOwner, SubmitCommit } from "../../../shared/rpc.ts";
import { isBounded } from "./bounded-commit.ts";
import type { OwnedLeaf } from "./certified-leaf.ts";

/** What a commit says of itself and of whom it adds and removes. Whether that may be is for the conversation to say. */
export type ReadCommit = Pick<SubmitCommit, "epoch" | "leaf" | "adds" | "removes">;

/** A leaf that a commit brings, and whose its certificate says it is. */
export interface ClaimedLeaf extends LeafOwner {
  readonly leaf: OwnedLeaf;
}

/** What is handed in with a commit, each an MLSMessage but the tree. */
export interface GroupBytes {
  readonly commit: Uint8Array;
  readonly groupInfo: Uint8Array;
  readonly welcome: Uint8Array | undefined;
}

/**
 * Reads a commit (RFC 9420 §12.4) as far as it is public, and that what goes with it belongs to it. Signatures are for the
 * members to check.
 * @throws Refusal bad_frame; not_allowed for what no commit here may do, or does not name the caller as who it comes from
 */
export function readCommit(
  bytes: GroupBytes,
  conversation: ConversationId,
  caller: LeafOwner,
): { readonly commit: ReadCommit; readonly leaves: readonly ClaimedLeaf[] } {
  if (!isBounded(bytes.commit)) throw new Refusal("bad_frame");
  const { content } = decode(bytes.commit, "mls_public_message").publicMessage;
  if (content.contentType !== "commit" || !isGroup(content.groupId, conversation)) throw new Refusal("bad_frame");
  const epoch = Number(content.epoch);
  if (!Number.isSafeInteger(epoch)) throw new Refusal("bad_frame");
  const own = ownLeaf(content.commit, caller);
  const leaf = leafOf(content);
  const { added, removes } = readProposals(content.commit, leaf === null);
  const adds = added.map(({ user, device }) => ({ user, device }));
  checkGroupInfo(bytes.groupInfo, conversation, epoch + 1);
  if (bytes.welcome) decode(bytes.welcome, "mls_welcome");
  if ((bytes.welcome !== undefined) !== adds.length > 0) throw new Refusal("bad_frame");
  return { commit: { epoch, leaf, adds, removes }, leaves: [own, ...added] };
}

type Format = MlsMessageContent["wireformat"];
type Decoded<F extends Format> = Extract<MlsMessageContent, { wireformat: F }>;

/** Bad is also what could be written otherwise, or is followed by something: others might read it otherwise. */
function decode<F extends Format>(bytes: Uint8Array, format: F): Decoded<F> {
  try {
    const [message] = decodeMlsMessage(bytes, 0) ?? [];
    if (message && isEqual(encodeMlsMessage(message), bytes) && isOf(message, format)) return message;
  } catch {
    // What makes no sense lets ts-mls throw this or that.
  }
  throw new Refusal("bad_frame");
}

function isOf<F extends Format>(message: MlsMessageContent, format: F): message is Decoded<F> {
  return message.wireformat === format;
}

function leafOf({ sender }: PublicMessage["content"]): number | null {
  if (sender.senderType === "member") return sender.leafIndex;
  if (sender.senderType === "new_member_commit") return null;
  throw new Refusal("not_allowed");
}

/** With an update path every commit renews its maker's keys, and shows whose it is. */
function ownLeaf({ path }: Commit, { user, device }: LeafOwner): ClaimedLeaf {
  if (!path) throw new Refusal("not_allowed");
  const own = claimed(path.leafNode);
  if (own.user !== user || own.device !== device) throw new Refusal("not_allowed");
  return own;
}

/** Adds and removes by value; to join without help one ExternalInit beside removes (RFC 9420 §12.2), and nothing else ever. */
function readProposals(
  { proposals }: Commit,
  isExternal: boolean,
): { readonly added: ClaimedLeaf[]; readonly removes: number[] } {
  const added: ClaimedLeaf[] = [];
  const removes: number[] = [];
  let inits = 0;
  for (const item of proposals) {
    const proposal: Proposal | undefined = item.proposalOrRefType === "proposal" ? item.proposal : undefined;
    if (proposal?.proposalType === "add") added.push(claimed(proposal.add.keyPackage.leafNode));
    else if (proposal?.proposalType === "remove") removes.push(proposal.remove.removed);
    else if (proposal?.proposalType === "external_init") inits++;
    else throw new Refusal("not_allowed");
  }
  const isTooMuch = added.length > MAX_ADDS_PER_COMMIT || removes.length > MAX_REMOVES_PER_COMMIT;
  if (isTooMuch || inits !== (isExternal ? 1 : 0)) throw new Refusal("not_allowed");
  return { added, removes };
}

/** @throws Refusal bad_frame for what is no certificate */
function claimed(leaf: OwnedLeaf): ClaimedLeaf {
  const { credential } = leaf;
  if (credential.credentialType !== "basic" || !("identity" in credential)) throw new Refusal("bad_frame");
  const { user, device } = decodeCertificate(credential.identity);
  return { user, device, leaf };
}

function checkGroupInfo(bytes: Uint8Array, conversation: ConversationId, epoch: number): void {
  const { groupContext } = decode(bytes, "mls_group_info").groupInfo;
  const isNext = groupContext.epoch === BigInt(epoch) && isGroup(groupContext.groupId, conversation);
  if (!isNext) throw new Refusal("bad_frame");
}

function isGroup(groupId: Uint8Array, conversation: ConversationId): boolean {
  return isEqual(groupId, groupIdOf(conversation));
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, index) => byte === b[index]);
}
