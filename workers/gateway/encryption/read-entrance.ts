import type { AuthenticationService } from "ts-mls/authenticationService.js";
import { validateRatchetTree } from "ts-mls/clientState.js";
import { decodeVarLenData } from "ts-mls/codec/variableLength.js";
import type { CiphersuiteImpl } from "ts-mls/crypto/ciphersuite.js";
import { type GroupInfo, verifyGroupInfoSignature } from "ts-mls/groupInfo.js";
import { type LeafNode, verifyLeafNodeSignature, verifyLeafNodeSignatureKeyPackage } from "ts-mls/leafNode.js";
import { defaultLifetimeConfig } from "ts-mls/lifetimeConfig.js";
import type { RatchetTree } from "ts-mls/ratchetTree.js";
import { directPath, leafToNodeIndex, leafWidth, toLeafIndex } from "ts-mls/treemath.js";
import { Refusal } from "../../../shared/errors.ts";
import type { ConversationId } from "../../../shared/ids.ts";
import { groupIdOf } from "../../../shared/mls/framing.ts";
import { cryptoOf, isUsableKey, suiteOf } from "../../../shared/mls/suites.ts";
import { areEqual, decodeTree } from "../../../shared/mls/wire.ts";
import type { SubmitCommit } from "../../../shared/rpc.ts";
import { isBoundedTree } from "./bounded.ts";
import { type ClaimedLeaf, decode, digestOf, type ReadCommit } from "./read-commit.ts";

/** What a commit says of the group after it. Whether it follows from the group before is for the conversation to say. */
export type ReadEntrance = Pick<SubmitCommit, "suite" | "leaves">;

/** Group info and tree of the epoch that a commit begins. */
interface Entrance {
  readonly groupInfo: GroupInfo;
  readonly tree: RatchetTree;
}

/**
 * Checks that whoever is in the group after a commit could join it with what is handed in for that (RFC 9420 §12.4.3.2), so
 * that no commit, whatever else is wrong with it, can keep its members from going on (docs/protocol.md R16). Of the leaves it
 * verifies those that the commit brings; the conversation knows the others.
 * @param bytes the group info as an MLSMessage, without the tree
 * @throws Refusal bad_frame
 */
export async function readEntrance(
  bytes: { readonly groupInfo: Uint8Array; readonly tree: Uint8Array },
  conversation: ConversationId,
  commit: ReadCommit,
): Promise<ReadEntrance> {
  // What makes no sense lets ts-mls and WebCrypto throw, and not always what they say they throw.
  const read = await tryToRead(bytes, conversation, commit).catch(() => undefined);
  if (!read) throw new Refusal("bad_frame");
  return read;
}

/** Undefined, like anything that is thrown: it is bad. */
async function tryToRead(
  bytes: { readonly groupInfo: Uint8Array; readonly tree: Uint8Array },
  conversation: ConversationId,
  commit: ReadCommit,
): Promise<ReadEntrance | undefined> {
  const { groupInfo } = decode(bytes.groupInfo, "mls_group_info");
  const tree = isBoundedTree(bytes.tree) ? decodeTree(bytes.tree) : undefined;
  const { groupId, epoch, cipherSuite } = groupInfo.groupContext;
  const isNext = areEqual(groupId, groupIdOf(conversation)) && epoch === BigInt(commit.epoch + 1);
  const suite = suiteOf(cipherSuite);
  if (!tree || !isNext || suite === undefined) return undefined;
  const crypto = await cryptoOf(suite);
  const entrance = { groupInfo, tree };
  const isGood =
    (await isSignedBy(entrance, commit.own, crypto)) &&
    (await isSoundTree(entrance, crypto)) &&
    (await areSigned(commit, entrance, crypto)) &&
    (await areUsable(keysOf(entrance, commit), crypto));
  return isGood ? { suite, leaves: await digestsOf(tree) } : undefined;
}

/** By the committer, and with nothing in it but what a group here has. */
async function isSignedBy({ groupInfo, tree }: Entrance, own: ClaimedLeaf, crypto: CiphersuiteImpl): Promise<boolean> {
  const { groupContext, extensions, signer, confirmationTag } = groupInfo;
  const leaf = leafAt(tree, signer);
  const hashes = [confirmationTag, groupContext.confirmedTranscriptHash];
  const bytes = (await crypto.hash.digest(new Uint8Array())).byteLength;
  return (
    (await digestOf(leaf)) === own.digest &&
    groupContext.extensions.length === 0 &&
    extensions.length === 1 &&
    hashes.every(({ byteLength }) => byteLength === bytes) &&
    verifyGroupInfoSignature(groupInfo, leaf.signaturePublicKey, crypto.signature)
  );
}

/** All that RFC 9420 §12.4.3.1 asks of a tree but who its leaves are. */
async function isSoundTree({ groupInfo: { groupContext }, tree }: Entrance, crypto: CiphersuiteImpl): Promise<boolean> {
  const signature = { ...crypto.signature, verify: async () => true };
  const suite = { ...crypto, signature };
  const { treeHash } = groupContext;
  return !(await validateRatchetTree(tree, groupContext, defaultLifetimeConfig, anybody, treeHash, suite));
}

const anybody: AuthenticationService = { validateCredential: async () => true };

async function areSigned({ own, adds }: ReadCommit, { groupInfo }: Entrance, { signature }: CiphersuiteImpl) {
  const { groupContext, signer } = groupInfo;
  const ofAdded = adds.map(
    ({ leaf }) => leaf.leafNodeSource === "key_package" && verifyLeafNodeSignatureKeyPackage(leaf, signature),
  );
  const isOwn =
    own.leaf.leafNodeSource === "commit" &&
    verifyLeafNodeSignature(own.leaf, groupContext.groupId, toLeafIndex(signer), signature);
  return (await Promise.all([isOwn, ...ofAdded])).every(Boolean);
}

/** All that somebody encrypts to who joins, as far as the commit brings them. The other nodes hang on other leaves' parent hashes. */
function keysOf({ groupInfo, tree }: Entrance, { own, adds }: ReadCommit): Uint8Array[] {
  const { extensions, signer } = groupInfo;
  const [external] = extensions;
  if (external?.extensionType !== "external_pub") throw new Refusal("bad_frame");
  const [externalKey, bytes] = decodeVarLenData(external.extensionData, 0) ?? [];
  if (!externalKey || bytes !== external.extensionData.byteLength) throw new Refusal("bad_frame");
  const path = directPath(leafToNodeIndex(toLeafIndex(signer)), leafWidth(tree.length)).map((index) => tree[index]);
  const onPath = path.flatMap((node) => (node?.nodeType === "parent" ? node.parent.hpkePublicKey : []));
  return [externalKey, ...onPath, ...[own, ...adds].map(({ leaf }) => leaf.hpkePublicKey)];
}

function leafAt(tree: RatchetTree, index: number): LeafNode {
  const node = tree[leafToNodeIndex(toLeafIndex(index))];
  if (node?.nodeType !== "leaf") throw new Refusal("bad_frame");
  return node.leaf;
}

async function areUsable(keys: readonly Uint8Array[], crypto: CiphersuiteImpl): Promise<boolean> {
  for (const key of keys) if (!(await isUsableKey(key, crypto))) return false;
  return true;
}

/** Blank ones at the right end are left out, as in the encoded tree. */
async function digestsOf(tree: RatchetTree): Promise<(string | null)[]> {
  const nodes = tree.filter((_, index) => index % 2 === 0);
  const leaves = nodes.map((node) => (node?.nodeType === "leaf" ? digestOf(node.leaf) : null));
  const digests = await Promise.all(leaves);
  while (digests.at(-1) === null) digests.pop();
  return digests;
}
