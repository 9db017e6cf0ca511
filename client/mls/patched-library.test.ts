import { type ClientState, createGroup, joinGroup, validateRatchetTree } from "ts-mls/clientState.js";
import { createCommit } from "ts-mls/createCommit.js";
import { deriveSecret } from "ts-mls/crypto/kdf.js";
import { initializeEpoch } from "ts-mls/keySchedule.js";
import { verifyParentHashes } from "ts-mls/parentHash.js";
import { getCommitSecret, pathToRoot } from "ts-mls/pathSecrets.js";
import { processPublicMessage } from "ts-mls/processMessages.js";
import { emptyPskIndex } from "ts-mls/pskIndex.js";
import { addLeafNode, encodeRatchetTree, type RatchetTree } from "ts-mls/ratchetTree.js";
import { treeHashRoot } from "ts-mls/treeHash.js";
import { toNodeIndex } from "ts-mls/treemath.js";
import { describe, expect, test } from "vitest";
import { commitAmong, follow, hearOf, makeGroups, makeKeys, makeNewcomer, mls, utf8 } from "../../test/mls/device.ts";
import { addOf, craftCommit, craftKeyPackagePair, libraryOf, suite1, withHpke } from "../../test/mls/insider.ts";
import type { Group } from "./mls.ts";
import { readMessage, readTree } from "./wire.ts";

/** What patches/ mends in ts-mls 1.6.4. Each of these fails with the package as it is published. */

const names = (count: number) => Array.from({ length: count }, (_, at) => `device ${at}`);

/** 14 devices, of which 9 and 11 are gone; leaf 8 has set the node over leaves 8–11, the one over 8–15 and the root. */
async function makeGroupsWithHoles(): Promise<Group[]> {
  const groups = await makeGroups(names(14));
  const made = await mls.commit(groups[0]!, { remove: [9, 11] });
  const alive = groups.filter((_, at) => at !== 9 && at !== 11);
  for (const [at, group] of alive.entries()) alive[at] = at === 0 ? made.group : await follow(group, made.commit);
  await commitBy(8, alive);
  return alive;
}

/**
 * Then leaf 9 was added, 12 has set the node over 8–15 anew, and leaf 11 was added. So the node over 8–11 lists 9 and 11,
 * and the one above it 11 alone.
 */
async function makeUnevenGroups(): Promise<Group[]> {
  const groups = await makeGroupsWithHoles();
  await commitBy(0, groups, "device 9 anew");
  await commitBy(12, groups);
  await commitBy(0, groups, "device 11 anew");
  return groups;
}

async function commitBy(leaf: number, groups: Group[], newcomer?: string): Promise<void> {
  const at = groups.findIndex(({ ownLeaf }) => ownLeaf === leaf);
  const add = newcomer ? [(await makeNewcomer(newcomer)).keyPackage.keyPackage] : [];
  await commitAmong(groups, at, { add });
}

const LOWER = 19;
const UPPER = 23;
const ROOT = 15;

function unmergedAt(tree: RatchetTree, node: number): number[] {
  const parent = tree[node];
  if (parent?.nodeType !== "parent") throw new Error("no parent node");
  return parent.parent.unmergedLeaves;
}

function withUnmerged(tree: RatchetTree, node: number, unmergedLeaves: number[]): RatchetTree {
  const parent = tree[node];
  if (parent?.nodeType !== "parent") throw new Error("no parent node");
  return tree.with(node, { nodeType: "parent", parent: { ...parent.parent, unmergedLeaves } });
}

async function faultOf(state: ClientState, tree: RatchetTree) {
  const { lifetimeConfig, authService } = state.clientConfig;
  const hash = await treeHashRoot(tree, suite1.hash);
  return validateRatchetTree(tree, state.groupContext, lifetimeConfig, authService, hash, suite1);
}

describe("joining a tree with unmerged leaves (RFC 9420 §12.4.3.1)", () => {
  test("mended: the nodes between list the leaf, among others maybe; their lists need not be equal", async () => {
    const groups = await makeUnevenGroups();
    const { ratchetTree } = libraryOf(groups[0]!);
    expect([unmergedAt(ratchetTree, LOWER), unmergedAt(ratchetTree, UPPER)]).toEqual([[9, 11], [11]]);
    const newcomer = await makeNewcomer("newcomer");
    const made = await commitAmong(groups, 0, { add: [newcomer.keyPackage.keyPackage] });
    const { group } = await mls.join(made.welcome!, made.tree, [newcomer.keyPackage]);
    expect(await hearOf([groups[0]!, group], 0, "welcome")).toEqual(["welcome"]);
  });

  test("mended: a node between that lists the leaf not is refused, and a leaf that is not below, or nowhere", async () => {
    const [group] = await makeUnevenGroups();
    const state = libraryOf(group!);
    const { ratchetTree } = state;
    expect(await faultOf(state, ratchetTree)).toBeUndefined();
    const spoilt = {
      "non-blank intermediate": withUnmerged(ratchetTree, LOWER, [9]),
      "not in increasing order": withUnmerged(ratchetTree, LOWER, [11, 9]),
      "not represent a descendant": withUnmerged(ratchetTree, UPPER, [1, 11]),
      "not represent a non-blank leaf": withUnmerged(ratchetTree, UPPER, [11, 0x7fff_ffff]),
    };
    for (const [fault, tree] of Object.entries(spoilt)) {
      expect((await faultOf(state, tree))?.message).toContain(fault);
    }
  });
});

describe("parent hashes (RFC 9420 §7.9.2)", () => {
  test("mended: one does not hold where a leaf is hidden that the parent's key was never given to", async () => {
    const [group] = await makeGroupsWithHoles();
    const { leafNode } = (await craftKeyPackagePair(await makeKeys("newcomer"))).publicPackage;
    const [tree] = addLeafNode(libraryOf(group!).ratchetTree, leafNode);
    expect([LOWER, UPPER, ROOT].map((node) => unmergedAt(tree, node))).toEqual([[9], [9], [9]]);
    expect(await verifyParentHashes(tree, suite1.hash)).toBe(true);
    expect(await verifyParentHashes(withUnmerged(tree, ROOT, []), suite1.hash)).toBe(false);
  });

  test("mended: they are verified with some hashes for each node, not for each pair of leaf and node", async () => {
    const [group] = await makeGroups(names(33));
    const made = await mls.commit(group!, {});
    let digests = 0;
    const digest = (data: Uint8Array) => {
      digests++;
      return suite1.hash.digest(data);
    };
    const tree = readTree(made.tree);
    expect(await verifyParentHashes(tree, { ...suite1.hash, digest })).toBe(true);
    expect(digests).toBeLessThan(3 * tree.length);
  });
});

describe("a commit with new extensions for the group (RFC 9420 §12.4)", () => {
  const extensions = [{ extensionType: 0xf001, extensionData: utf8("x") }];
  const proposal = { proposalType: "group_context_extensions", groupContextExtensions: { extensions } } as const;

  test.each([
    ["mended: must have an update path", false],
    ["mended: encrypts the update path in the context of the new extensions", true],
  ])("%s", async (_, forceUpdatePath) => {
    const [ann, bob] = await makeGroups(["ann", "bob"]);
    const commit = await craftCommit(libraryOf(ann!), [proposal], { forceUpdatePath });
    const { publicMessage } = readMessage(commit, "mls_public_message");
    expect(publicMessage.content).toMatchObject({ commit: { path: { leafNode: { leafNodeSource: "commit" } } } });
    const { newState } = await processPublicMessage(libraryOf(bob!), publicMessage, emptyPskIndex, suite1);
    expect(newState.groupContext.extensions).toEqual(extensions);
  });
});

describe("a member who is removed", () => {
  test("mended: is told so also where another takes the leaf in the same commit", async () => {
    const [ann, bob] = await makeGroups(["ann", "bob"]);
    const cyd = await makeNewcomer("cyd");
    const made = await mls.commit(ann!, { remove: [1], add: [cyd.keyPackage.keyPackage] });
    expect(made.group.members.map(({ leaf }) => leaf)).toEqual([0, 1]);
    expect(await mls.open(bob!, made.commit)).toMatchObject({ kind: "removed" });
  });

  test("mended: is told so by the external commit of whoever takes their place", async () => {
    const groups = await makeGroups(["ann", "bob"]);
    const keys = await makeKeys("cyd");
    const made = await commitAmong(groups, 0);
    const first = await mls.joinExternally(made.groupInfo, made.tree, keys, Date.now());
    const again = await mls.joinExternally(first.groupInfo, first.tree, keys, Date.now());
    expect(await mls.open(first.group, again.commit)).toMatchObject({ kind: "removed" });
  });

  test("mended: cannot derive the secrets of those who are left, also if it is one alone", async () => {
    const [ann, bob] = await makeGroups(["ann", "bob"]);
    const { initSecret } = structuredClone(libraryOf(bob!).keySchedule);
    const { group } = await mls.commit(ann!, { remove: [1] });
    const { groupContext, keySchedule } = libraryOf(group);
    const zeroes = new Uint8Array(suite1.kdf.size);
    const derived = await initializeEpoch(initSecret, zeroes, groupContext, zeroes, suite1.kdf);
    expect(keySchedule.epochAuthenticator).not.toEqual(derived.keySchedule.epochAuthenticator);
  });
});

describe("the commit secret (RFC 9420 §12.4.1)", () => {
  test("mended: is derived from the last node of the path, which is not the root where the other half is blank", async () => {
    const groups = await makeGroups(names(4));
    await commitAmong(groups, 2);
    const made = await mls.commit(groups[2]!, { remove: [0, 1] });
    const { ratchetTree } = libraryOf(made.group);
    expect([ratchetTree[3], ratchetTree[5]?.nodeType]).toEqual([undefined, "parent"]);
    const secret = crypto.getRandomValues(new Uint8Array(32));
    const derived = await getCommitSecret(ratchetTree, toNodeIndex(5), secret, suite1.kdf);
    expect(derived).toEqual(await deriveSecret(secret, "path", suite1.kdf));
    expect(Object.keys(await pathToRoot(ratchetTree, toNodeIndex(5), secret, suite1.kdf))).toEqual(["5"]);
    expect(await hearOf([made.group, await follow(groups[3]!, made.commit)], 0, "two left")).toEqual(["two left"]);
  });
});

describe("a path secret", () => {
  /** Somebody whose nodes have other public keys than those that follow from the secrets that they send. */
  async function lyingAbout(calls: readonly number[]) {
    let call = 0;
    return withHpke({
      deriveKeyPair: async (seed) => {
        const [own, other] = [await suite1.hpke.deriveKeyPair(seed), await suite1.hpke.generateKeyPair()];
        return calls.includes(call++) ? { ...own, publicKey: other.publicKey } : own;
      },
    });
  }

  test("mended: that does not belong to the public key in the tree is refused (RFC 9420 §7.5)", async () => {
    const [ann, bob] = await makeGroups(["ann", "bob"]);
    const commit = await craftCommit(libraryOf(ann!), [], { crypto: await lyingAbout([1]) });
    await expect(mls.open(bob!, commit)).rejects.toMatchObject({ code: "malformed" });
    expect((await mls.open(bob!, await craftCommit(libraryOf(ann!), []))).kind).toBe("commit");
  });

  test("mended: and neither is one accepted from a Welcome (RFC 9420 §12.4.3.1)", async () => {
    const [ann, bob] = [
      await craftKeyPackagePair(await makeKeys("ann")),
      await craftKeyPackagePair(await makeKeys("bob")),
    ];
    const state = await createGroup(utf8("c"), ann.publicPackage, ann.privatePackage, [], suite1);
    const joinAfter = async (cipherSuite: typeof suite1) => {
      const options = { extraProposals: [addOf(bob.publicPackage)], wireAsPublicMessage: true, forceUpdatePath: true };
      const { welcome, newState } = await createCommit({ state, cipherSuite }, options);
      const { publicPackage, privatePackage } = bob;
      return joinGroup(welcome!, publicPackage, privatePackage, emptyPskIndex, suite1, newState.ratchetTree);
    };
    await expect(joinAfter(await lyingAbout([1]))).rejects.toThrow("Path secret does not match");
    await expect(joinAfter(suite1)).resolves.toMatchObject({ groupContext: { epoch: 1n } });
  });
});

test("mended: the external public key stands in a GroupInfo with its length (RFC 9420 §12.4.3.2)", async () => {
  const [group] = await makeGroups(["ann"]);
  const { groupInfo } = readMessage((await mls.commit(group!, {})).groupInfo, "mls_group_info");
  const data = groupInfo.extensions.find(({ extensionType }) => extensionType === "external_pub")?.extensionData;
  expect([data?.byteLength, data?.[0]]).toEqual([33, 32]);
});

test("mended: the path of a commit that only adds renews the committer's keys", async () => {
  const [ann] = await makeGroups(["ann"]);
  const bob = await makeNewcomer("bob");
  const keyOf = (group: Group) => libraryOf(group).ratchetTree[0];
  const made = await mls.commit(ann!, { add: [bob.keyPackage.keyPackage] });
  expect(keyOf(made.group)).not.toEqual(keyOf(ann!));
});

test("mended: a tree of any size is encoded without running out of stack", async () => {
  const [group] = await makeGroups(["ann"]);
  const [leaf] = libraryOf(group!).ratchetTree;
  const tree = Array.from({ length: 20_001 }, (_, at) => (at % 2 === 0 ? leaf : undefined));
  expect(encodeRatchetTree(tree).byteLength).toBeGreaterThan(10_000 * 100);
});
