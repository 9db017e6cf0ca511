import type { Context, Hono } from "hono";
import * as api from "../../../shared/api/encryption.ts";
import { Refusal } from "../../../shared/errors.ts";
import { type ConversationId, directPeer, isForeign } from "../../../shared/ids.ts";
import { MAX_BODY_BYTES } from "../../../shared/limits.ts";
import { encodeReference } from "../../../shared/mls/framing.ts";
import type { Stored, SubmitCommit, SubmitCommitReply } from "../../../shared/rpc.ts";
import { admit } from "../auth/admission.ts";
import type { GatewayTypes } from "../context.ts";
import { locationHintOf } from "../location.ts";
import { type Call, serve } from "../serve.ts";
import { fromBase64url, toBase64url } from "./base64url.ts";
import { isCertified } from "./certified-leaf.ts";
import { type Entrance, treeAfter } from "./group-after.ts";
import { expectGroupFiles, loadGroupBytes, readGroupBytes, storeGroupBytes } from "./group-files.ts";
import { type ClaimedLeaf, type ReadCommit, readCommit } from "./read-commit.ts";

type Submitting = Call<typeof api.submitCommit>;
/** A commit with all that belongs to it. */
type Bytes = Record<"commit" | "groupInfo", Uint8Array<ArrayBuffer>> & {
  readonly welcome: Uint8Array<ArrayBuffer> | undefined;
};
type StoredParts = Pick<SubmitCommit, "commit" | "groupInfo" | "tree" | "welcome">;

/** The delivery service (RFC 9750 §5): commits in, and what devices need to join out. */
export function mountCommits(gateway: Hono<GatewayTypes>): void {
  serve(gateway, api.submitCommit, submitCommit);
  serve(gateway, api.viewGroup, viewGroup);
  serve(gateway, api.viewEpoch, viewEpoch);
}

async function submitCommit(call: Submitting) {
  const { c, caller, params } = call;
  if (isForeign(params.conversation, caller.user)) throw new Refusal("not_found");
  const bytes = decodeAll(call.body);
  const read = readCommit(bytes, params.conversation, caller);
  const before = await groupBefore(call, read);
  const tree = before && (await treeAfter(before.entrance, read, bytes.groupInfo, params.conversation, Date.now()));
  // The first contact is made here: to write in a conversation costs nothing any more once it has begun.
  const isFirst = read.epoch === 0 && directPeer(params.conversation, caller.user) !== undefined;
  if (isFirst) await admit(c.env, caller, "first_contact");
  await requireCertified(c, [read.own, ...read.adds]);
  const parts = tree && (await storeAll(call, bytes, new Uint8Array(tree)));
  const submission = submissionOf(call, read, { body: await bodyOf(bytes.commit), ...parts });
  return answerOf(await conversationOf(c, params.conversation).submitCommit(submission));
}

/**
 * What a commit changes: nothing yet, if it begins the group.
 * @returns undefined where that is in another epoch, or nothing for the caller: the conversation says what they have missed
 */
async function groupBefore(
  { c, caller, params }: Submitting,
  { epoch, leaf }: ReadCommit,
): Promise<{ readonly entrance: Entrance | undefined } | undefined> {
  if (epoch === 0 && leaf !== null) return { entrance: undefined };
  const reply = await conversationOf(c, params.conversation).readGroup({ user: caller.user });
  if (!reply.ok || reply.epoch !== epoch) return undefined;
  const [groupInfo, tree] = await Promise.all(
    [reply.groupInfo, reply.tree].map((stored) => readGroupBytes(c.env, stored)),
  );
  // A file that has just gone did so with a commit that was taken meanwhile.
  return groupInfo && tree && { entrance: { groupInfo, tree } };
}

/**
 * Each leaf has to be certified by the account key that its person has given the server: whoever adds somebody could
 * otherwise add a device of their own under that name. @throws Refusal not_allowed; not_found for somebody who has none
 */
async function requireCertified(c: Context<GatewayTypes>, leaves: readonly ClaimedLeaf[]): Promise<void> {
  const users = [...new Set(leaves.map(({ user }) => user))];
  const asked = users.map(async (user) => [user, await c.env.USER.getByName(user).accountKey()] as const);
  const keys = new Map(await Promise.all(asked));
  for (const { user, device, leaf } of leaves) {
    const accountKey = keys.get(user);
    if (accountKey === undefined) throw new Refusal("not_found");
    const isTheirs = await isCertified(leaf, { user, device, accountKey }).catch(() => false);
    if (!isTheirs) throw new Refusal("not_allowed");
  }
}

async function viewGroup({ c, caller, params }: Call<typeof api.viewGroup>) {
  if (isForeign(params.conversation, caller.user)) throw new Refusal("not_found");
  const reply = await conversationOf(c, params.conversation).readGroup({ user: caller.user });
  if (!reply.ok) throw new Refusal(reply.code);
  const { epoch, seq, orphans } = reply;
  const [groupInfo, tree] = await Promise.all([
    loadGroupBytes(c.env, reply.groupInfo),
    loadGroupBytes(c.env, reply.tree),
  ]);
  return { epoch, seq, groupInfo, tree, orphans };
}

async function viewEpoch({ c, caller, params }: Call<typeof api.viewEpoch>) {
  if (isForeign(params.conversation, caller.user)) throw new Refusal("not_found");
  const reply = await conversationOf(c, params.conversation).readEpoch({ user: caller.user, seq: params.seq });
  if (!reply.ok) throw new Refusal(reply.code);
  const load = async (stored: Stored | undefined) => stored && loadGroupBytes(c.env, stored);
  const [commit, welcome, tree] = await Promise.all([reply.commit, reply.welcome, reply.tree].map(load));
  return { ...(commit && { commit }), ...(welcome && { welcome }), ...(tree && { tree }) };
}

function decodeAll({ commit, groupInfo, welcome }: Submitting["body"]): Bytes {
  return {
    commit: fromBase64url(commit),
    groupInfo: fromBase64url(groupInfo),
    welcome: welcome === undefined ? undefined : fromBase64url(welcome),
  };
}

/** The log gets the commit itself if a frame can carry it, else a reference, by which what was fetched can be told. */
async function bodyOf(commit: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  if (!isLarge(commit)) return commit;
  const sha256 = await crypto.subtle.digest("SHA-256", commit);
  return encodeReference(commit.byteLength, new Uint8Array(sha256));
}

async function storeAll(
  { c, params, requestId }: Submitting,
  { commit, groupInfo, welcome }: Bytes,
  tree: Uint8Array<ArrayBuffer>,
): Promise<StoredParts> {
  const where = { conversation: params.conversation, requestId };
  const parts = { commit, "group-info": groupInfo, tree, ...(welcome && { welcome }) };
  await expectGroupFiles(conversationOf(c, params.conversation), where, parts);
  return {
    ...(isLarge(commit) && { commit: await storeGroupBytes(c.env, where, "commit", commit) }),
    groupInfo: await storeGroupBytes(c.env, where, "group-info", groupInfo),
    tree: await storeGroupBytes(c.env, where, "tree", tree),
    ...(welcome && { welcome: await storeGroupBytes(c.env, where, "welcome", welcome) }),
  };
}

function isLarge(commit: Uint8Array): boolean {
  return commit.byteLength > MAX_BODY_BYTES;
}

function submissionOf(
  { caller: { user, device }, body: { id, after }, requestId }: Submitting,
  { epoch, leaf, adds, removes }: ReadCommit,
  stored: StoredParts & Pick<SubmitCommit, "body">,
): SubmitCommit {
  const added = adds.map(({ user: whose, device: which }) => ({ user: whose, device: which }));
  return { user, device, id, after, requestId, epoch, leaf, adds: added, removes: [...removes], ...stored };
}

function answerOf(reply: SubmitCommitReply) {
  if (reply.ok) return { accepted: true, seq: reply.seq, at: reply.at } as const;
  if (reply.code !== "epoch_stale") throw new Refusal(reply.code, reply.retry);
  const entries = reply.entries.map(({ body, ...entry }) => ({ ...entry, body: toBase64url(body) }));
  return { accepted: false, epoch: reply.epoch, entries, through: reply.through } as const;
}

/** Whoever asks first decides where it lives. */
function conversationOf(c: Context<GatewayTypes>, conversation: ConversationId) {
  return c.env.CONVERSATION.getByName(conversation, locationHintOf(c.req.raw));
}
