import {
  type Authenticate,
  type DeviceKeys,
  type EncodedGroup,
  type Group,
  type Lifetime,
  type MadeCommit,
  type MembershipChange,
  type Mls,
  MlsError,
  type MlsMember,
  type Opened,
  type OwnKeyPackage,
  type Suite,
} from "../../client/mls/mls.ts";
import { readFraming } from "../../shared/mls/framing.ts";

/**
 * Groups as MLS has them, with nothing encrypted: who is in, which epoch it is, which generations are used up. For tests that
 * run hundreds of devices. It is as strict as the real module where mistakes of its caller would show: a group that is used
 * twice, an epoch that is over, a Welcome for somebody else.
 */
export class FakeMls implements Mls {
  readonly #authenticate: Authenticate;
  readonly #random: () => number;
  readonly #spent = new WeakSet<FakeGroup>();

  constructor({ authenticate, random = Math.random }: { authenticate: Authenticate; random?: () => number }) {
    this.#authenticate = authenticate;
    this.#random = random;
  }

  async makeKeyPackage(keys: DeviceKeys, suite: Suite, { notBefore, notAfter }: Lifetime) {
    const ref = hex(this.#bytes(8));
    const said = { ref, suite, notBefore, notAfter, credential: hex(keys.credential), publicKey: hex(keys.publicKey) };
    return { keyPackage: framed(KEY_PACKAGE, said), secret: encode({ ref, credential: hex(keys.credential) }), ref };
  }

  async inspectKeyPackage(keyPackage: Uint8Array, now: number) {
    const said = unframed<SaidKeyPackage>(KEY_PACKAGE, keyPackage);
    if (now < said.notBefore || now > said.notAfter) throw new MlsError("expired");
    return { ...said, credential: unhex(said.credential), publicKey: unhex(said.publicKey) };
  }

  async create(groupId: Uint8Array, suite: Suite, keys: DeviceKeys): Promise<Group> {
    const leaves = [{ credential: hex(keys.credential), publicKey: hex(keys.publicKey) }];
    return new FakeGroup({
      groupId: hex(groupId),
      suite,
      epoch: 0,
      leaves,
      ownLeaf: 0,
      secret: this.#secret(),
      used: {},
      sent: 0,
    });
  }

  async commit(group: Group, { add = [], remove = [] }: MembershipChange): Promise<MadeCommit> {
    const { state } = fake(group);
    const leaves: State["leaves"] = state.leaves.map((leaf, at) => (remove.includes(at) ? null : leaf));
    if (remove.includes(state.ownLeaf)) throw new MlsError("unsupported");
    const packages = add.map((keyPackage) => unframed<SaidKeyPackage>(KEY_PACKAGE, keyPackage));
    for (const added of packages) place(leaves, added);
    return this.#made(state, leaves, state.ownLeaf, { remove, add: packages, external: false });
  }

  async joinExternally(groupInfo: Uint8Array, tree: Uint8Array, keys: DeviceKeys): Promise<MadeCommit> {
    const info = unframed<SaidGroup>(GROUP_INFO, groupInfo);
    const leaves = decode<State["leaves"]>(tree);
    await this.#check(leaves);
    const own = { credential: hex(keys.credential), publicKey: hex(keys.publicKey) };
    const former = leaves.findIndex((leaf) => leaf?.publicKey === own.publicKey);
    if (former >= 0) leaves[former] = null;
    const ownLeaf = place(leaves, own);
    const state: State = { ...info, leaves, ownLeaf, used: {}, sent: 0 };
    return this.#made(state, leaves, ownLeaf, { remove: former < 0 ? [] : [former], add: [own], external: true });
  }

  async keyPackagesAdded(commit: Uint8Array): Promise<readonly string[]> {
    return unframed<SaidCommit>(PUBLIC, commit).add.flatMap(({ ref }) => (ref === undefined ? [] : [ref]));
  }

  async join(welcome: Uint8Array, tree: Uint8Array, candidates: readonly OwnKeyPackage[]) {
    const said = unframed<SaidWelcome>(WELCOME, welcome);
    const leaves = decode<State["leaves"]>(tree);
    await this.#check(leaves);
    for (const { secret } of candidates) {
      const { ref, credential } = decode<{ ref: string; credential: string }>(secret);
      if (!said.refs.includes(ref)) continue;
      const ownLeaf = leaves.findIndex((leaf) => leaf?.credential === credential);
      const { refs: _, signer, ...state } = said;
      const group = new FakeGroup({ ...state, leaves, ownLeaf, used: {}, sent: 0 });
      const inviter = group.members.find(({ leaf }) => leaf === signer);
      if (!inviter) throw new MlsError("malformed");
      return { ref, group, inviter };
    }
    throw new MlsError("not_for_us");
  }

  async seal(group: Group, id: string, plaintext: Uint8Array) {
    const { state } = this.#use(group);
    const { epoch, secret, ownLeaf: leaf, sent: generation } = state;
    const message = privateMessage(unhex(state.groupId), epoch, { id, leaf, generation, secret }, plaintext);
    return { message, group: new FakeGroup({ ...state, sent: generation + 1 }) };
  }

  async open(group: Group, message: Uint8Array): Promise<Opened> {
    return readFraming(message)?.kind === "message"
      ? this.#openMessage(group, message)
      : this.#openCommit(group, message);
  }

  encode(group: Group): EncodedGroup {
    const { leaves, ...ratchets } = fake(group).state;
    return { ratchets: encode(ratchets), tree: encode(leaves) };
  }

  decode({ ratchets, tree }: EncodedGroup): Group {
    return new FakeGroup({ ...decode<Omit<State, "leaves">>(ratchets), leaves: decode(tree) });
  }

  forget(): void {}

  #openMessage(group: Group, message: Uint8Array): Opened {
    const { state } = fake(group);
    const framing = readFraming(message);
    if (framing?.kind !== "message" || hex(framing.group) !== state.groupId) throw new MlsError("wrong_group");
    if (framing.epoch !== state.epoch) throw new MlsError("wrong_epoch");
    const { said, plaintext } = readMessage(message);
    const { id, leaf, generation, secret } = said;
    const sender = new FakeGroup(state).members.find((member) => member.leaf === leaf);
    const isSpent = generation < (state.used[leaf] ?? 0) || leaf === state.ownLeaf;
    if (secret !== state.secret || isSpent || !sender) throw new MlsError("undecryptable");
    const next = new FakeGroup({ ...state, used: { ...state.used, [leaf]: generation + 1 } });
    this.#use(group);
    return { kind: "message", id, plaintext, sender, group: next };
  }

  async #openCommit(group: Group, message: Uint8Array): Promise<Opened> {
    const { state } = fake(group);
    const said = unframed<SaidCommit>(PUBLIC, message);
    if (said.groupId !== state.groupId) throw new MlsError("wrong_group");
    if (said.epoch !== state.epoch) throw new MlsError("wrong_epoch");
    if (said.before !== state.secret && !said.external) throw new MlsError("undecryptable");
    const known = new Set(state.leaves.map((leaf) => leaf?.publicKey));
    await this.#check(said.leaves.filter((leaf) => leaf && !known.has(leaf.publicKey)));
    const next = new FakeGroup({
      ...state,
      epoch: state.epoch + 1,
      leaves: said.leaves,
      secret: said.secret,
      used: {},
      sent: 0,
    });
    const removed = fake(group).members.filter(({ leaf }) => said.remove.includes(leaf));
    const added = next.members.filter(({ publicKey }) => said.add.some((leaf) => leaf.publicKey === hex(publicKey)));
    const all = said.external ? next.members : fake(group).members;
    const sender = all.find(({ leaf }) => leaf === said.leaf);
    if (!sender) throw new MlsError("not_a_member");
    if (said.remove.includes(state.ownLeaf)) return { kind: "removed", sender, removed };
    return { kind: "commit", sender, isExternal: said.external, added, removed, group: next };
  }

  #made(
    state: State,
    leaves: State["leaves"],
    leaf: number,
    change: { remove: readonly number[]; add: readonly Said[]; external: boolean },
  ): MadeCommit {
    const epoch = state.epoch + 1;
    const secret = this.#secret();
    const next: State = { ...state, epoch, leaves, ownLeaf: leaf, secret, used: {}, sent: 0 };
    const { groupId, suite } = state;
    const commit = { groupId, epoch: state.epoch, leaf, leaves, secret, before: state.secret, ...change };
    const refs = change.add.flatMap(({ ref }) => ref ?? []);
    const isWelcome = change.add.length > 0 && !change.external;
    return {
      commit: framed(PUBLIC, commit),
      welcome: isWelcome ? framed(WELCOME, { groupId, suite, epoch, secret, refs, signer: leaf }) : undefined,
      groupInfo: framed(GROUP_INFO, { groupId, suite, epoch, secret }),
      tree: encode(leaves),
      group: new FakeGroup(next),
    };
  }

  async #check(leaves: State["leaves"]): Promise<void> {
    for (const leaf of leaves) {
      if (leaf && !(await this.#authenticate(unhex(leaf.credential), unhex(leaf.publicKey)))) {
        throw new MlsError("unauthentic");
      }
    }
  }

  /** Like a real ratchet: whoever uses one twice has made a mistake. */
  #use(group: Group): FakeGroup {
    const used = fake(group);
    if (this.#spent.has(used)) throw new Error("this group was used before");
    this.#spent.add(used);
    return used;
  }

  #secret(): string {
    return hex(this.#bytes(8));
  }

  #bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => Math.floor(this.#random() * 256));
  }
}

/** What a server can read of a commit, as RFC 9420 §12.4 says it: by leaf and credential. */
export function readCommit(commit: Uint8Array) {
  const { epoch, leaf, leaves, add, remove, external } = unframed<SaidCommit>(PUBLIC, commit);
  const credentials = external ? [] : add.map(({ credential }) => unhex(credential));
  return { epoch, leaf: external ? null : leaf, maker: unhex(leaves[leaf]?.credential ?? ""), credentials, remove };
}

/** The tree after a commit. */
export function treeIn(commit: Uint8Array): Uint8Array {
  return encode(unframed<SaidCommit>(PUBLIC, commit).leaves);
}

/** Names the key that a message was sealed with. */
export function keyOf(message: Uint8Array): string {
  const { secret, leaf, generation } = readMessage(message).said;
  return `${secret} ${leaf} ${generation}`;
}

interface Said {
  readonly ref?: string;
  readonly credential: string;
  readonly publicKey: string;
}
interface SaidKeyPackage extends Said, Lifetime {
  readonly ref: string;
  readonly suite: Suite;
}
interface SaidGroup {
  readonly groupId: string;
  readonly suite: Suite;
  readonly epoch: number;
  readonly secret: string;
}
interface SaidWelcome extends SaidGroup {
  readonly refs: readonly string[];
  readonly signer: number;
}
interface SaidCommit {
  readonly groupId: string;
  readonly epoch: number;
  readonly leaf: number;
  readonly leaves: State["leaves"];
  readonly secret: string;
  readonly before: string;
  readonly add: readonly Said[];
  readonly remove: readonly number[];
  readonly external: boolean;
}
interface SaidMessage {
  readonly id: string;
  readonly leaf: number;
  readonly generation: number;
  readonly secret: string;
}
interface State extends SaidGroup {
  readonly leaves: ({ readonly credential: string; readonly publicKey: string } | null)[];
  readonly ownLeaf: number;
  readonly used: Readonly<Record<number, number>>;
  readonly sent: number;
}

class FakeGroup implements Group {
  readonly state: State;
  constructor(state: State) {
    this.state = state;
  }
  get groupId(): Uint8Array {
    return unhex(this.state.groupId);
  }
  get suite(): Suite {
    return this.state.suite;
  }
  get epoch(): number {
    return this.state.epoch;
  }
  get ownLeaf(): number {
    return this.state.ownLeaf;
  }
  get members(): MlsMember[] {
    return this.state.leaves.flatMap((leaf, at) =>
      leaf ? [{ leaf: at, credential: unhex(leaf.credential), publicKey: unhex(leaf.publicKey) }] : [],
    );
  }
}

function fake(group: Group): FakeGroup {
  if (!(group instanceof FakeGroup)) throw new Error("a group of another module");
  return group;
}

/** The leftmost blank leaf, or a new one (RFC 9420 §7.7). */
function place(leaves: State["leaves"], { credential, publicKey }: Said): number {
  const blank = leaves.indexOf(null);
  const at = blank < 0 ? leaves.length : blank;
  leaves[at] = { credential, publicKey };
  return at;
}

const [PUBLIC, WELCOME, GROUP_INFO, KEY_PACKAGE] = [1, 3, 4, 5];

/** A commit begins with group and epoch (RFC 9420 §6.2), which its receivers look at. */
function framed(format: number | undefined, value: object): Uint8Array {
  const head = Uint8Array.of(0, 1, 0, format ?? 0);
  if (format !== PUBLIC) return join(head, encode(value));
  const { groupId, epoch } = value as SaidCommit;
  return join(head, groupAndEpoch(unhex(groupId), epoch), encode(value));
}

function unframed<T>(format: number | undefined, message: Uint8Array): T {
  if (message[3] !== format) throw new MlsError("malformed");
  return decode<T>(message.subarray(format === PUBLIC ? 4 + 1 + (message[4] ?? 0) + 8 : 4));
}

/** Framed as the server wants it (RFC 9420 §6.3): group id, epoch, content type. What is said of the plaintext is not secret. */
function privateMessage(groupId: Uint8Array, epoch: number, said: SaidMessage, plaintext: Uint8Array): Uint8Array {
  const header = encode(said);
  const framing = [Uint8Array.of(0, 1, 0, 2), groupAndEpoch(groupId, epoch), Uint8Array.of(1)];
  return join(...framing, Uint8Array.of(header.byteLength >> 8, header.byteLength & 0xff), header, plaintext);
}

function readMessage(message: Uint8Array): { said: SaidMessage; plaintext: Uint8Array } {
  const payload = message.subarray(4 + 1 + (message[4] ?? 0) + 9);
  const end = 2 + ((payload[0] ?? 0) << 8) + (payload[1] ?? 0);
  return { said: decode<SaidMessage>(payload.subarray(2, end)), plaintext: payload.slice(end) };
}

function groupAndEpoch(groupId: Uint8Array, epoch: number): Uint8Array {
  const number = new Uint8Array(8);
  new DataView(number.buffer).setBigUint64(0, BigInt(epoch));
  return join(Uint8Array.of(groupId.byteLength), groupId, number);
}

function join(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function decode<T>(bytes: Uint8Array): T {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as T;
  } catch {
    throw new MlsError("malformed");
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}

function unhex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "hex"));
}
