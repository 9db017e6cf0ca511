import type { Capabilities } from "ts-mls/capabilities.js";
import type { ClientState } from "ts-mls/clientState.js";
import type { Commit } from "ts-mls/commit.js";
import { createCommit } from "ts-mls/createCommit.js";
import type { CiphersuiteImpl } from "ts-mls/crypto/ciphersuite.js";
import { createContentCommitSignature } from "ts-mls/framedContent.js";
import { generateKeyPackageWithKey, type KeyPackage } from "ts-mls/keyPackage.js";
import { encodeMlsMessage } from "ts-mls/message.js";
import { protectApplicationData } from "ts-mls/messageProtection.js";
import { protectPublicMessage } from "ts-mls/messageProtectionPublic.js";
import type { Proposal } from "ts-mls/proposal.js";
import type { SecretTree } from "ts-mls/secretTree.js";
import type { Sender } from "ts-mls/sender.js";
import { leafToNodeIndex, toLeafIndex } from "ts-mls/treemath.js";
import { stateOf } from "../../client/mls/groups.ts";
import type { KeyPackagePair } from "../../client/mls/key-package.ts";
import type { DeviceKeys, Group } from "../../client/mls/mls.ts";
import { NO_PADDING } from "../../client/mls/private-message.ts";
import { reachRatchet } from "../../client/mls/secret-tree.ts";
import { writeMessage } from "../../client/mls/wire.ts";
import { cryptoOf, suiteNames } from "../../shared/mls/suites.ts";
import { lifetime } from "./device.ts";

/** A member, or somebody with a member's secrets, who does by hand what this client never does. */

export const suite1 = await cryptoOf(1);

export function libraryOf(group: Group): ClientState {
  return stateOf(group).epoch.library;
}

/** A commit that nothing of ours has looked at, of a state that may have been tampered with. */
export async function craftCommit(
  state: ClientState,
  extraProposals: Proposal[],
  options: { forceUpdatePath?: boolean; crypto?: CiphersuiteImpl } = {},
): Promise<Uint8Array> {
  const { forceUpdatePath = true, crypto = suite1 } = options;
  const context = { state, cipherSuite: crypto, pskIndex: { findPsk: () => new Uint8Array(32) } };
  const { commit } = await createCommit(context, { wireAsPublicMessage: true, extraProposals, forceUpdatePath });
  return encodeMlsMessage(commit);
}

/** A commit that says whatever is wanted, with a signature and a membership tag that are right. */
export async function signCommit(
  { groupContext, keySchedule, signaturePrivateKey }: ClientState,
  commit: Commit,
  sender: Sender,
): Promise<Uint8Array> {
  const [format, data] = ["mls_public_message" as const, new Uint8Array()];
  const { framedContent, signature } = await createContentCommitSignature(
    groupContext,
    format,
    commit,
    sender,
    data,
    signaturePrivateKey,
    suite1.signature,
  );
  const auth = { contentType: "commit", signature, confirmationTag: new Uint8Array(32) } as const;
  const content = { wireformat: format, content: framedContent, auth };
  const publicMessage = await protectPublicMessage(keySchedule.membershipKey, groupContext, content, suite1);
  return writeMessage({ wireformat: format, publicMessage });
}

/** An application message in the name of any leaf, signed with the key of the one who makes it. */
export async function craftMessage(group: Group, leaf: number, plaintext: Uint8Array): Promise<Uint8Array> {
  const { epoch, secrets } = stateOf(group);
  const { ratchet } = await reachRatchet(secrets, leaf, epoch.leaves, suite1.kdf);
  const tree: SecretTree = [];
  tree[leafToNodeIndex(toLeafIndex(leaf))] = { application: ratchet, handshake: ratchet };
  const { signaturePrivateKey, keySchedule, groupContext } = epoch.library;
  const { privateMessage } = await protectApplicationData(
    signaturePrivateKey,
    keySchedule.senderDataSecret,
    plaintext,
    new Uint8Array(),
    groupContext,
    tree,
    leaf,
    NO_PADDING,
    suite1,
  );
  return writeMessage({ wireformat: "mls_private_message", privateMessage });
}

interface Oddities {
  readonly crypto?: CiphersuiteImpl;
  readonly lifetime?: { notBefore: bigint; notAfter: bigint };
  readonly credential?: Parameters<typeof generateKeyPackageWithKey>[0];
  readonly capabilities?: Partial<Capabilities>;
}

export async function craftKeyPackage(keys: DeviceKeys, odd: Oddities = {}): Promise<KeyPackage> {
  return (await craftKeyPackagePair(keys, odd)).publicPackage;
}

export function craftKeyPackagePair(keys: DeviceKeys, odd: Oddities = {}): Promise<KeyPackagePair> {
  const seconds = {
    notBefore: BigInt(Math.floor(lifetime.notBefore / 1000)),
    notAfter: BigInt(Math.floor(lifetime.notAfter / 1000)),
  };
  return generateKeyPackageWithKey(
    odd.credential ?? { credentialType: "basic", identity: keys.credential },
    {
      versions: ["mls10"],
      ciphersuites: Object.values(suiteNames),
      extensions: [],
      proposals: [],
      credentials: ["basic", "x509"],
      ...odd.capabilities,
    },
    odd.lifetime ?? seconds,
    [],
    { signKey: keys.privateKey, publicKey: keys.publicKey },
    odd.crypto ?? suite1,
  );
}

/** The same suite, with one of its functions exchanged. */
export function withHpke(functions: Partial<CiphersuiteImpl["hpke"]>): CiphersuiteImpl {
  return { ...suite1, hpke: { ...suite1.hpke, ...functions } };
}

export function addOf(keyPackage: KeyPackage): Proposal {
  return { proposalType: "add", add: { keyPackage } };
}
