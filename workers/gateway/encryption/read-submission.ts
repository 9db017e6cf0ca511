import type { ConversationId } from "../../../shared/ids.ts";
import type { LeafOwner, SubmitCommit } from "../../../shared/rpc.ts";
import { type ClaimedLeaf, readCommit } from "./read-commit.ts";
import { readEntrance } from "./read-entrance.ts";

/** What is handed in with a commit, each an MLSMessage (RFC 9420 §6) but the tree. */
export interface GroupBytes {
  readonly commit: Uint8Array;
  readonly groupInfo: Uint8Array;
  readonly tree: Uint8Array;
  readonly welcome: Uint8Array | undefined;
}

/** What the conversation is told of a commit. */
export type ReadSubmission = Pick<SubmitCommit, "epoch" | "leaf" | "own" | "adds" | "removes" | "suite" | "leaves">;

/**
 * @returns also the leaves that the commit brings, of which is not known yet whether they are whose they say they are
 * @throws Refusal bad_frame, not_allowed
 */
export async function readSubmission(
  bytes: GroupBytes,
  conversation: ConversationId,
  caller: LeafOwner,
): Promise<{ readonly read: ReadSubmission; readonly brought: readonly ClaimedLeaf[] }> {
  const commit = await readCommit(bytes, conversation, caller);
  const entrance = await readEntrance(bytes, conversation, commit);
  const { own, adds, ...change } = commit;
  const added = adds.map(({ user, device, digest }) => ({ user, device, digest }));
  return { read: { ...change, own: own.digest, adds: added, ...entrance }, brought: [own, ...adds] };
}
