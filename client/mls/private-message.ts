import type { CiphersuiteImpl } from "ts-mls/crypto/ciphersuite.js";
import { verifyFramedContentSignature } from "ts-mls/framedContent.js";
import type { GroupContext } from "ts-mls/groupContext.js";
import type { KeyRetentionConfig } from "ts-mls/keyRetentionConfig.js";
import { protectApplicationData } from "ts-mls/messageProtection.js";
import {
  decodePrivateMessageContent,
  decryptSenderData,
  encodePrivateContentAAD,
  type PrivateMessage,
  toAuthenticatedContent,
} from "ts-mls/privateMessage.js";
import {
  type ConsumeRatchetResult,
  type GenerationSecret,
  type SecretTree as LibrarySecretTree,
  ratchetToGeneration,
} from "ts-mls/secretTree.js";
import type { SenderData } from "ts-mls/sender.js";
import { leafToNodeIndex, toLeafIndex } from "ts-mls/treemath.js";
import { MAX_KEPT_MESSAGE_KEYS, MAX_MISSED_MESSAGES } from "../../shared/limits.ts";
import { cryptoOf } from "../../shared/mls/suites.ts";
import { type GroupState, wipe } from "./epoch.ts";
import { MlsError, type MlsMember } from "./mls.ts";
import { reachRatchet, type SecretTree } from "./secret-tree.ts";
import { writeMessage } from "./wire.ts";

/**
 * Application messages (RFC 9420 §6.3). What the library's own functions do not tell, the sender and the authenticated
 * data, and which ratchet they need before they ask for it, is known here because the steps are taken one by one.
 */

export interface OpenedMessage {
  readonly sender: MlsMember;
  readonly authenticatedData: Uint8Array;
  readonly plaintext: Uint8Array;
  readonly state: GroupState;
}

/** Of past epochs nothing is kept, as none of their messages is ever placed. */
export const retention: KeyRetentionConfig = {
  retainKeysForGenerations: MAX_KEPT_MESSAGE_KEYS,
  retainKeysForEpochs: 0,
  maximumForwardRatchetSteps: MAX_MISSED_MESSAGES,
};
/** What a message says is padded before it gets here. */
export const NO_PADDING = { kind: "alwaysPad", paddingLength: 0 } as const;

/** Uses the state up. */
export async function sealMessage(state: GroupState, authenticatedData: Uint8Array, plaintext: Uint8Array) {
  const { library, ownLeaf, suite } = state.epoch;
  const crypto = await cryptoOf(suite);
  const reached = await reachRatchet(state.secrets, ownLeaf, state.epoch.leaves, crypto.kdf);
  const { privateMessage, newSecretTree, consumed } = await protectApplicationData(
    library.signaturePrivateKey,
    library.keySchedule.senderDataSecret,
    plaintext,
    authenticatedData,
    library.groupContext,
    treeOfOne(ownLeaf, reached.ratchet),
    ownLeaf,
    NO_PADDING,
    crypto,
  );
  const message = writeMessage({ wireformat: "mls_private_message", privateMessage });
  wipe([...reached.spent, ...consumed]);
  return { message, state: { ...state, secrets: withRatchet(reached.tree, ownLeaf, newSecretTree) } };
}

/**
 * Uses the state up, unless it throws.
 * @throws MlsError undecryptable, not_a_member, malformed
 */
export async function openMessage(state: GroupState, message: PrivateMessage): Promise<OpenedMessage> {
  const { epoch } = state;
  const crypto = await cryptoOf(epoch.suite);
  const senderData = await decryptSenderData(message, epoch.library.keySchedule.senderDataSecret, crypto);
  if (!senderData) throw new MlsError("malformed");
  const sender = epoch.member(senderData.leafIndex);
  const reached = await reachRatchet(state.secrets, sender.leaf, epoch.leaves, crypto.kdf);
  const ratcheted = await ratchet(reached.ratchet, senderData, crypto);
  const plaintext = await decrypt(message, sender, ratcheted, epoch.library.groupContext, crypto);
  wipe([...reached.spent, ...ratcheted.consumed]);
  const secrets = withRatchet(reached.tree, sender.leaf, ratcheted.newTree);
  return { sender, authenticatedData: message.authenticatedData, plaintext, state: { ...state, secrets } };
}

/** @throws MlsError undecryptable, if the key was used, or is further on than a sender can be */
async function ratchet(from: GenerationSecret, senderData: SenderData, crypto: CiphersuiteImpl) {
  try {
    const tree = treeOfOne(senderData.leafIndex, from);
    return await ratchetToGeneration(tree, senderData, "application", retention, crypto);
  } catch (cause) {
    throw new MlsError("undecryptable", { cause });
  }
}

/** Nothing of what was decrypted is believed before the sender's signature is verified. */
async function decrypt(
  message: PrivateMessage,
  sender: MlsMember,
  { key, nonce }: ConsumeRatchetResult,
  groupContext: GroupContext,
  crypto: CiphersuiteImpl,
): Promise<Uint8Array> {
  const aad = encodePrivateContentAAD(message);
  const decrypted = await crypto.hpke.decryptAead(key, nonce, aad, message.ciphertext);
  const [decoded] = decodePrivateMessageContent(message.contentType)(decrypted, 0) ?? [];
  if (decoded?.contentType !== "application") throw new MlsError("malformed");
  const { content, auth, wireformat } = toAuthenticatedContent(decoded, message, sender.leaf);
  const { publicKey } = sender;
  const isSigned = verifyFramedContentSignature(publicKey, wireformat, content, auth, groupContext, crypto.signature);
  if (!(await isSigned)) throw new MlsError("undecryptable");
  return decoded.applicationData;
}

/** What the library's functions look a ratchet up in; of a leaf they use no other node, and of handshakes there are none. */
function treeOfOne(leaf: number, application: GenerationSecret): LibrarySecretTree {
  const tree: LibrarySecretTree = [];
  tree[leafToNodeIndex(toLeafIndex(leaf))] = { application, handshake: application };
  return tree;
}

function withRatchet(tree: SecretTree, leaf: number, moved: LibrarySecretTree): SecretTree {
  const node = moved[leafToNodeIndex(toLeafIndex(leaf))];
  return node ? { ...tree, ratchets: { ...tree.ratchets, [leaf]: node.application } } : tree;
}
