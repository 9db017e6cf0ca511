import type { ClientState } from "ts-mls/clientState.js";
import { createCommit } from "ts-mls/createCommit.js";
import type { CiphersuiteImpl } from "ts-mls/crypto/ciphersuite.js";
import { expandWithLabel } from "ts-mls/crypto/kdf.js";
import { mlsExporter } from "ts-mls/keySchedule.js";
import { encodeMlsMessage } from "ts-mls/message.js";
import { processPrivateMessage } from "ts-mls/processMessages.js";
import type { Proposal } from "ts-mls/proposal.js";
import { emptyPskIndex } from "ts-mls/pskIndex.js";
import type { GenerationSecret, SecretTreeNode } from "ts-mls/secretTree.js";
import { isLeaf, leafWidth, left, right, root, toNodeIndex } from "ts-mls/treemath.js";
import { beginEpoch } from "../../../client/mls/epoch.ts";
import { makeGroup, stateOf } from "../../../client/mls/groups.ts";
import type { Group } from "../../../client/mls/mls.ts";
import { readMessage, writeMessage } from "../../../client/mls/wire.ts";
import { cryptoOf } from "../../../shared/mls/suites.ts";
import { utf8 } from "../device.ts";

/**
 * Commits as PrivateMessages, the only ones that the oracle takes, from and for groups of ours, which know public ones
 * alone. The commits are the library's; what is added here is the handshake ratchets, from the secret that an epoch
 * begins with. Messages go through what is tested as it is.
 */
export interface OurDevice {
  readonly name: string;
  group: Group;
  /** The encryption secret of the epoch, as it was when the epoch began. */
  encryptionSecret: Uint8Array;
}

/** To be called before anything was sealed or opened in the epoch. */
export function inNewEpoch(name: string, group: Group): OurDevice {
  const { epoch, secrets } = stateOf(group);
  const secret = secrets.subtrees[root(epoch.leaves)];
  if (!secret) throw new Error("the epoch has begun already");
  return { name, group, encryptionSecret: secret.slice() };
}

export interface SecretCommit {
  readonly device: OurDevice;
  readonly commit: Uint8Array;
  readonly welcome: Uint8Array;
  readonly tree: Uint8Array;
}

export async function commitSecretly(device: OurDevice, extraProposals: Proposal[]): Promise<SecretCommit> {
  const { epoch } = stateOf(device.group);
  const cipherSuite = await cryptoOf(epoch.suite);
  const state = await withHandshakes(device, cipherSuite);
  const made = await createCommit({ state, cipherSuite }, { extraProposals, forceUpdatePath: true });
  const next = beginEpoch(made.newState);
  const { welcome } = made;
  return {
    device: inNewEpoch(device.name, makeGroup(next)),
    commit: encodeMlsMessage(made.commit),
    welcome: welcome ? writeMessage({ wireformat: "mls_welcome", welcome }) : new Uint8Array(),
    tree: next.epoch.tree,
  };
}

/** @param handshakes proposals and the commit that refers to them, in their order */
export async function followSecretly(device: OurDevice, handshakes: readonly Uint8Array[]): Promise<OurDevice> {
  const crypto = await cryptoOf(device.group.suite);
  let state = await withHandshakes(device, crypto);
  for (const bytes of handshakes) {
    const { privateMessage } = readMessage(bytes, "mls_private_message");
    state = (await processPrivateMessage(state, privateMessage, emptyPskIndex, crypto)).newState;
  }
  return inNewEpoch(device.name, makeGroup(beginEpoch(state)));
}

/** What {@link OracleDevice.exported} gives the oracle. */
export async function exportedBy({ group }: OurDevice): Promise<string> {
  const { exporterSecret } = stateOf(group).epoch.library.keySchedule;
  const crypto = await cryptoOf(group.suite);
  return Buffer.from(await mlsExporter(exporterSecret, "agreement", new Uint8Array(), 32, crypto)).toString("hex");
}

/** RFC 9420 §9, all of it at once. */
async function withHandshakes(device: OurDevice, { kdf }: CiphersuiteImpl): Promise<ClientState> {
  const { library } = stateOf(device.group).epoch;
  const secretTree: SecretTreeNode[] = [];
  const expand = (secret: Uint8Array, label: string, context = "") =>
    expandWithLabel(secret, label, utf8(context), kdf.size, kdf);
  const begin = async (secret: Uint8Array, label: string): Promise<GenerationSecret> => ({
    secret: await expand(secret, label),
    generation: 0,
    unusedGenerations: {},
  });
  const descend = async (node: number, secret: Uint8Array): Promise<void> => {
    const at = toNodeIndex(node);
    const [application, handshake] = [await begin(secret, "application"), await begin(secret, "handshake")];
    secretTree[node] = { application, handshake };
    if (isLeaf(at)) return;
    await descend(left(at), await expand(secret, "tree", "left"));
    await descend(right(at), await expand(secret, "tree", "right"));
  };
  await descend(root(leafWidth(library.ratchetTree.length)), device.encryptionSecret);
  return { ...library, secretTree };
}
