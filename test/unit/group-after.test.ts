import { createCommit, createGroupInfoWithExternalPub } from "ts-mls/createCommit.js";
import type { CiphersuiteImpl } from "ts-mls/crypto/ciphersuite.js";
import { type GroupInfo, signGroupInfo } from "ts-mls/groupInfo.js";
import type { KeyPackage } from "ts-mls/keyPackage.js";
import type { LeafNode } from "ts-mls/leafNode.js";
import { encodeMlsMessage } from "ts-mls/message.js";
import { encodeRatchetTree } from "ts-mls/ratchetTree.js";
import { beforeAll, describe, expect, it } from "vitest";
import { certifyDevice, makeAccountKey } from "../../client/identity/account-key.ts";
import { makeKeyPair } from "../../client/identity/ed25519.ts";
import { noPsks } from "../../client/mls/commit.ts";
import { stateOf } from "../../client/mls/groups.ts";
import type { DeviceKeys, Group, MadeCommit, Suite } from "../../client/mls/mls.ts";
import { createMls } from "../../client/mls/ts-mls.ts";
import { KEY_PACKAGE_LIFETIME_MS } from "../../shared/limits.ts";
import { groupIdOf } from "../../shared/mls/framing.ts";
import { cryptoOf } from "../../shared/mls/suites.ts";
import { decodeMessage, decodeTree } from "../../shared/mls/wire.ts";
import type { LeafOwner } from "../../shared/rpc.ts";
import { type Entrance, treeAfter } from "../../workers/gateway/encryption/group-after.ts";
import { readCommit } from "../../workers/gateway/encryption/read-commit.ts";
import { craftKeyPackage } from "../mls/insider.ts";
import { Random } from "../sim/random.ts";
import { idOf } from "./core-driver.ts";

const mls = createMls({ authenticate: async () => true });
const groupId = idOf("0G", 1);
const inSeconds = (fromNow: number) => BigInt(Math.floor(Date.now() / 1_000) + fromNow);

class Device implements LeafOwner {
  readonly user: string;
  readonly device: string;
  readonly keys: DeviceKeys;

  private constructor({ user, device }: LeafOwner, keys: DeviceKeys) {
    this.user = user;
    this.device = device;
    this.keys = keys;
  }

  static async make(letter: string, number = 1): Promise<Device> {
    const owner = { user: idOf(`0${letter}`, 1), device: idOf(`1${letter}`, number) };
    const { publicKey, seed: privateKey } = await makeKeyPair();
    const certified = { ...owner, issuedAt: Date.now(), mlsPublicKey: publicKey };
    const credential = await certifyDevice(await makeAccountKey(), certified);
    return new Device(owner, { publicKey, privateKey, credential });
  }

  async keyPackage(suite: Suite = 1): Promise<Uint8Array> {
    const lifetime = { notBefore: Date.now() - 1_000, notAfter: Date.now() + KEY_PACKAGE_LIFETIME_MS };
    return (await mls.makeKeyPackage(this.keys, suite, lifetime)).keyPackage;
  }
}

let alice: Device;
let bob: Device;
let carol: Device;
beforeAll(async () => {
  [alice, bob, carol] = [await Device.make("A"), await Device.make("B"), await Device.make("C")];
});

async function founded(suite: Suite, other: Device): Promise<MadeCommit> {
  const alone = await mls.create(groupIdOf(groupId), suite, alice.keys, Date.now());
  return mls.commit(alone, { add: [await other.keyPackage(suite)] });
}

/** Alice's group with Bob, and her commit that adds Carol. */
async function scene(suite: Suite = 1): Promise<{ before: MadeCommit; made: MadeCommit }> {
  const before = await founded(suite, bob);
  return { before, made: await mls.commit(before.group, { add: [await carol.keyPackage(suite)] }) };
}

type Handed = Pick<MadeCommit, "commit" | "groupInfo" | "welcome">;

/** @returns the tree that the gateway makes of it */
const submit = async (before: Entrance | undefined, handed: Handed, by = alice): Promise<Uint8Array> =>
  treeAfter(before, readCommit(handed, groupId, by), handed.groupInfo, groupId, Date.now());

/** As a device does that has lost its place, or a new one. */
const canJoin = ({ groupInfo, tree }: Entrance, by: Device) => mls.joinExternally(groupInfo, tree, by.keys, Date.now());

/** What somebody else makes of a commit. */
async function following(group: Group, { commit }: Handed): Promise<Group> {
  const opened = await mls.open(group, commit);
  if (opened.kind !== "commit") throw new Error(opened.kind);
  return opened.group;
}

function infoOf(bytes: Uint8Array): GroupInfo {
  const message = decodeMessage(bytes, ["mls_group_info"]);
  if (!message) throw new Error("no group info");
  return message.groupInfo;
}

function leafOf({ tree }: MadeCommit, index: number): LeafNode {
  const node = decodeTree(tree)?.[2 * index];
  if (node?.nodeType !== "leaf") throw new Error("no leaf");
  return node.leaf;
}

const written = (groupInfo: GroupInfo) =>
  encodeMlsMessage({ version: "mls10", wireformat: "mls_group_info", groupInfo });

/** As whoever has the key can sign anything. */
async function signed(groupInfo: GroupInfo, by = alice): Promise<Uint8Array> {
  const { signature } = await cryptoOf(1);
  return written(await signGroupInfo(groupInfo, by.keys.privateKey, signature));
}

type Forge = (made: MadeCommit, before: MadeCommit) => Partial<Handed> | Promise<Partial<Handed>>;

/** The group info says something else, and is signed by its maker all the same. */
const saying =
  (change: (info: GroupInfo) => object): Forge =>
  async ({ groupInfo }) => {
    const info = infoOf(groupInfo);
    return { groupInfo: await signed({ ...info, ...change(info) } as GroupInfo) };
  };
const inContext = (change: (context: GroupInfo["groupContext"]) => object): Forge =>
  saying(({ groupContext }) => ({ groupContext: { ...groupContext, ...change(groupContext) } }));

/** By a device that does not care what it makes. */
async function careless(before: MadeCommit, change: Partial<CiphersuiteImpl>, added: KeyPackage[] = []) {
  const crypto = await cryptoOf(1);
  const signature = { ...crypto.signature, verify: async () => true };
  const context = {
    state: stateOf(before.group).epoch.library,
    cipherSuite: { ...crypto, signature, ...change },
    pskIndex: noPsks,
  };
  const extraProposals = added.map((keyPackage) => ({ proposalType: "add" as const, add: { keyPackage } }));
  const options = { wireAsPublicMessage: true, forceUpdatePath: true, extraProposals };
  const { commit, welcome, newState } = await createCommit(context, options);
  return {
    commit: encodeMlsMessage(commit),
    welcome: welcome && encodeMlsMessage({ version: "mls10", wireformat: "mls_welcome", welcome }),
    groupInfo: written(await createGroupInfoWithExternalPub(newState, [], crypto)),
    tree: encodeRatchetTree(newState.ratchetTree),
  };
}

/** @param place of the key: 0 is the parent's above the committer's leaf, 1 the leaf's */
async function withKey(before: MadeCommit, place: number, key: Uint8Array) {
  const { hpke } = await cryptoOf(1);
  let calls = 0;
  const exportPublicKey: typeof hpke.exportPublicKey = async (made) =>
    calls++ === place ? key : hpke.exportPublicKey(made);
  return careless(before, { hpke: { ...hpke, exportPublicKey } });
}

describe("R16 the group after a commit", () => {
  it.each<Suite>([1, 83])("is what its members make of it, and can be joined anew: suite %i", async (suite) => {
    const { before, made } = await scene(suite);
    expect(await submit(undefined, before)).toEqual(before.tree);
    expect(await submit(before, made)).toEqual(made.tree);
    const removing = await mls.commit(made.group, { remove: [1, 2] });
    expect(await submit(made, removing)).toEqual(removing.tree);
    const rejoining = await canJoin(made, bob);
    expect(await submit(made, rejoining, bob)).toEqual(rejoining.tree);
    const joining = await canJoin(removing, bob);
    expect(await submit(removing, joining, bob)).toEqual(joining.tree);
  });

  it("is so while it grows, shrinks and is joined, in any order", { timeout: 60_000 }, async () => {
    const random = new Random(7);
    const devices = await Promise.all(Array.from({ length: 12 }, (_, number) => Device.make("D", number + 1)));
    let standing = await founded(1, devices[0] as Device);
    for (let step = 0; step < 40; step++) {
      const { group } = standing;
      const present = new Set(group.members.map(({ publicKey }) => `${publicKey}`));
      const isIn = ({ keys }: Device) => present.has(`${keys.publicKey}`);
      const [inside, outside] = [devices.filter(isIn), devices.filter((device) => !isIn(device))];
      const others = group.members.map(({ leaf }) => leaf).filter((leaf) => leaf !== group.ownLeaf);
      const newcomers = outside.slice(0, random.between(0, 3));
      const remove = others.filter(() => random.between(0, 5) === 0);
      const joiner = random.pick([undefined, undefined, outside.at(-1), inside.at(-1)]);
      const add = await Promise.all(newcomers.map((device) => device.keyPackage()));
      const next = joiner ? await canJoin(standing, joiner) : await mls.commit(group, { add, remove });
      expect(await submit(standing, next, joiner), `step ${step}`).toEqual(next.tree);
      standing = joiner ? { ...next, group: await following(group, next) } : next;
    }
    for (const device of devices) await expect(canJoin(standing, device)).resolves.toBeDefined();
  });

  it.each<[string, Forge]>([
    ["signed by nobody", ({ groupInfo }) => ({ groupInfo: groupInfo.map((byte, at) => (at > 200 ? 0 : byte)) })],
    ["signed by somebody else", async ({ groupInfo }) => ({ groupInfo: await signed(infoOf(groupInfo), bob) })],
    [
      "of another member",
      async ({ groupInfo }) => ({ groupInfo: await signed({ ...infoOf(groupInfo), signer: 1 }, bob) }),
    ],
    ["of nobody's leaf", saying(() => ({ signer: 3 }))],
    ["of a leaf beyond the tree", saying(() => ({ signer: 4_294_967_295 }))],
    ["of another group", inContext(() => ({ groupId: groupIdOf(idOf("0G", 2)) }))],
    ["of the epoch before", inContext(() => ({ epoch: 1n }))],
    ["of a later epoch", inContext(() => ({ epoch: 3n }))],
    [
      "of a suite that nobody here has",
      inContext(() => ({ cipherSuite: "MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519" })),
    ],
    ["of another suite", inContext(() => ({ cipherSuite: "MLS_256_XWING_AES256GCM_SHA512_Ed25519" }))],
    ["with another tree's hash", inContext(() => ({ treeHash: new Uint8Array(32) }))],
    ["with a transcript hash that is none", inContext(() => ({ confirmedTranscriptHash: new Uint8Array(31) }))],
    ["with a confirmation tag that is none", saying(() => ({ confirmationTag: new Uint8Array() }))],
    [
      "of a group with extensions",
      inContext(() => ({ extensions: [{ extensionType: "external_senders", extensionData: new Uint8Array(1) }] })),
    ],
    ["without an external key", saying(() => ({ extensions: [] }))],
    [
      "with more than that",
      saying(({ extensions }) => ({
        extensions: [...extensions, { extensionType: 0xf0f0, extensionData: new Uint8Array(1) }],
      })),
    ],
    [
      "with an external key that nobody can encrypt to",
      saying(() => ({
        extensions: [{ extensionType: "external_pub", extensionData: Uint8Array.of(32, ...new Uint8Array(32)) }],
      })),
    ],
    [
      "with something behind its external key",
      saying(({ extensions }) => ({
        extensions: extensions.map((each) => ({ ...each, extensionData: Uint8Array.of(...each.extensionData, 0) })),
      })),
    ],
    [
      "that of another commit of the same device",
      async (_, before) => {
        const { groupInfo } = await mls.commit(before.group, { add: [await carol.keyPackage()] });
        return { groupInfo };
      },
    ],
  ])("is not told by a group info that is %s", async (_, forge) => {
    const { before, made } = await scene();
    await expect(submit(before, { ...made, ...(await forge(made, before)) })).rejects.toThrow("bad_frame");
    await expect(submit(before, made)).resolves.toBeDefined();
  });

  it.each<[string, (before: MadeCommit) => Uint8Array]>([
    ["of low order", () => new Uint8Array(32)],
    ["too short", () => new Uint8Array(31).fill(9)],
    ["too long", () => new Uint8Array(3_000).fill(9)],
    ["somebody else's", (before) => leafOf(before, 1).hpkePublicKey],
  ])("is none if a new key of the committer's is %s, in the leaf or above it", async (_, keyOf) => {
    const { before } = await scene();
    for (const place of [0, 1]) {
      await expect(submit(before, await withKey(before, place, keyOf(before))), `${place}`).rejects.toThrow(
        "bad_frame",
      );
    }
    await expect(submit(before, await careless(before, {}))).resolves.toBeDefined();
  });

  it("can be joined by all, though somebody's signature key is somebody's key for encryption", async () => {
    const { before } = await scene();
    for (const victim of [alice, bob, carol]) {
      const handed = await withKey(before, 1, victim.keys.publicKey);
      const entrance = { ...handed, tree: await submit(before, handed) };
      for (const device of [alice, bob, carol]) await expect(canJoin(entrance, device)).resolves.toBeDefined();
    }
  });

  it("is none if nobody has signed a leaf that the commit brings", async () => {
    const { before } = await scene();
    const { signature } = await cryptoOf(1);
    const isLeaf = (bytes: Uint8Array) => new TextDecoder().decode(bytes).includes("LeafNodeTBS");
    const sign: typeof signature.sign = async (key, bytes) => {
      const made = await signature.sign(key, bytes);
      return isLeaf(bytes) ? made.with(0, (made[0] ?? 0) ^ 1) : made;
    };
    const unsigned = await careless(before, { signature: { ...signature, sign } });
    await expect(submit(before, unsigned)).rejects.toThrow("bad_frame");
    const keyPackage = await craftKeyPackage(carol.keys);
    const leafNode = { ...keyPackage.leafNode, signature: new Uint8Array(64) };
    const adding = async (each: KeyPackage) => submit(before, await careless(before, {}, [each]));
    await expect(adding({ ...keyPackage, leafNode })).rejects.toThrow("bad_frame");
    await expect(adding(keyPackage)).resolves.toBeDefined();
  });

  it.each<[string, Parameters<typeof craftKeyPackage>[1]]>([
    ["is good for too long", { lifetime: { notBefore: inSeconds(-10), notAfter: inSeconds(101 * 86_400) } }],
    ["knows no basic credentials", { capabilities: { credentials: ["x509"] } }],
    ["knows another suite alone", { capabilities: { ciphersuites: ["MLS_256_XWING_AES256GCM_SHA512_Ed25519"] } }],
    ["is of another version", { capabilities: { versions: [] } }],
    ["is too large", { capabilities: { extensions: Array.from({ length: 10_000 }, (_, number) => 0xf000 + number) } }],
  ])("is none if somebody is added by a key package that %s", async (_, odd) => {
    const { before } = await scene();
    const made = await careless(before, {}, [await craftKeyPackage(carol.keys, odd)]);
    await expect(submit(before, made)).rejects.toThrow("bad_frame");
  });

  it("is none if somebody is added by a key package that is good no more", async () => {
    const { before, made } = await scene();
    const later = Date.now() + 2 * KEY_PACKAGE_LIFETIME_MS;
    const read = readCommit(made, groupId, alice);
    await expect(treeAfter(before, read, made.groupInfo, groupId, later)).rejects.toThrow("bad_frame");
  });

  it("is of the suite that it was of", async () => {
    const [{ before, made }, hybrid] = [await scene(), await founded(83, bob)];
    const other = { ...before, groupInfo: hybrid.groupInfo };
    await expect(submit(other, made)).rejects.toThrow("bad_frame");
  });

  it("can be joined where the commit makes no sense to members: its tag is another one", async () => {
    const { before, made } = await scene();
    const commit = made.commit.with(-1, (made.commit.at(-1) ?? 0) ^ 1);
    await expect(following(before.group, { ...made, commit })).rejects.toThrow();
    const tree = await submit(before, { ...made, commit });
    for (const device of [alice, bob, carol]) await expect(canJoin({ ...made, tree }, device)).resolves.toBeDefined();
  });

  it("is not somebody else's to make, and removes nobody who is not there", async () => {
    const { before } = await scene();
    const read = readCommit(await mls.commit(before.group, {}), groupId, alice);
    for (const change of [{ leaf: 1 }, { leaf: 9 }, { removes: [0] }, { removes: [7] }]) {
      const made = treeAfter(before, { ...read, ...change }, before.groupInfo, groupId, Date.now());
      await expect(made, JSON.stringify(change)).rejects.toThrow("not_allowed");
    }
    const founding = readCommit(before, groupId, alice);
    for (const change of [{ leaf: 1 }, { leaf: 4_294_967_295 }, { removes: [0] }, { removes: [1] }]) {
      const made = treeAfter(undefined, { ...founding, ...change }, before.groupInfo, groupId, Date.now());
      await expect(made, `founding ${JSON.stringify(change)}`).rejects.toThrow("not_allowed");
    }
  });

  it("is none after a tree that nobody can read, and begins no group anew", async () => {
    const { before } = await scene();
    const read = readCommit(before, groupId, alice);
    for (const tree of [new Uint8Array(), before.tree.subarray(1)]) {
      const made = treeAfter({ ...before, tree }, read, before.groupInfo, groupId, Date.now());
      await expect(made).rejects.toThrow("bad_frame");
    }
  });
});
