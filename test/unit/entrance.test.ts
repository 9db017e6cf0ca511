import { createCommit, createGroupInfoWithExternalPub } from "ts-mls/createCommit.js";
import type { CiphersuiteImpl } from "ts-mls/crypto/ciphersuite.js";
import { type GroupInfo, signGroupInfo } from "ts-mls/groupInfo.js";
import type { KeyPackage } from "ts-mls/keyPackage.js";
import { encodeMlsMessage } from "ts-mls/message.js";
import { encodeRatchetTree, type RatchetTree } from "ts-mls/ratchetTree.js";
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
import { readSubmission } from "../../workers/gateway/encryption/read-submission.ts";
import { idOf } from "./core-driver.ts";

const mls = createMls({ authenticate: async () => true });
const groupId = idOf("0G", 1);

class Device {
  readonly user: string;
  readonly device: string;
  readonly keys: DeviceKeys;

  private constructor(letter: string, keys: DeviceKeys) {
    [this.user, this.device] = [idOf(`0${letter}`, 1), idOf(`1${letter}`, 1)];
    this.keys = keys;
  }

  static async make(letter: string): Promise<Device> {
    const { publicKey, seed: privateKey } = await makeKeyPair();
    const named = { user: idOf(`0${letter}`, 1), device: idOf(`1${letter}`, 1) };
    const certified = { ...named, issuedAt: Date.now(), mlsPublicKey: publicKey };
    const credential = await certifyDevice(await makeAccountKey(), certified);
    return new Device(letter, { publicKey, privateKey, credential });
  }

  async keyPackage(suite: Suite): Promise<Uint8Array> {
    const lifetime = { notBefore: Date.now() - 1_000, notAfter: Date.now() + KEY_PACKAGE_LIFETIME_MS };
    return (await mls.makeKeyPackage(this.keys, suite, lifetime)).keyPackage;
  }

  alone(suite: Suite): Promise<Group> {
    return mls.create(groupIdOf(groupId), suite, this.keys, Date.now());
  }
}

let [alice, bob, carol]: Device[] = [];
beforeAll(async () => {
  [alice, bob, carol] = await Promise.all(["A", "B", "C"].map((letter) => Device.make(letter)));
});

const who = (device: Device | undefined): Device => {
  if (!device) throw new Error("nobody");
  return device;
};

/** Alice's group with Bob, and her commit that adds Carol. */
async function scene(suite: Suite = 1): Promise<{ before: MadeCommit; made: MadeCommit }> {
  const before = await mls.commit(await who(alice).alone(suite), { add: [await who(bob).keyPackage(suite)] });
  return { before, made: await mls.commit(before.group, { add: [await who(carol).keyPackage(suite)] }) };
}

const submit = (bytes: Omit<MadeCommit, "group">, by = alice) => readSubmission(bytes, groupId, who(by));

function infoOf(bytes: Uint8Array): GroupInfo {
  const message = decodeMessage(bytes, ["mls_group_info"]);
  if (!message) throw new Error("no group info");
  return message.groupInfo;
}

function treeOf(bytes: Uint8Array): RatchetTree {
  const tree = decodeTree(bytes);
  if (!tree) throw new Error("no tree");
  return tree;
}

const written = (groupInfo: GroupInfo) =>
  encodeMlsMessage({ version: "mls10", wireformat: "mls_group_info", groupInfo });

/** As whoever has the key can sign anything. */
async function signed(groupInfo: GroupInfo, by = alice): Promise<Uint8Array> {
  const { signature } = await cryptoOf(1);
  return written(await signGroupInfo(groupInfo, who(by).keys.privateKey, signature));
}

type Forged = Partial<Pick<MadeCommit, "groupInfo" | "tree">>;
type Forge = (made: MadeCommit, before: MadeCommit) => Forged | Promise<Forged>;

/** The group info says something else, and is signed by its maker all the same. */
const saying =
  (change: (info: GroupInfo) => object): Forge =>
  async ({ groupInfo }) => {
    const info = infoOf(groupInfo);
    return { groupInfo: await signed({ ...info, ...change(info) } as GroupInfo) };
  };
const inContext = (change: (context: GroupInfo["groupContext"]) => object): Forge =>
  saying(({ groupContext }) => ({ groupContext: { ...groupContext, ...change(groupContext) } }));

describe("R16 what whoever joins later would be given", () => {
  it.each<Suite>([1, 83])("is taken as it is made, by a member and from outside: suite %i", async (suite) => {
    const { before, made } = await scene(suite);
    const { read, brought } = await submit(made);
    expect(read).toMatchObject({ epoch: 1, leaf: 0, removes: [], suite });
    expect(brought.map(({ device }) => device)).toEqual([who(alice).device, who(carol).device]);
    const founding = (await submit(before)).read;
    // The committer's leaf is another one with each commit; Bob's is the one that he was added with.
    expect(read.leaves).toEqual([read.own, founding.leaves[1], read.adds[0]?.digest]);
    expect(founding.leaves).toEqual([founding.own, founding.adds[0]?.digest]);
    const removing = await submit(await mls.commit(made.group, { remove: [1, 2] }));
    expect(removing.read).toMatchObject({ removes: [1, 2], leaves: [removing.read.own] });
    const joining = await mls.joinExternally(made.groupInfo, made.tree, who(bob).keys, Date.now());
    expect((await submit(joining, bob)).read).toMatchObject({ leaf: null, removes: [1] });
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
    ["with another group's tree", async () => ({ tree: (await scene()).made.tree })],
    ["with the tree of the epoch before", (_, before) => ({ tree: before.tree })],
    [
      "that of another commit of the same device",
      async (_, before) => {
        const { groupInfo, tree } = await mls.commit(before.group, { add: [await who(carol).keyPackage(1)] });
        return { groupInfo, tree };
      },
    ],
    ["with no tree", () => ({ tree: new Uint8Array() })],
    ["with an empty tree", () => ({ tree: Uint8Array.of(0) })],
    ["with a tree and something behind it", ({ tree }) => ({ tree: Uint8Array.of(...tree, 0) })],
    [
      "with a tree that ends in blanks",
      ({ tree }) => {
        const [, , ...nodes] = [...tree, 0, 0];
        return { tree: Uint8Array.of(0x40 | (nodes.length >> 8), nodes.length & 255, ...nodes) };
      },
    ],
  ])("is refused if it is %s", async (_, forge) => {
    const { before, made } = await scene();
    await expect(submit({ ...made, ...(await forge(made, before)) })).rejects.toThrow("bad_frame");
    await expect(submit(made)).resolves.toBeDefined();
  });

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

  it("is refused if nobody could encrypt to the committer's new keys, the leaf's or another", async () => {
    const { before } = await scene();
    const { hpke } = await cryptoOf(1);
    const parentsOf = (tree: Uint8Array) =>
      treeOf(tree).flatMap((node) => (node?.nodeType === "parent" ? [node.parent.hpkePublicKey] : []));
    for (const useless of [0, 1]) {
      let calls = 0;
      const exportPublicKey: typeof hpke.exportPublicKey = async (key) =>
        calls++ === useless ? new Uint8Array(32) : hpke.exportPublicKey(key);
      const made = await careless(before, { hpke: { ...hpke, exportPublicKey } });
      expect(parentsOf(made.tree).some((key) => key.every((byte) => byte === 0))).toBe(useless === 0);
      await expect(submit(made)).rejects.toThrow("bad_frame");
    }
    await expect(submit(await careless(before, {}))).resolves.toBeDefined();
  });

  it("is refused if nobody has signed a leaf that the commit brings", async () => {
    const { before } = await scene();
    const { signature } = await cryptoOf(1);
    const isLeaf = (bytes: Uint8Array) => new TextDecoder().decode(bytes).includes("LeafNodeTBS");
    const sign: typeof signature.sign = async (key, bytes) => {
      const signed = await signature.sign(key, bytes);
      return isLeaf(bytes) ? signed.with(0, (signed[0] ?? 0) ^ 1) : signed;
    };
    await expect(submit(await careless(before, { signature: { ...signature, sign } }))).rejects.toThrow("bad_frame");
    const message = decodeMessage(await who(carol).keyPackage(1), ["mls_key_package"]);
    if (!message) throw new Error("no key package");
    const { keyPackage } = message;
    const unsigned = { ...keyPackage.leafNode, signature: new Uint8Array(64) };
    const adding = (each: KeyPackage) => careless(before, {}, [each]);
    await expect(submit(await adding({ ...keyPackage, leafNode: unsigned }))).rejects.toThrow("bad_frame");
    await expect(submit(await adding(keyPackage))).resolves.toBeDefined();
  });
});
