import type { ClientConfig } from "ts-mls/clientConfig.js";
import { createGroup, joinGroup } from "ts-mls/clientState.js";
import { createCommit, createGroupInfoWithExternalPub, joinGroupExternal } from "ts-mls/createCommit.js";
import { defaultKeyPackageEqualityConfig } from "ts-mls/keyPackageEqualityConfig.js";
import { defaultLifetimeConfig } from "ts-mls/lifetimeConfig.js";
import { encodeMlsMessage } from "ts-mls/message.js";
import type { PrivateMessage } from "ts-mls/privateMessage.js";
import type { Proposal } from "ts-mls/proposal.js";
import type { Welcome } from "ts-mls/welcome.js";
import { KEY_PACKAGE_CLOCK_SKEW_MS, KEY_PACKAGE_LIFETIME_MS, MAX_ADDS_PER_COMMIT } from "../../shared/limits.ts";
import { cryptoOf } from "../../shared/mls/suites.ts";
import { areEqual } from "../../shared/mls/wire.ts";
import { coded } from "./codes.ts";
import { byValue, noPsks, openCommit } from "./commit.ts";
import { beginEpoch, type Epoch, type GroupState, wipe, wipeState } from "./epoch.ts";
import { borrow, drop, makeGroup, spend, stateOf } from "./groups.ts";
import {
  generateKeyPackage,
  type KeyPackagePair,
  lifetimeOf,
  readKeyPackage,
  readOwnKeyPackage,
  refOf,
  writeKeyPackage,
} from "./key-package.ts";
import { authenticationBy, identityIn } from "./member.ts";
import {
  type Authenticate,
  type DeviceKeys,
  type EncodedGroup,
  type Group,
  type InspectedKeyPackage,
  type JoinedGroup,
  type Lifetime,
  type MadeCommit,
  type MadeKeyPackage,
  type MembershipChange,
  type Mls,
  MlsError,
  type Opened,
  type OwnKeyPackage,
  type Sealed,
  type Suite,
} from "./mls.ts";
import { NO_PADDING, openMessage, retention, sealMessage } from "./private-message.ts";
import { decodeGroup, encodeGroup } from "./stored-group.ts";
import { suiteNamed } from "./suites.ts";
import { signerOf } from "./welcome.ts";
import { readMessage, readTree, toHex, writeMessage } from "./wire.ts";

const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export interface MlsOptions {
  readonly authenticate: Authenticate;
}

export function createMls({ authenticate }: MlsOptions): Mls {
  return new TsMls(authenticate);
}

/** On ts-mls, mended by patches/ (docs/decisions/0009-mls.md). */
class TsMls implements Mls {
  readonly #config: ClientConfig;

  constructor(authenticate: Authenticate) {
    this.#config = {
      keyRetentionConfig: retention,
      lifetimeConfig: defaultLifetimeConfig,
      keyPackageEqualityConfig: defaultKeyPackageEqualityConfig,
      paddingConfig: NO_PADDING,
      authService: authenticationBy(authenticate),
    };
  }

  makeKeyPackage(keys: DeviceKeys, suite: Suite, lifetime: Lifetime): Promise<MadeKeyPackage> {
    return coded(async () => {
      const pair = await generateKeyPackage(keys, suite, lifetime);
      return { ...writeKeyPackage(pair), ref: await refOf(pair.publicPackage) };
    });
  }

  inspectKeyPackage(bytes: Uint8Array, now: number): Promise<InspectedKeyPackage> {
    return coded(async () => {
      const keyPackage = await readKeyPackage(bytes, now);
      const { credential, signaturePublicKey } = keyPackage.leafNode;
      return {
        ref: await refOf(keyPackage),
        suite: suiteNamed(keyPackage.cipherSuite),
        credential: identityIn(credential),
        publicKey: signaturePublicKey,
        ...lifetimeOf(keyPackage.leafNode),
      };
    });
  }

  create(groupId: Uint8Array, suite: Suite, keys: DeviceKeys, now: number): Promise<Group> {
    return coded(async () => {
      const { publicPackage, privatePackage } = await generateKeyPackage(keys, suite, lifetimeFrom(now));
      const crypto = await cryptoOf(suite);
      const id = groupId.slice();
      return makeGroup(beginEpoch(await createGroup(id, publicPackage, privatePackage, [], crypto, this.#config)));
    });
  }

  commit(group: Group, { add = [], remove = [] }: MembershipChange): Promise<MadeCommit> {
    return borrow(group, async ({ epoch }) => {
      const removed = new Set(remove);
      const extraProposals = [...proposeRemovals(epoch, removed), ...(await proposeAdditions(epoch, add, removed))];
      const context = { state: epoch.library, cipherSuite: await cryptoOf(epoch.suite), pskIndex: noPsks };
      const options = { wireAsPublicMessage: true, extraProposals, forceUpdatePath: true };
      // The secrets that the library calls consumed are this group's, which goes on if the commit is not taken.
      const { commit, welcome, newState } = await createCommit(context, options);
      const message = welcome && writeMessage({ wireformat: "mls_welcome", welcome });
      return madeCommit(encodeMlsMessage(commit), message, beginEpoch(newState));
    });
  }

  keyPackagesAdded(commit: Uint8Array): Promise<readonly string[]> {
    return coded(async () => {
      const { content } = readMessage(commit, "mls_public_message").publicMessage;
      const proposals = content.contentType === "commit" ? byValue(content.commit) : [];
      const added = proposals.flatMap((proposal) => (proposal.proposalType === "add" ? [proposal.add.keyPackage] : []));
      return Promise.all(added.map(refOf));
    });
  }

  join(welcomeBytes: Uint8Array, tree: Uint8Array, candidates: readonly OwnKeyPackage[]): Promise<JoinedGroup> {
    return coded(async () => {
      const { welcome } = readMessage(welcomeBytes, "mls_welcome");
      const crypto = await cryptoOf(suiteNamed(welcome.cipherSuite));
      const { publicPackage, privatePackage, ref } = await findAddressed(welcome, candidates);
      const ratchetTree = readTree(tree);
      const config = this.#config;
      const resumed = undefined;
      const state = beginEpoch(
        await joinGroup(welcome, publicPackage, privatePackage, noPsks, crypto, ratchetTree, resumed, config),
      );
      const signer = await signerOf(welcome, { publicPackage, privatePackage }, crypto);
      wipe([privatePackage.initPrivateKey]);
      return { group: makeGroup(state), ref, inviter: state.epoch.member(signer) };
    });
  }

  joinExternally(groupInfoBytes: Uint8Array, tree: Uint8Array, keys: DeviceKeys, now: number): Promise<MadeCommit> {
    return coded(async () => {
      const { groupInfo } = readMessage(groupInfoBytes, "mls_group_info");
      const suite = suiteNamed(groupInfo.groupContext.cipherSuite);
      const ratchetTree = readTree(tree);
      const { publicPackage, privatePackage } = await generateKeyPackage(keys, suite, lifetimeFrom(now));
      const isResync = ratchetTree.some(
        (node) => node?.nodeType === "leaf" && areEqual(node.leaf.signaturePublicKey, keys.publicKey),
      );
      const crypto = await cryptoOf(suite);
      const [config, own] = [this.#config, privatePackage];
      const joined = await joinGroupExternal(groupInfo, publicPackage, own, isResync, crypto, ratchetTree, config);
      const commit = writeMessage({ wireformat: "mls_public_message", publicMessage: joined.publicMessage });
      return madeCommit(commit, undefined, beginEpoch(joined.newState));
    });
  }

  seal(group: Group, id: string, plaintext: Uint8Array): Promise<Sealed> {
    return spend(group, async (state) => {
      const sealed = await sealMessage(state, utf8.encode(id), plaintext);
      return { message: sealed.message, group: makeGroup(sealed.state) };
    });
  }

  open(group: Group, bytes: Uint8Array): Promise<Opened> {
    return spend(group, async (state) => {
      const message = readMessage(bytes, "mls_private_message", "mls_public_message");
      if (message.wireformat === "mls_private_message") return openApplication(state, message.privateMessage);
      assertHere(message.publicMessage.content, state.epoch);
      const opened = await openCommit(state, message.publicMessage);
      if (opened.kind === "removed") return opened;
      const { state: next, ...change } = opened;
      return { ...change, group: makeGroup(next) };
    });
  }

  encode(group: Group): EncodedGroup {
    return encodeGroup(stateOf(group));
  }

  decode(encoded: EncodedGroup): Group {
    return makeGroup(decodeGroup(encoded, this.#config));
  }

  forget(group: Group): void {
    const state = drop(group);
    if (state) wipeState(state);
  }
}

function proposeRemovals(epoch: Epoch, leaves: ReadonlySet<number>): Proposal[] {
  if (leaves.has(epoch.ownLeaf)) throw new MlsError("unsupported");
  return Array.from(leaves, (leaf) => ({ proposalType: "remove", remove: { removed: epoch.member(leaf).leaf } }));
}

async function proposeAdditions(
  epoch: Epoch,
  keyPackages: readonly Uint8Array[],
  removed: ReadonlySet<number>,
): Promise<Proposal[]> {
  if (keyPackages.length > MAX_ADDS_PER_COMMIT) throw new MlsError("unsupported");
  const present = epoch.members.filter(({ leaf }) => !removed.has(leaf)).map(({ publicKey }) => publicKey);
  const proposals: Proposal[] = [];
  for (const bytes of keyPackages) {
    const keyPackage = await readKeyPackage(bytes, Date.now());
    if (suiteNamed(keyPackage.cipherSuite) !== epoch.suite) throw new MlsError("unsupported");
    const { signaturePublicKey } = keyPackage.leafNode;
    if (present.some((key) => areEqual(key, signaturePublicKey))) throw new MlsError("already_a_member");
    present.push(signaturePublicKey);
    proposals.push({ proposalType: "add", add: { keyPackage } });
  }
  return proposals;
}

async function madeCommit(commit: Uint8Array, welcome: Uint8Array | undefined, state: GroupState): Promise<MadeCommit> {
  const { epoch } = state;
  const groupInfo = await createGroupInfoWithExternalPub(epoch.library, [], await cryptoOf(epoch.suite));
  return {
    commit,
    welcome,
    groupInfo: writeMessage({ wireformat: "mls_group_info", groupInfo }),
    tree: epoch.tree,
    group: makeGroup(state),
  };
}

/** @throws MlsError not_for_us */
async function findAddressed(
  welcome: Welcome,
  candidates: readonly OwnKeyPackage[],
): Promise<KeyPackagePair & { ref: string }> {
  const refs = new Set(welcome.secrets.map(({ newMember }) => toHex(newMember)));
  for (const candidate of candidates) {
    const pair = readOwnKeyPackage(candidate);
    if (pair.publicPackage.cipherSuite !== welcome.cipherSuite) continue;
    const ref = await refOf(pair.publicPackage);
    if (refs.has(ref)) return { ...pair, ref };
  }
  throw new MlsError("not_for_us");
}

async function openApplication(state: GroupState, message: PrivateMessage): Promise<Opened> {
  assertHere(message, state.epoch);
  if (message.contentType !== "application") throw new MlsError("unsupported");
  // Before the message is opened: from then on the keys are gone.
  const id = strictUtf8.decode(message.authenticatedData);
  const opened = await openMessage(state, message);
  return { kind: "message", id, plaintext: opened.plaintext, sender: opened.sender, group: makeGroup(opened.state) };
}

/** @throws MlsError wrong_group, wrong_epoch */
function assertHere({ groupId, epoch }: { groupId: Uint8Array; epoch: bigint }, { library }: Epoch): void {
  if (!areEqual(groupId, library.groupContext.groupId)) throw new MlsError("wrong_group");
  if (epoch !== library.groupContext.epoch) throw new MlsError("wrong_epoch");
}

function lifetimeFrom(now: number): Lifetime {
  return { notBefore: now - KEY_PACKAGE_CLOCK_SKEW_MS / 2, notAfter: now + KEY_PACKAGE_LIFETIME_MS };
}
