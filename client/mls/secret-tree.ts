import type { Kdf } from "ts-mls/crypto/kdf.js";
import { expandWithLabel } from "ts-mls/crypto/kdf.js";
import type { GenerationSecret } from "ts-mls/secretTree.js";
import { directPath, leafToNodeIndex, left, type NodeIndex, right, root, toLeafIndex } from "ts-mls/treemath.js";
import { MlsError } from "./mls.ts";

/**
 * The secret tree of an epoch (RFC 9420 §9) as far as it is not used up. A sender's ratchet is derived when their first
 * message is opened, so that what has to be kept grows with those who write and not with the group. Handshake messages
 * are public here, so the handshake ratchets are never derived.
 */
export interface SecretTree {
  /** Secrets of whole subtrees in which nobody has written yet, by node. */
  readonly subtrees: Readonly<Record<number, Uint8Array>>;
  /** Application ratchets, by leaf. */
  readonly ratchets: Readonly<Record<number, GenerationSecret>>;
}

export interface Reached {
  readonly tree: SecretTree;
  readonly ratchet: GenerationSecret;
  /** To be wiped as soon as the tree before is not needed any more. */
  readonly spent: readonly Uint8Array[];
}

type Subtrees = Record<number, Uint8Array>;

/** @param leaves the width of the ratchet tree, a power of two */
export function plantSecretTree(encryptionSecret: Uint8Array, leaves: number): SecretTree {
  return { subtrees: { [root(leaves)]: encryptionSecret }, ratchets: {} };
}

/** Derives the ratchet of a leaf if it is not there yet. */
export async function reachRatchet(tree: SecretTree, leaf: number, leaves: number, kdf: Kdf): Promise<Reached> {
  const known = tree.ratchets[leaf];
  if (known) return { tree, ratchet: known, spent: [] };
  const subtrees = { ...tree.subtrees };
  const spent = await splitDownTo(leafToNodeIndex(toLeafIndex(leaf)), subtrees, leaves, kdf);
  const leafSecret = spent.at(-1) ?? missing();
  const secret = await expandWithLabel(leafSecret, "application", new Uint8Array(), kdf.size, kdf);
  const ratchet = { secret, generation: 0, unusedGenerations: {} };
  return { tree: { subtrees, ratchets: { ...tree.ratchets, [leaf]: ratchet } }, ratchet, spent };
}

/** @returns the secrets on the way from the nearest subtree down to the leaf's own, which are no longer among the subtrees */
async function splitDownTo(leaf: NodeIndex, subtrees: Subtrees, leaves: number, kdf: Kdf): Promise<Uint8Array[]> {
  const way = [leaf, ...directPath(leaf, leaves)];
  const top = way.findIndex((node) => subtrees[node]);
  const spent: Uint8Array[] = [];
  for (const node of way.slice(0, top + 1).reverse()) {
    const secret = subtrees[node] ?? missing();
    delete subtrees[node];
    spent.push(secret);
    if (node === leaf) break;
    subtrees[left(node)] = await deriveChild(secret, "left", kdf);
    subtrees[right(node)] = await deriveChild(secret, "right", kdf);
  }
  return spent;
}

function deriveChild(secret: Uint8Array, side: "left" | "right", kdf: Kdf): Promise<Uint8Array> {
  return expandWithLabel(secret, "tree", new TextEncoder().encode(side), kdf.size, kdf);
}

/** Every leaf is in a subtree until it has a ratchet, except in a state that was spoilt in the store. */
function missing(): never {
  throw new MlsError("malformed");
}
