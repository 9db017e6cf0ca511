import type { ClientConfig } from "ts-mls/clientConfig.js";
import { decodeGroupStateWithoutTree, type GroupState as StoredState } from "ts-mls/clientState.js";
import { decodeUint8, decodeUint32, decodeUint64, uint8Encoder, uint32Encoder } from "ts-mls/codec/number.js";
import { mapDecoders } from "ts-mls/codec/tlsDecoder.js";
import { contramapBufferEncoders, encode } from "ts-mls/codec/tlsEncoder.js";
import {
  decodeNumberRecord,
  decodeVarLenData,
  numberRecordEncoder,
  varLenDataEncoder,
} from "ts-mls/codec/variableLength.js";
import { decodeRatchetTree, type RatchetTree } from "ts-mls/ratchetTree.js";
import { decodeGenerationSecret, generationSecretEncoder } from "ts-mls/secretTree.js";
import { Epoch, type GroupState } from "./epoch.ts";
import { type EncodedGroup, MlsError } from "./mls.ts";
import type { SecretTree } from "./secret-tree.ts";

/** Of the ratchets, so that a later version knows what it reads. */
const FORMAT = 1;

const encodeRatchets = encode(
  contramapBufferEncoders<[number, Uint8Array, SecretTree["subtrees"], SecretTree["ratchets"]], GroupState>(
    [
      uint8Encoder,
      varLenDataEncoder,
      numberRecordEncoder(uint32Encoder, varLenDataEncoder),
      numberRecordEncoder(uint32Encoder, generationSecretEncoder),
    ],
    ({ epoch, secrets }) => [FORMAT, epoch.storedSecrets, secrets.subtrees, secrets.ratchets],
  ),
);
const decodeRatchets = mapDecoders(
  [
    decodeUint8,
    decodeVarLenData,
    decodeNumberRecord(decodeUint32, decodeVarLenData),
    decodeNumberRecord(decodeUint32, decodeGenerationSecret),
  ],
  (format, epochSecrets, subtrees, ratchets) => ({ format, epochSecrets, secrets: { subtrees, ratchets } }),
);
const decodeTree = mapDecoders([decodeUint64, decodeRatchetTree], (epoch, ratchetTree) => ({ epoch, ratchetTree }));

/** The tree is the same object as long as the epoch lasts, so that a store can tell that it need not write it. */
export function encodeGroup(state: GroupState): EncodedGroup {
  return { ratchets: encodeRatchets(state), tree: state.epoch.storedTree };
}

/** @throws MlsError malformed, also if the two parts are not of one epoch */
export function decodeGroup({ ratchets, tree }: EncodedGroup, clientConfig: ClientConfig): GroupState {
  try {
    // Secrets are wiped in place when they are used up: the store's bytes are left alone.
    const [stored] = decodeRatchets(ratchets.slice(), 0) ?? [];
    const [{ epoch, ratchetTree } = never()] = decodeTree(tree.slice(), 0) ?? [];
    if (stored?.format !== FORMAT) never();
    const [library = never()] = decodeGroupStateWithoutTree(ratchetTree)(stored.epochSecrets, 0) ?? [];
    if (library.groupContext.epoch !== epoch || !isCoherent(library, stored.secrets)) never();
    return { epoch: new Epoch({ ...library, clientConfig }), secrets: stored.secrets };
  } catch (cause) {
    throw new MlsError("malformed", { cause });
  }
}

/** Whatever the library walks along is there: looking for the path of a leaf outside of a tree does not end. */
function isCoherent({ privatePath, ratchetTree }: StoredState, { subtrees, ratchets }: SecretTree): boolean {
  const isLeaf = (leaf: number) => ratchetTree[2 * leaf]?.nodeType === "leaf";
  return (
    ratchetTree.every((node, at) => isInPlace(ratchetTree, node, at)) &&
    isLeaf(privatePath.leafIndex) &&
    Object.keys(subtrees).every((node) => Number(node) < ratchetTree.length) &&
    Object.keys(ratchets).every((leaf) => isLeaf(Number(leaf)))
  );
}

function isInPlace(tree: RatchetTree, node: RatchetTree[number], at: number): boolean {
  if (!node) return true;
  if (node.nodeType === "leaf") return at % 2 === 0;
  return at % 2 === 1 && node.parent.unmergedLeaves.every((leaf) => tree[2 * leaf]?.nodeType === "leaf");
}

function never(): never {
  throw new MlsError("malformed");
}
