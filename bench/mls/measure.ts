import { ulid } from "ulid";
import { certifyDevice, makeAccountKey } from "../../client/identity/account-key.ts";
import { makeKeyPair } from "../../client/identity/ed25519.ts";
import type { DeviceKeys, Group, MadeCommit, MadeKeyPackage, Suite } from "../../client/mls/mls.ts";
import { createMls } from "../../client/mls/ts-mls.ts";
import { KEY_PACKAGE_LIFETIME_MS, MAX_ADDS_PER_COMMIT } from "../../shared/limits.ts";
import { groupIdOf } from "../../shared/mls/framing.ts";
import { type Entrance, treeAfter } from "../../workers/gateway/encryption/group-after.ts";
import { readCommit } from "../../workers/gateway/encryption/read-commit.ts";
import { Stopwatch } from "./stopwatch.ts";

const BODY_BYTES = 1024;
const MESSAGES = 50;
const COMMITS = 5;
const conversation = ulid();
/** Of everybody. */
const accountKey = makeAccountKey();

export interface Measured {
  readonly suite: Suite;
  readonly devices: number;
  /** Who has renewed their keys since they were added. */
  readonly renewed: "nobody" | "everybody";
  readonly ms: Record<string, number>;
  readonly bytes: Record<string, number>;
}

interface Plan {
  readonly suite: Suite;
  readonly devices: number;
  /** Whether to measure once more after every device has renewed its keys. */
  readonly isWarmed: boolean;
}

interface Owned {
  readonly user: string;
  readonly device: string;
  readonly keys: DeviceKeys;
}

interface Device extends Owned {
  readonly keyPackage: MadeKeyPackage;
}

/** Two devices of the group stand for all: the one that has added the others, and the last of those. */
interface Pair {
  readonly others: readonly Device[];
  readonly first: Owned;
  committer: Group;
  reader: Group;
  standing: MadeCommit;
}

const mls = createMls({ authenticate: async () => true });

export async function measureGroup({ suite, devices, isWarmed }: Plan): Promise<Measured[]> {
  const watch = new Stopwatch();
  const pair = await grow(suite, devices, watch);
  const cold = { suite, devices, renewed: "nobody", ...(await measurePair(pair, suite, watch)) } as const;
  if (!isWarmed) return [cold];
  for (const device of pair.others) await renew(pair, device);
  const warm = { suite, devices, renewed: "everybody", ...(await measurePair(pair, suite, new Stopwatch())) } as const;
  return [cold, warm];
}

async function grow(suite: Suite, devices: number, watch: Stopwatch): Promise<Pair> {
  const others: Device[] = [];
  while (others.length < devices - 1) others.push(await makeDevice(suite, watch));
  const first = await makeKeys();
  let group = await mls.create(groupIdOf(conversation), suite, first.keys, Date.now());
  let standing: MadeCommit | undefined;
  const begun = performance.now();
  for (let at = 0; at < others.length; at += MAX_ADDS_PER_COMMIT) {
    const add = others.slice(at, at + MAX_ADDS_PER_COMMIT).map(({ keyPackage }) => keyPackage.keyPackage);
    standing = await mls.commit(group, { add });
    group = standing.group;
  }
  watch.note("addAll", performance.now() - begun);
  const last = others.pop();
  if (!standing?.welcome || !last) throw new Error("a group of one is none");
  const { welcome, tree } = standing;
  const joined = await watch.time("join", () => mls.join(welcome, tree, [last.keyPackage]));
  return { others, first, committer: group, reader: joined.group, standing };
}

async function measurePair(pair: Pair, suite: Suite, watch: Stopwatch) {
  const bytes: Record<string, number> = {};
  for (let n = 0; n < COMMITS; n++) bytes.commit = await commit(pair, watch, "openCommit");
  pair.reader = mls.decode(structuredClone(mls.encode(pair.reader)));
  await commit(pair, watch, "openCommitAfterLoading");
  bytes.messageOverhead = (await say(pair, watch)) - BODY_BYTES;
  const newcomer = await makeDevice(suite, watch);
  bytes.keyPackage = newcomer.keyPackage.keyPackage.byteLength;
  const addition = await mls.commit(pair.committer, { add: [newcomer.keyPackage.keyPackage] });
  bytes.welcomeOfOne = addition.welcome?.byteLength ?? 0;
  const { groupInfo, tree } = pair.standing;
  await watch.time("joinExternally", () => mls.joinExternally(groupInfo, tree, newcomer.keys, Date.now()));
  const encoded = await watch.time("encode", async () => mls.encode(pair.reader));
  await watch.time("decode", async () => mls.decode(encoded));
  Object.assign(bytes, { groupInfo: groupInfo.byteLength, tree: tree.byteLength });
  Object.assign(bytes, { storedRatchets: encoded.ratchets.byteLength, storedTree: encoded.tree.byteLength });
  return { ms: watch.medians(), bytes };
}

/** @returns the commit's size */
async function commit(pair: Pair, watch: Stopwatch, opening: string): Promise<number> {
  const made = await watch.time("commit", () => mls.commit(pair.committer, {}));
  await watch.time("gatewayFollows", () => follow(pair.standing, made, pair.first));
  const opened = await watch.time(opening, () => mls.open(pair.reader, made.commit));
  if (opened.kind !== "commit") throw new Error(opened.kind);
  Object.assign(pair, { committer: made.group, reader: opened.group, standing: made });
  return made.commit.byteLength;
}

/** What the gateway does with a commit. */
function follow(before: Entrance, made: MadeCommit, by: Owned): Promise<Uint8Array> {
  return treeAfter(before, readCommit(made, conversation, by), made.groupInfo, conversation, Date.now());
}

/** @returns a message's size */
async function say(pair: Pair, watch: Stopwatch): Promise<number> {
  const body = crypto.getRandomValues(new Uint8Array(BODY_BYTES));
  let size = 0;
  for (let n = 0; n < MESSAGES; n++) {
    const sealed = await watch.time("seal", () => mls.seal(pair.committer, "01JABCDEFGHJKMNPQRSTVWXYZ0", body));
    const opened = await watch.time("open", () => mls.open(pair.reader, sealed.message));
    if (opened.kind !== "message") throw new Error(opened.kind);
    Object.assign(pair, { committer: sealed.group, reader: opened.group });
    await watch.time("encodeAfterMessage", async () => mls.encode(pair.reader));
    size = sealed.message.byteLength;
  }
  return size;
}

/** From outside: so a device needs nothing but its keys, and has renewed its path as by a commit of its own. */
async function renew(pair: Pair, { keys }: Device): Promise<void> {
  const { groupInfo, tree } = pair.standing;
  const made = await mls.joinExternally(groupInfo, tree, keys, Date.now());
  const open = async (group: Group) => {
    const opened = await mls.open(group, made.commit);
    if (opened.kind !== "commit") throw new Error(opened.kind);
    return opened.group;
  };
  const [committer, reader] = [await open(pair.committer), await open(pair.reader)];
  Object.assign(pair, { committer, reader, standing: made });
}

async function makeDevice(suite: Suite, watch: Stopwatch): Promise<Device> {
  const { keys, ...owner } = await makeKeys();
  const lifetime = { notBefore: Date.now() - 1000, notAfter: Date.now() + KEY_PACKAGE_LIFETIME_MS - 1000 };
  return {
    ...owner,
    keys,
    keyPackage: await watch.time("keyPackage", () => mls.makeKeyPackage(keys, suite, lifetime)),
  };
}

async function makeKeys(): Promise<Owned> {
  const owner = { user: ulid(), device: ulid() };
  const { publicKey, seed: privateKey } = await makeKeyPair();
  const certified = { ...owner, issuedAt: Date.now(), mlsPublicKey: publicKey };
  const credential = await certifyDevice(await accountKey, certified);
  return { ...owner, keys: { publicKey, privateKey, credential } };
}
