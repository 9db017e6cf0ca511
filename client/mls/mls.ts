/**
 * Messaging Layer Security (RFC 9420) as the rest of the client has it: one device's part in groups. Everything behind this
 * interface could be another library. Groups are immutable: whatever changes one returns the next, and the one before must
 * not be used again (RFC 9420 §9: a ratchet that is used twice gives its keys away). `seal` and `open` overwrite what they
 * have used, so nothing is left of that one (`used_up`) unless they throw; whoever could not store the next decodes what is
 * stored. `commit` leaves its group as it is. All bytes that leave are MLSMessages (RFC 9420 §6) unless said otherwise.
 * Every method throws {@link MlsError} and nothing else.
 */
export interface Mls {
  /** A key package for others to add this device with; of `suite`, good in [notBefore, notAfter] (ms since 1970). */
  makeKeyPackage(keys: DeviceKeys, suite: Suite, lifetime: Lifetime): Promise<MadeKeyPackage>;
  /** @returns what a key package that somebody else made says, its signature and lifetime checked at `now` */
  inspectKeyPackage(keyPackage: Uint8Array, now: number): Promise<InspectedKeyPackage>;
  /** A group of which this device is the only member. */
  create(groupId: Uint8Array, suite: Suite, keys: DeviceKeys, now: number): Promise<Group>;
  /** Adds and removes devices and always renews this device's own keys (an update path). */
  commit(group: Group, change: MembershipChange): Promise<MadeCommit>;
  /** KeyPackageRefs, hex, of those whom a commit adds; what it says is not verified. */
  keyPackagesAdded(commit: Uint8Array): Promise<readonly string[]>;
  /** Joins by a Welcome that names one of these key packages; the tree travels apart from it. */
  join(welcome: Uint8Array, tree: Uint8Array, candidates: readonly OwnKeyPackage[]): Promise<JoinedGroup>;
  /** Joins from a GroupInfo, without anybody's help; replaces this device's own former leaf if there is one. */
  joinExternally(groupInfo: Uint8Array, tree: Uint8Array, keys: DeviceKeys, now: number): Promise<MadeCommit>;
  /** @param id the message's id: authenticated, not secret */
  seal(group: Group, id: string, plaintext: Uint8Array): Promise<Sealed>;
  open(group: Group, message: Uint8Array): Promise<Opened>;
  /** For the store. What changes with every message stands apart from what changes with an epoch. */
  encode(group: Group): EncodedGroup;
  decode(encoded: EncodedGroup): Group;
  /** Overwrites the secrets of a group that is over: a commit that was not taken, or the epoch before one that was. */
  forget(group: Group): void;
}

/** MLS cipher suites, by their number: X25519/AES-128-GCM/SHA-256/Ed25519, and the same with the hybrid KEM X-Wing. */
export type Suite = 1 | 83;

/** A device's MLS signature key (Ed25519) and the credential that vouches for it. */
export interface DeviceKeys {
  readonly publicKey: Uint8Array;
  /** Its seed (RFC 8032 §5.1.5), or PKCS #8. */
  readonly privateKey: Uint8Array;
  /** The identity of a basic credential (RFC 9420 §5.3); here the device's certificate. */
  readonly credential: Uint8Array;
}

export interface Lifetime {
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface OwnKeyPackage {
  readonly keyPackage: Uint8Array;
  /** Opaque; to be kept as secret as a private key. */
  readonly secret: Uint8Array;
}

export interface MadeKeyPackage extends OwnKeyPackage {
  /** KeyPackageRef (RFC 9420 §5.2), hex. */
  readonly ref: string;
}

export interface InspectedKeyPackage extends Lifetime {
  readonly ref: string;
  readonly suite: Suite;
  readonly credential: Uint8Array;
  readonly publicKey: Uint8Array;
}

/** A member of a group: one device. */
export interface MlsMember {
  readonly leaf: number;
  readonly credential: Uint8Array;
  /** Its MLS signature key. */
  readonly publicKey: Uint8Array;
}

/** One device's view of a group in one epoch. */
export interface Group {
  readonly groupId: Uint8Array;
  readonly suite: Suite;
  readonly epoch: number;
  readonly ownLeaf: number;
  /** In the order of their leaves. */
  readonly members: readonly MlsMember[];
}

export interface MembershipChange {
  /** Key packages. */
  readonly add?: readonly Uint8Array[];
  /** Leaves. */
  readonly remove?: readonly number[];
}

/** A commit that is made and not yet accepted: `group` holds if the delivery service takes it, and else is thrown away. */
export interface MadeCommit {
  readonly commit: Uint8Array;
  /** For those who are added; undefined if nobody is. It carries no tree. */
  readonly welcome: Uint8Array | undefined;
  /** Of the next epoch, with the external public key, without the tree: whoever has it and the tree can join. */
  readonly groupInfo: Uint8Array;
  /** The next epoch's ratchet tree, as in the extension `ratchet_tree` (RFC 9420 §12.4.3.3); the server makes its own. */
  readonly tree: Uint8Array;
  readonly group: Group;
}

export interface JoinedGroup {
  readonly group: Group;
  /** KeyPackageRef of the key package that is used up by it. */
  readonly ref: string;
  /** Who has signed the Welcome's GroupInfo: whoever made the commit, or another member who says so. */
  readonly inviter: MlsMember;
}

export interface Sealed {
  readonly message: Uint8Array;
  readonly group: Group;
}

export type Opened =
  | {
      readonly kind: "message";
      readonly id: string;
      readonly plaintext: Uint8Array;
      readonly sender: MlsMember;
      readonly group: Group;
    }
  /** The group has moved on by an epoch. `sender` of an external commit is the one who joined by it. */
  | {
      readonly kind: "commit";
      readonly sender: MlsMember;
      readonly isExternal: boolean;
      readonly added: readonly MlsMember[];
      readonly removed: readonly MlsMember[];
      readonly group: Group;
    }
  /** The commit removes this device, among others; nothing that follows can be opened. */
  | { readonly kind: "removed"; readonly sender: MlsMember; readonly removed: readonly MlsMember[] };

export interface EncodedGroup {
  /** Changes with every message sealed or opened. */
  readonly ratchets: Uint8Array;
  /** Changes with the epoch alone, and is the same object as long as that lasts; large where the group is. */
  readonly tree: Uint8Array;
}

export type MlsErrorCode =
  /** No such message, key package, Welcome …: the bytes make no sense. */
  | "malformed"
  /** Of another group. */
  | "wrong_group"
  /** Of an epoch that is over, or is still to come. */
  | "wrong_epoch"
  /** Sealed or signed by somebody else than it says; or the key was used up already. */
  | "undecryptable"
  /** The credential was refused by {@link Authenticate}. */
  | "unauthentic"
  | "expired"
  /** None of the candidates is what the Welcome was made for. */
  | "not_for_us"
  | "not_a_member"
  /** A key package of a device that is in the group, or of one that is added twice. */
  | "already_a_member"
  /** The group was sealed or opened with before: what came of that holds, or what is stored. */
  | "used_up"
  /** A proposal or a suite that this client does not take part in. */
  | "unsupported";

export class MlsError extends Error {
  override readonly name = "MlsError";
  readonly code: MlsErrorCode;
  constructor(code: MlsErrorCode, options?: ErrorOptions) {
    super(code, options);
    this.code = code;
  }
}

/** The authentication service (RFC 9750 §6): whether this credential may vouch for this signature key. Asked for every leaf. */
export type Authenticate = (credential: Uint8Array, publicKey: Uint8Array) => Promise<boolean>;
