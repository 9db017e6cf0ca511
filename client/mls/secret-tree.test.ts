import { expandWithLabel } from "ts-mls/crypto/kdf.js";
import { isLeaf, left, nodeToLeafIndex, right, root, toNodeIndex } from "ts-mls/treemath.js";
import { expect, test } from "vitest";
import { utf8 } from "../../test/mls/device.ts";
import { suite1 } from "../../test/mls/insider.ts";
import { Random } from "../../test/sim/random.ts";
import { plantSecretTree, reachRatchet, type SecretTree } from "./secret-tree.ts";

const LEAVES = 16;
const secretOf = (seed: number) => new Uint8Array(32).fill(seed);

/** All at once and from the root down, as RFC 9420 §9 defines it. */
async function ratchetRoots(encryptionSecret: Uint8Array): Promise<Map<number, Uint8Array>> {
  const roots = new Map<number, Uint8Array>();
  const descend = async (node: number, secret: Uint8Array): Promise<void> => {
    const at = toNodeIndex(node);
    if (isLeaf(at)) {
      roots.set(nodeToLeafIndex(at), await expandWithLabel(secret, "application", new Uint8Array(), 32, suite1.kdf));
      return;
    }
    await descend(left(at), await expandWithLabel(secret, "tree", utf8("left"), 32, suite1.kdf));
    await descend(right(at), await expandWithLabel(secret, "tree", utf8("right"), 32, suite1.kdf));
  };
  await descend(root(LEAVES), encryptionSecret);
  return roots;
}

test("gives every leaf the ratchet of RFC 9420 §9, in whichever order they are asked for", async () => {
  const expected = await ratchetRoots(secretOf(7));
  const chance = new Random(1);
  for (let round = 0; round < 5; round++) {
    let tree: SecretTree = plantSecretTree(secretOf(7), LEAVES);
    for (const leaf of [...expected.keys()].sort(() => chance.next() - 0.5)) {
      const reached = await reachRatchet(tree, leaf, LEAVES, suite1.kdf);
      expect(reached.ratchet).toEqual({ secret: expected.get(leaf), generation: 0, unusedGenerations: {} });
      tree = reached.tree;
    }
    expect(tree.subtrees).toEqual({});
  }
});

test("keeps nothing of what a ratchet was derived from, and hands that over to be overwritten", async () => {
  const tree = plantSecretTree(secretOf(7), LEAVES);
  const reached = await reachRatchet(tree, 5, LEAVES, suite1.kdf);
  // Root, three nodes below it, and the leaf's own.
  expect(reached.spent).toHaveLength(5);
  expect(reached.spent[0]).toBe(tree.subtrees[root(LEAVES)]);
  for (const secret of reached.spent) expect(Object.values(reached.tree.subtrees)).not.toContain(secret);
  expect(Object.keys(reached.tree.subtrees)).toHaveLength(4);
  expect(tree).toEqual(plantSecretTree(secretOf(7), LEAVES));
  expect(await reachRatchet(reached.tree, 5, LEAVES, suite1.kdf)).toEqual({ ...reached, spent: [] });
});

test("refuses to derive what a spoilt state has no secret for", async () => {
  const tree = { subtrees: {}, ratchets: {} };
  await expect(reachRatchet(tree, 5, LEAVES, suite1.kdf)).rejects.toMatchObject({ code: "malformed" });
});
