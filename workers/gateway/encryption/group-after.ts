import { decodeVarLenData } from "ts-mls/codec/variableLength.js";
import type { CiphersuiteImpl } from "ts-mls/crypto/ciphersuite.js";
import { type GroupInfo, verifyGroupInfoSignature } from "ts-mls/groupInfo.js";
import {
  encodeLeafNode,
  type LeafNode,
  verifyLeafNodeSignature,
  verifyLeafNodeSignatureKeyPackage,
} from "ts-mls/leafNode.js";
import { addLeafNode, encodeRatchetTree, type RatchetTree, removeLeafNode } from "ts-mls/ratchetTree.js";
import { treeHashRoot } from "ts-mls/treeHash.js";
import { type LeafIndex, leafToNodeIndex, nodeToLeafIndex, toLeafIndex } from "ts-mls/treemath.js";
import { applyUpdatePath } from "ts-mls/updatePath.js";
import { decodeCertificate } from "../../../shared/certificate.ts";
import { Refusal } from "../../../shared/errors.ts";
import type { ConversationId } from "../../../shared/ids.ts";
import { MAX_KEY_PACKAGE_BYTES, MAX_LEAVES_PER_GROUP } from "../../../shared/limits.ts";
import { groupIdOf } from "../../../shared/mls/framing.ts";
import { cryptoOf, isUsableKey, suiteOf } from "../../../shared/mls/suites.ts";
import { hasUniqueKeys } from "../../../shared/mls/unique-keys.ts";
import { areEqual, decodeTree } from "../../../shared/mls/wire.ts";
import type { LeafOwner } from "../../../shared/rpc.ts";
import { isCapable, isTimely } from "./inspect-key-package.ts";
import { decode, type ReadCommit } from "./read-commit.ts";

/** Group info and tree of an epoch, as they are stored: with these a device can join (RFC 9420 §12.4.3.2). */
export interface Entrance {
  readonly groupInfo: Uint8Array;
  readonly tree: Uint8Array;
}

/**
 * The tree after a commit, made from the one before as every member makes it (RFC 9420 §12.4.2); all that is new in it is
 * verified. With the group info, which has to be of this tree, whoever is in the group then can join it anew: so no commit,
 * whatever else is wrong with it, can keep its members from going on (docs/protocol.md R16).
 * @param before undefined: the commit begins the group, in which its maker is alone
 * @param groupInfo of the epoch that the commit begins, an MLSMessage without the tree
 * @throws Refusal bad_frame; not_allowed for a leaf that is not there, or not the caller's
 */
export async function treeAfter(
  before: Entrance | undefined,
  commit: ReadCommit,
  groupInfo: Uint8Array,
  conversation: ConversationId,
  now: number,
): Promise<Uint8Array> {
  const info = decode(groupInfo, "mls_group_info").groupInfo;
  try {
    const tree: RatchetTree | undefined = before
      ? decodeTree(before.tree)
      : [{ nodeType: "leaf", leaf: commit.own.leaf }];
    if (!tree) throw new Refusal("bad_frame");
    requireOwnLeaves(tree, commit);
    const group = await apply(tree, commit, info, before === undefined);
    const isSame = !before || suiteIn(decode(before.groupInfo, "mls_group_info").groupInfo) === suiteIn(info);
    if (isSame && (await isGood(group, commit, info, conversation, now))) return encodeRatchetTree(group.tree);
  } catch (error) {
    // What makes no sense lets ts-mls and WebCrypto throw, and not always what they say they throw.
    if (error instanceof Refusal) throw error;
  }
  throw new Refusal("bad_frame");
}

/** What a commit makes of a tree, and where its maker stands in it. */
interface Applied {
  readonly tree: RatchetTree;
  readonly own: LeafIndex;
}

/** Of a leaf outside the tree the library would look for the path without an end. @throws Refusal not_allowed */
function requireOwnLeaves(tree: RatchetTree, { leaf, own, removes }: ReadCommit): void {
  const owner = leaf === null ? own : ownerOf(leafAt(tree, leaf));
  const isTheirs = owner?.user === own.user && owner.device === own.device;
  const areThere = removes.every((index) => index !== leaf && leafAt(tree, index));
  if (!isTheirs || !areThere) throw new Refusal("not_allowed");
}

/** @throws whatever the library throws where the commit does not fit the tree */
async function apply(before: RatchetTree, commit: ReadCommit, info: GroupInfo, isNew: boolean): Promise<Applied> {
  const { hash } = await cryptoOf(suiteIn(info));
  let tree = before;
  for (const index of commit.removes) tree = removeLeafNode(tree, toLeafIndex(index));
  for (const { leaf } of commit.adds) [tree] = addLeafNode(tree, leaf);
  let own = toLeafIndex(commit.leaf ?? 0);
  if (commit.leaf === null) {
    const [joined, node] = addLeafNode(tree, commit.own.leaf);
    [tree, own] = [joined, nodeToLeafIndex(node)];
  }
  // A leaf that comes by this commit was no other one before.
  return { tree: await applyUpdatePath(tree, own, commit.path, hash, isNew || commit.leaf === null), own };
}

async function isGood(
  group: Applied,
  commit: ReadCommit,
  info: GroupInfo,
  conversation: ConversationId,
  now: number,
): Promise<boolean> {
  const suite = suiteIn(info);
  const crypto = await cryptoOf(suite);
  const { tree, own } = group;
  const leaves = [commit.own, ...commit.adds].map(({ leaf }) => leaf);
  return (
    tree.length < 2 * MAX_LEAVES_PER_GROUP &&
    hasUniqueKeys(tree) &&
    leaves.every((leaf) => encodeLeafNode(leaf).byteLength <= MAX_KEY_PACKAGE_BYTES) &&
    leaves.every((leaf) => isCapable(leaf, info.groupContext.cipherSuite)) &&
    (await areSigned(commit, own, conversation, now, crypto)) &&
    (await isOf(group, commit, info, conversation, crypto)) &&
    (await areUsable(newKeys(commit, info), crypto))
  );
}

/** The group info is of this epoch of this group, signed by the committer, with nothing in it but what a group here has. */
async function isOf(
  { tree, own }: Applied,
  commit: ReadCommit,
  info: GroupInfo,
  conversation: ConversationId,
  { hash, signature }: CiphersuiteImpl,
): Promise<boolean> {
  const { groupContext, extensions, signer, confirmationTag } = info;
  const { groupId, epoch, treeHash, confirmedTranscriptHash } = groupContext;
  const bytes = (await hash.digest(new Uint8Array())).byteLength;
  return (
    areEqual(groupId, groupIdOf(conversation)) &&
    epoch === BigInt(commit.epoch + 1) &&
    signer === own &&
    groupContext.extensions.length === 0 &&
    extensions.length === 1 &&
    [confirmationTag, confirmedTranscriptHash].every(({ byteLength }) => byteLength === bytes) &&
    areEqual(treeHash, await treeHashRoot(tree, hash)) &&
    verifyGroupInfoSignature(info, commit.own.leaf.signaturePublicKey, signature)
  );
}

async function areSigned(
  { own, adds }: ReadCommit,
  index: LeafIndex,
  conversation: ConversationId,
  now: number,
  { signature }: CiphersuiteImpl,
): Promise<boolean> {
  const isOwn =
    own.leaf.leafNodeSource === "commit" &&
    verifyLeafNodeSignature(own.leaf, groupIdOf(conversation), index, signature);
  const ofAdded = adds.map(
    ({ leaf }) =>
      leaf.leafNodeSource === "key_package" &&
      isTimely(leaf, now) &&
      verifyLeafNodeSignatureKeyPackage(leaf, signature),
  );
  return (await Promise.all([isOwn, ...ofAdded])).every(Boolean);
}

/** All that somebody encrypts to who joins, as far as the commit brings it. */
function newKeys({ own, adds, path }: ReadCommit, { extensions }: GroupInfo): Uint8Array[] {
  const [external] = extensions;
  if (external?.extensionType !== "external_pub") throw new Refusal("bad_frame");
  const [externalKey, bytes] = decodeVarLenData(external.extensionData, 0) ?? [];
  if (!externalKey || bytes !== external.extensionData.byteLength) throw new Refusal("bad_frame");
  const ofLeaves = [own, ...adds].map(({ leaf }) => leaf.hpkePublicKey);
  return [externalKey, ...path.nodes.map(({ hpkePublicKey }) => hpkePublicKey), ...ofLeaves];
}

async function areUsable(keys: readonly Uint8Array[], crypto: CiphersuiteImpl): Promise<boolean> {
  for (const key of keys) if (!(await isUsableKey(key, crypto))) return false;
  return true;
}

/** @throws Refusal bad_frame */
function suiteIn({ groupContext }: GroupInfo) {
  const suite = suiteOf(groupContext.cipherSuite);
  if (suite === undefined) throw new Refusal("bad_frame");
  return suite;
}

function leafAt(tree: RatchetTree, index: number): LeafNode | undefined {
  const node = tree[leafToNodeIndex(toLeafIndex(index))];
  return node?.nodeType === "leaf" ? node.leaf : undefined;
}

/** @throws Refusal bad_frame */
function ownerOf(leaf: LeafNode | undefined): LeafOwner | undefined {
  return leaf && "identity" in leaf.credential ? decodeCertificate(leaf.credential.identity) : undefined;
}
