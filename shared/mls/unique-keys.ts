import type { RatchetTree } from "ts-mls/ratchetTree.js";

/** No key stands in a tree twice: of leaves and parents none for encryption, of leaves none for signing (RFC 9420 §7.3). */
export function hasUniqueKeys(tree: RatchetTree): boolean {
  const [encryption, signature] = [new Set<string>(), new Set<string>()];
  let leaves = 0;
  let nodes = 0;
  for (const node of tree) {
    if (!node) continue;
    nodes++;
    encryption.add(nameOf(node.nodeType === "parent" ? node.parent.hpkePublicKey : node.leaf.hpkePublicKey));
    if (node.nodeType !== "leaf") continue;
    leaves++;
    signature.add(nameOf(node.leaf.signaturePublicKey));
  }
  return encryption.size === nodes && signature.size === leaves;
}

function nameOf(key: Uint8Array): string {
  return String.fromCharCode(...key);
}
