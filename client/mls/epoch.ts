import { type ClientState, encodeGroupStateWithoutTree } from "ts-mls/clientState.js";
import { uint64Encoder } from "ts-mls/codec/number.js";
import { contramapBufferEncoders, encode } from "ts-mls/codec/tlsEncoder.js";
import { type RatchetTree, ratchetTreeEncoder } from "ts-mls/ratchetTree.js";
import { leafWidth, nodeToLeafIndex, toNodeIndex } from "ts-mls/treemath.js";
import { MAX_KEY_PACKAGE_LIFETIME_MS } from "../../shared/limits.ts";
import { hasUniqueKeys } from "../../shared/mls/unique-keys.ts";
import { areEqual } from "../../shared/mls/wire.ts";
import { memberIn } from "./member.ts";
import { MlsError, type MlsMember, type Suite } from "./mls.ts";
import { plantSecretTree, type SecretTree } from "./secret-tree.ts";
import { suiteNamed } from "./suites.ts";

const EPOCH_BYTES = 8;
const encodeStoredTree = encode(
  contramapBufferEncoders<[bigint, RatchetTree], ClientState>(
    [uint64Encoder, ratchetTreeEncoder],
    ({ groupContext, ratchetTree }) => [groupContext.epoch, ratchetTree],
  ),
);

/** A device's view of a group: what stays throughout the epoch, and what every message uses up. */
export interface GroupState {
  readonly epoch: Epoch;
  readonly secrets: SecretTree;
}

/** What stays as it is throughout an epoch. Its encoded forms are made once, when they are first asked for. */
export class Epoch {
  /** The library's state; its secret tree stands in {@link GroupState} and is empty here. */
  readonly library: ClientState;
  readonly suite: Suite;
  readonly members: readonly MlsMember[];
  #storedTree: Uint8Array | undefined;
  #storedSecrets: Uint8Array | undefined;

  /** @throws MlsError unsupported, if the group has extensions or a suite that this client takes no part in */
  constructor(library: ClientState) {
    const { cipherSuite, extensions, epoch } = library.groupContext;
    if (extensions.length > 0 || epoch > BigInt(Number.MAX_SAFE_INTEGER)) throw new MlsError("unsupported");
    this.library = library;
    this.suite = suiteNamed(cipherSuite);
    this.members = membersOf(library.ratchetTree);
  }

  get number(): number {
    return Number(this.library.groupContext.epoch);
  }

  get ownLeaf(): number {
    return this.library.privatePath.leafIndex;
  }

  /** Width of the tree, a power of two. */
  get leaves(): number {
    return leafWidth(this.library.ratchetTree.length);
  }

  /** The ratchet tree as in the extension ratchet_tree (RFC 9420 §12.4.3.3). */
  get tree(): Uint8Array {
    return this.storedTree.subarray(EPOCH_BYTES);
  }

  /** Begins with the epoch, so that it is not taken for the tree of another. */
  get storedTree(): Uint8Array {
    this.#storedTree ??= encodeStoredTree(this.library);
    return this.#storedTree;
  }

  get storedSecrets(): Uint8Array {
    this.#storedSecrets ??= encodeGroupStateWithoutTree(this.library);
    return this.#storedSecrets;
  }

  /** @throws MlsError not_a_member */
  member(leaf: number): MlsMember {
    const member = this.members.find((candidate) => candidate.leaf === leaf);
    if (!member) throw new MlsError("not_a_member");
    return member;
  }

  memberWith(publicKey: Uint8Array): MlsMember | undefined {
    return this.members.find((member) => areEqual(member.publicKey, publicKey));
  }

  /** Overwrites the secrets of this epoch, except the keys that the next one goes on using. */
  wipe(next?: Epoch): void {
    const { keySchedule, privatePath } = this.library;
    const kept = new Set(Object.values(next?.library.privatePath.privateKeys ?? {}));
    wipe(Object.values(keySchedule));
    wipe(Object.values(privatePath.privateKeys).filter((key) => !kept.has(key)));
    if (this.#storedSecrets) wipe([this.#storedSecrets]);
  }
}

/** The state with which an epoch begins, from what the library makes of a commit, a Welcome or a new group. */
export function beginEpoch(library: ClientState): GroupState {
  const { encryptionSecret } = library.secretTree;
  if (!encryptionSecret) throw new Error("ts-mls is not patched; `npm ci` applies what is in patches/");
  const epoch = new Epoch({
    ...library,
    secretTree: [],
    privatePath: { ...library.privatePath, privateKeys: keysInUse(library) },
    // A message of an epoch that is over is never placed, so its keys open nothing any more.
    historicalReceiverData: new Map(),
  });
  assertSoundTree(library.ratchetTree);
  return { epoch, secrets: plantSecretTree(encryptionSecret, epoch.leaves) };
}

/** Overwrites everything secret in a state that is over. */
export function wipeState({ epoch, secrets }: GroupState, next?: Epoch): void {
  epoch.wipe(next);
  wipe(Object.values(secrets.subtrees));
  for (const { secret, unusedGenerations } of Object.values(secrets.ratchets)) {
    wipe([secret, ...Object.values(unusedGenerations)]);
  }
}

export function wipe(secrets: readonly Uint8Array[]): void {
  for (const secret of secrets) secret.fill(0);
}

/** A node that has become blank has no key, so what this device had for it is outdated (RFC 9420 §7.5). */
function keysInUse({ privatePath, ratchetTree }: ClientState): Record<number, Uint8Array> {
  const inUse = Object.entries(privatePath.privateKeys).filter(([node]) => ratchetTree[Number(node)]);
  return Object.fromEntries(inUse);
}

function membersOf(tree: RatchetTree): readonly MlsMember[] {
  return tree.flatMap((node, at) =>
    node?.nodeType === "leaf" ? memberIn(node.leaf, nodeToLeafIndex(toNodeIndex(at))) : [],
  );
}

/** What the library leaves unchecked after a commit: that no key stands in a tree twice, and no leaf is good for too long (§7.2). */
function assertSoundTree(tree: RatchetTree): void {
  if (!hasUniqueKeys(tree)) throw new MlsError("malformed");
  for (const node of tree) {
    if (node?.nodeType === "leaf" && node.leaf.leafNodeSource === "key_package") assertSpan(node.leaf.lifetime);
  }
}

/** @throws MlsError expired, if the lifetime is longer than agreed */
export function assertSpan({ notBefore, notAfter }: { notBefore: bigint; notAfter: bigint }): void {
  if (notAfter - notBefore > BigInt(MAX_KEY_PACKAGE_LIFETIME_MS / 1000)) throw new MlsError("expired");
}
