import { createGroup } from "ts-mls/clientState.js";
import { createCommit, joinGroupExternal } from "ts-mls/createCommit.js";
import { createProposal } from "ts-mls/createMessage.js";
import { defaultLifetime } from "ts-mls/lifetime.js";
import { encodeMlsMessage } from "ts-mls/message.js";
import type { Proposal } from "ts-mls/proposal.js";
import { encodeRatchetTree } from "ts-mls/ratchetTree.js";
import { ratchetUntil } from "ts-mls/secretTree.js";
import { describe, expect, test } from "vitest";
import { MAX_ADDS_PER_COMMIT, MAX_KEY_PACKAGE_LIFETIME_MS, MAX_MISSED_MESSAGES } from "../../shared/limits.ts";
import {
  authenticate,
  commitAmong,
  follow,
  hearOf,
  lifetime,
  makeGroups,
  makeKeys,
  makeNewcomer,
  mls,
  text,
  utf8,
} from "../../test/mls/device.ts";
import {
  addOf,
  craftCommit,
  craftKeyPackage,
  craftKeyPackagePair,
  craftMessage,
  libraryOf,
  signCommit,
  suite1,
  withHpke,
} from "../../test/mls/insider.ts";
import { makeGroup, stateOf } from "./groups.ts";
import type { Group, MlsErrorCode } from "./mls.ts";
import { retention } from "./private-message.ts";
import { reachRatchet } from "./secret-tree.ts";
import { createMls } from "./ts-mls.ts";
import { readMessage, readTree, writeMessage } from "./wire.ts";

const trusting = createMls({ authenticate: async () => true });

async function expectRefused(code: MlsErrorCode, promise: Promise<unknown>): Promise<void> {
  await expect(promise).rejects.toMatchObject({ name: "MlsError", code });
}

function contentOf(commit: Uint8Array) {
  const { content } = readMessage(commit, "mls_public_message").publicMessage;
  if (content.contentType !== "commit") throw new Error("no commit");
  return content;
}

function byValue(proposal: Proposal) {
  return { proposalOrRefType: "proposal", proposal } as const;
}

/** Refused, and the group is none the worse for it. */
async function expectNotOpened(code: MlsErrorCode, groups: Group[], by: number, message: Uint8Array): Promise<void> {
  await expectRefused(code, mls.open(groups[by]!, message));
  const speaker = by === 0 ? 1 : 0;
  const { message: sound, group } = await mls.seal(groups[speaker]!, "01J", utf8("sound"));
  groups[speaker] = group;
  groups[by] = await follow(groups[by]!, sound);
}

describe("what is of another place", () => {
  test("another group: wrong_group, for messages and commits", async () => {
    const groups = await makeGroups(["ann", "bob"]);
    const other = await mls.create(utf8("elsewhere"), 1, await makeKeys("eve"), Date.now());
    const made = await mls.commit(other, {});
    const sealed = await mls.seal(other, "01J", utf8("hi"));
    for (const message of [made.commit, sealed.message]) await expectNotOpened("wrong_group", groups, 1, message);
  });

  test("an epoch that is over, or to come: wrong_epoch, also for a commit that was opened before", async () => {
    const groups = await makeGroups(["ann", "bob", "cyd"]);
    const early = await mls.seal(groups[0]!, "01J", utf8("early"));
    groups[0] = early.group;
    const first = await commitAmong(groups, 1);
    const second = await mls.commit(groups[0]!, {});
    const ahead = await mls.seal(second.group, "01J", utf8("ahead"));
    const third = await mls.commit(ahead.group, {});
    for (const message of [first.commit, early.message, ahead.message, third.commit]) {
      await expectNotOpened("wrong_epoch", groups, 2, message);
    }
  });

  test("a history that has forked: undecryptable, whether member, message or newcomer", async () => {
    const [ann, bob, cyd, dan] = await makeGroups(["ann", "bob", "cyd", "dan"]);
    const [left, right] = [await mls.commit(ann!, {}), await mls.commit(bob!, {})];
    const fork = [right.group, await follow(dan!, right.commit)];
    await follow(cyd!, left.commit);
    const next = await mls.commit(left.group, {});
    const newcomer = await mls.joinExternally(left.groupInfo, left.tree, await makeKeys("eve"), Date.now());
    const sealed = await mls.seal(left.group, "01J", utf8("over here"));
    for (const message of [next.commit, newcomer.commit, sealed.message]) {
      await expectNotOpened("undecryptable", fork, 1, message);
    }
  });
});

describe("what is of somebody else than it says", () => {
  test("a message with another one's sender data: undecryptable", async () => {
    const groups = await makeGroups(["ann", "bob", "cyd"]);
    const sealed = await Promise.all([0, 1].map((by) => mls.seal(groups[by]!, "01J", utf8("mine"))));
    const [ann, bob] = sealed.map(({ message }) => readMessage(message, "mls_private_message").privateMessage);
    const spliced = { ...ann!, encryptedSenderData: bob!.encryptedSenderData };
    const message = writeMessage({ wireformat: "mls_private_message", privateMessage: spliced });
    [groups[0], groups[1]] = sealed.map(({ group }) => group) as [Group, Group];
    await expectRefused("undecryptable", mls.open(groups[2]!, message));
  });

  test("a message with another id than it was sealed with: undecryptable", async () => {
    const groups = await makeGroups(["ann", "bob"]);
    const { message, group } = await mls.seal(groups[0]!, "01JA", utf8("hi"));
    groups[0] = group;
    const { privateMessage } = readMessage(message, "mls_private_message");
    const renamed = { ...privateMessage, authenticatedData: utf8("01JB") };
    const forged = writeMessage({ wireformat: "mls_private_message", privateMessage: renamed });
    await expectNotOpened("undecryptable", groups, 1, forged);
  });

  test("a message that a member seals in another member's name: undecryptable", async () => {
    const groups = await makeGroups(["ann", "bob", "cyd"]);
    await expectNotOpened("undecryptable", groups, 2, await craftMessage(groups[1]!, 0, utf8("I am ann")));
  });

  test("a message in the name of a leaf that nobody has: not_a_member", async () => {
    const groups = await makeGroups(["ann", "bob", "cyd"]);
    await expectNotOpened("not_a_member", groups, 2, await craftMessage(groups[1]!, 3, utf8("I am nobody")));
  });

  test("a commit that a member makes in another member's name: undecryptable", async () => {
    const groups = await makeGroups(["ann", "bob", "cyd"]);
    const state = libraryOf(groups[1]!);
    const commit = await craftCommit({ ...state, privatePath: { ...state.privatePath, leafIndex: 0 } }, []);
    await expectNotOpened("undecryptable", groups, 2, commit);
  });

  test("a commit without a member's secrets: undecryptable", async () => {
    const groups = await makeGroups(["ann", "bob", "cyd"]);
    const state = libraryOf(groups[1]!);
    const keySchedule = { ...state.keySchedule, membershipKey: new Uint8Array(32) };
    await expectNotOpened("undecryptable", groups, 2, await craftCommit({ ...state, keySchedule }, []));
  });

  test("a commit in the name of a leaf that nobody has: not_a_member", async () => {
    const groups = await makeGroups(["ann", "bob", "cyd"]);
    const { commit } = await mls.commit(groups[0]!, {});
    const { publicMessage } = readMessage(commit, "mls_public_message");
    const content = { ...publicMessage.content, sender: { senderType: "member", leafIndex: 0x8000_0000 } as const };
    const forged = writeMessage({ wireformat: "mls_public_message", publicMessage: { ...publicMessage, content } });
    await expectNotOpened("not_a_member", groups, 2, forged);
  });

  test("what this device has made itself: undecryptable", async () => {
    const groups = await makeGroups(["ann", "bob"]);
    const made = await mls.commit(groups[0]!, {});
    await expectRefused("undecryptable", mls.open(groups[0]!, made.commit));
    const sealed = await mls.seal(groups[0]!, "01J", utf8("hi"));
    await expectRefused("undecryptable", mls.open(sealed.group, sealed.message));
  });

  test("a member who turns into somebody else: unsupported", async () => {
    const groups = await makeGroups(["ann", "bob"]);
    const state = libraryOf(groups[0]!);
    const [own] = state.ratchetTree;
    if (own?.nodeType !== "leaf") throw new Error("no leaf");
    const credential = { credentialType: "basic", identity: utf8("bob") } as const;
    const ratchetTree = state.ratchetTree.with(0, { nodeType: "leaf", leaf: { ...own.leaf, credential } });
    await expectNotOpened("unsupported", groups, 1, await craftCommit({ ...state, ratchetTree }, []));
  });
});

describe("a key that is too far on", () => {
  async function aheadBy(generations: number): Promise<{ message: Uint8Array; reader: Group }> {
    const [ann, bob] = await makeGroups(["ann", "bob"]);
    const { epoch, secrets } = stateOf(ann!);
    const reached = await reachRatchet(secrets, 0, epoch.leaves, suite1.kdf);
    const config = { ...retention, maximumForwardRatchetSteps: generations };
    const [ratchet] = await ratchetUntil(reached.ratchet, generations, config, suite1.kdf);
    const moved = makeGroup({ epoch, secrets: { ...reached.tree, ratchets: { 0: ratchet } } });
    return { message: (await mls.seal(moved, "01J", utf8("far"))).message, reader: bob! };
  }

  test("is reached as far as messages can be missed, and no further", async () => {
    const last = await aheadBy(MAX_MISSED_MESSAGES);
    expect(await mls.open(last.reader, last.message)).toMatchObject({ plaintext: utf8("far") });
    const further = await aheadBy(MAX_MISSED_MESSAGES + 1);
    await expectRefused("undecryptable", mls.open(further.reader, further.message));
  });
});

describe("what this client takes no part in: unsupported", () => {
  const proposals: Record<string, Proposal> = {
    psk: {
      proposalType: "psk",
      psk: { preSharedKeyId: { psktype: "external", pskId: utf8("x"), pskNonce: new Uint8Array(32) } },
    },
    reinit: {
      proposalType: "reinit",
      reinit: { groupId: utf8("next"), version: "mls10", cipherSuite: suite1.name, extensions: [] },
    },
    "group context extensions": {
      proposalType: "group_context_extensions",
      groupContextExtensions: { extensions: [{ extensionType: 0xf001, extensionData: utf8("x") }] },
    },
    "an unknown proposal": { proposalType: 0xf002, proposalData: utf8("x") },
  };

  test.each(Object.keys(proposals))("a commit with %s", async (name) => {
    const groups = await makeGroups(["ann", "bob"]);
    await expectNotOpened("unsupported", groups, 1, await craftCommit(libraryOf(groups[0]!), [proposals[name]!]));
  });

  test("a proposal by itself, and a commit that refers to one", async () => {
    const groups = await makeGroups(["ann", "bob"]);
    const remove: Proposal = { proposalType: "remove", remove: { removed: 1 } };
    const { message, newState } = await createProposal(libraryOf(groups[0]!), true, remove, suite1);
    await expectNotOpened("unsupported", groups, 1, encodeMlsMessage(message));
    await expectNotOpened("unsupported", groups, 1, await craftCommit(newState, []));
    expect(await mls.keyPackagesAdded(encodeMlsMessage(message))).toEqual([]);
  });

  test("a commit that is secret: the delivery service has to see it", async () => {
    const groups = await makeGroups(["ann", "bob"]);
    const { message, group } = await mls.seal(groups[0]!, "01J", utf8("hi"));
    groups[0] = group;
    const { privateMessage } = readMessage(message, "mls_private_message");
    for (const contentType of ["commit", "proposal"] as const) {
      const handshake = { ...privateMessage, contentType };
      const hidden = writeMessage({ wireformat: "mls_private_message", privateMessage: handshake });
      await expectNotOpened("unsupported", groups, 1, hidden);
    }
  });

  test("a member's commit with an ExternalInit, and a newcomer's with anything else", async () => {
    const groups = await makeGroups(["ann", "bob", "cyd"]);
    const ann = libraryOf(groups[0]!);
    const { keyPackage } = await makeNewcomer("dan");
    const add = addOf(readMessage(keyPackage.keyPackage, "mls_key_package").keyPackage);
    const init: Proposal = { proposalType: "external_init", externalInit: { kemOutput: new Uint8Array(32) } };
    const remove = (removed: number): Proposal => ({ proposalType: "remove", remove: { removed } });
    const newcomer = { senderType: "new_member_commit" } as const;
    const member = { senderType: "member", leafIndex: 0 } as const;
    const { commit } = contentOf((await mls.commit(groups[0]!, {})).commit);
    const cases = [
      [member, [init]],
      [newcomer, []],
      [newcomer, [init, init]],
      [newcomer, [init, add]],
      [newcomer, [init, remove(0), remove(0)]],
      [newcomer, [init, remove(1)]],
    ] as const;
    for (const [sender, proposals] of cases) {
      const content = { ...commit, proposals: proposals.map(byValue) };
      await expectNotOpened("unsupported", groups, 1, await signCommit(ann, content, sender));
    }
    const nowhere = await signCommit(ann, { ...commit, proposals: [byValue(remove(7))] }, member);
    await expectNotOpened("not_a_member", groups, 1, nowhere);
  });

  test("a newcomer who removes somebody else", async () => {
    const groups = await makeGroups(["ann", "bob", "cyd"]);
    const made = await commitAmong(groups, 0);
    const keys = await makeKeys("eve");
    const { groupInfo } = readMessage(made.groupInfo, "mls_group_info");
    const { publicPackage, privatePackage } = await craftKeyPackagePair(keys);
    const config = {
      ...libraryOf(groups[0]!).clientConfig,
      keyPackageEqualityConfig: { compareKeyPackages: () => false, compareKeyPackageToLeafNode: () => true },
    };
    const tree = readTree(made.tree);
    const joined = await joinGroupExternal(groupInfo, publicPackage, privatePackage, true, suite1, tree, config);
    const commit = writeMessage({ wireformat: "mls_public_message", publicMessage: joined.publicMessage });
    await expectNotOpened("unsupported", groups, 2, commit);
  });

  test("another suite, in a key package, a Welcome or a commit", async () => {
    const foreign = { ...suite1, name: "MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519" } as const;
    const keyPackage = await craftKeyPackage(await makeKeys("eve"), { crypto: foreign });
    const bytes = writeMessage({ wireformat: "mls_key_package", keyPackage });
    await expectRefused("unsupported", mls.inspectKeyPackage(bytes, Date.now()));
    const group = await mls.create(utf8("conversation"), 1, await makeKeys("ann"), Date.now());
    await expectRefused("unsupported", mls.commit(group, { add: [bytes] }));
    const hybrid = await makeNewcomer("bob", 83);
    await expectRefused("unsupported", mls.commit(group, { add: [hybrid.keyPackage.keyPackage] }));
    const welcome = { cipherSuite: foreign.name, secrets: [], encryptedGroupInfo: new Uint8Array(8) };
    const message = writeMessage({ wireformat: "mls_welcome", welcome });
    await expectRefused("unsupported", mls.join(message, new Uint8Array([0]), []));
  });

  test("a credential that is not a basic one", async () => {
    const keys = await makeKeys("eve");
    const keyPackage = await craftKeyPackage(keys, { credential: { credentialType: "x509", certificates: [] } });
    const bytes = writeMessage({ wireformat: "mls_key_package", keyPackage });
    await expectRefused("unsupported", mls.inspectKeyPackage(bytes, Date.now()));
    const groups = await makeGroups(["ann", "bob"]);
    await expectRefused("unsupported", mls.commit(groups[0]!, { add: [bytes] }));
  });

  test("a group with extensions", async () => {
    const [ann, bob] = [await craftKeyPackagePair(await makeKeys("ann")), await makeNewcomer("bob")];
    const extensions = [{ extensionType: "required_capabilities", extensionData: new Uint8Array(3) } as const];
    const state = await createGroup(utf8("c"), ann.publicPackage, ann.privatePackage, extensions, suite1);
    const { keyPackage } = readMessage(bob.keyPackage.keyPackage, "mls_key_package");
    const options = { wireAsPublicMessage: true, extraProposals: [addOf(keyPackage)] };
    const made = await createCommit({ state, cipherSuite: suite1 }, options);
    const welcome = writeMessage({ wireformat: "mls_welcome", welcome: made.welcome! });
    const tree = encodeRatchetTree(made.newState.ratchetTree);
    await expectRefused("unsupported", mls.join(welcome, tree, [bob.keyPackage]));
  });

  test("more members at once than agreed, and one's own removal", async () => {
    const { keyPackage } = await makeNewcomer("bob");
    const group = await mls.create(utf8("conversation"), 1, await makeKeys("ann"), Date.now());
    const add = Array.from({ length: MAX_ADDS_PER_COMMIT + 1 }, () => keyPackage.keyPackage);
    await expectRefused("unsupported", mls.commit(group, { add }));
    await expectRefused("unsupported", mls.commit(group, { remove: [0] }));
  });
});

describe("who is vouched for by nobody: unauthentic", () => {
  test("somebody who is to be added, or whom somebody else adds", async () => {
    const groups = await makeGroups(["ann", "bob"]);
    const keys = { ...(await makeKeys("eve")), credential: utf8("somebody else") };
    const made = await mls.makeKeyPackage(keys, 1, lifetime);
    await expectRefused("unauthentic", mls.commit(groups[0]!, { add: [made.keyPackage] }));
    const ann = trusting.decode(mls.encode(groups[0]!));
    const { commit } = await trusting.commit(ann, { add: [made.keyPackage] });
    await expectNotOpened("unauthentic", groups, 1, commit);
  });

  test("somebody who is there already, for those who join", async () => {
    const ann = { ...(await makeKeys("ann")), credential: utf8("nobody") };
    const group = await trusting.create(utf8("conversation"), 1, ann, Date.now());
    const bob = await makeNewcomer("bob");
    const made = await trusting.commit(group, { add: [bob.keyPackage.keyPackage] });
    await expectRefused("unauthentic", mls.join(made.welcome!, made.tree, [bob.keyPackage]));
    await expectRefused("unauthentic", mls.joinExternally(made.groupInfo, made.tree, bob.keys, Date.now()));
  });

  test("somebody who joins from outside", async () => {
    const groups = await makeGroups(["ann", "bob"]);
    const made = await commitAmong(groups, 0);
    const keys = { ...(await makeKeys("eve")), credential: utf8("nobody") };
    const { commit } = await trusting.joinExternally(made.groupInfo, made.tree, keys, Date.now());
    await expectNotOpened("unauthentic", groups, 1, commit);
  });

  test("somebody whom the authentication service fails on", async () => {
    const failing = createMls({ authenticate: () => Promise.reject(new Error("offline")) });
    const group = await failing.create(utf8("conversation"), 1, await makeKeys("ann"), Date.now());
    const { keyPackage } = await makeNewcomer("bob");
    await expectRefused("unauthentic", failing.commit(group, { add: [keyPackage.keyPackage] }));
  });

  test("it is asked for the key that the leaf has, and for every leaf", async () => {
    const asked = new Set<string>();
    const curious = createMls({
      authenticate: async (credential, publicKey) => {
        asked.add(text(credential));
        return authenticate(credential, publicKey);
      },
    });
    const groups = await makeGroups(["ann", "bob", "cyd"]);
    const dan = await makeNewcomer("dan");
    const made = await mls.commit(groups[0]!, { add: [dan.keyPackage.keyPackage] });
    await curious.join(made.welcome!, made.tree, [dan.keyPackage]);
    expect([...asked].sort()).toEqual(["ann", "bob", "cyd", "dan"]);
  });
});

describe("what is over, or good for too long: expired", () => {
  const day = 24 * 3_600_000;
  const cases = {
    over: { notBefore: Date.now() - 2 * day, notAfter: Date.now() - day },
    "still to come": { notBefore: Date.now() + day, notAfter: Date.now() + 2 * day },
  };

  test.each(Object.entries(cases))("a key package that is %s", async (_, odd) => {
    const { keyPackage } = await mls.makeKeyPackage(await makeKeys("eve"), 1, odd);
    await expectRefused("expired", mls.inspectKeyPackage(keyPackage, Date.now()));
    expect(await mls.inspectKeyPackage(keyPackage, odd.notBefore + 1000)).toBeDefined();
    const group = await mls.create(utf8("conversation"), 1, await makeKeys("ann"), Date.now());
    await expectRefused("expired", mls.commit(group, { add: [keyPackage] }));
  });

  test("a key package of unlimited lifetime, also one that somebody else adds", async () => {
    const keys = await makeKeys("eve");
    const endless = { notBefore: 0, notAfter: MAX_KEY_PACKAGE_LIFETIME_MS + 1000 };
    await expectRefused("expired", mls.makeKeyPackage(keys, 1, endless));
    const keyPackage = await craftKeyPackage(keys, { lifetime: defaultLifetime });
    const bytes = writeMessage({ wireformat: "mls_key_package", keyPackage });
    await expectRefused("expired", mls.inspectKeyPackage(bytes, Date.now()));
    const groups = await makeGroups(["ann", "bob"]);
    await expectNotOpened("expired", groups, 1, await craftCommit(libraryOf(groups[0]!), [addOf(keyPackage)]));
  });
});

describe("who is addressed", () => {
  test("none of the candidates: not_for_us", async () => {
    const [bob, cyd] = [await makeNewcomer("bob"), await makeNewcomer("cyd")];
    const hybrid = await makeNewcomer("dan", 83);
    const group = await mls.create(utf8("conversation"), 1, await makeKeys("ann"), Date.now());
    const made = await mls.commit(group, { add: [bob.keyPackage.keyPackage] });
    for (const candidates of [[], [cyd.keyPackage, hybrid.keyPackage]]) {
      await expectRefused("not_for_us", mls.join(made.welcome!, made.tree, candidates));
    }
  });

  test("nobody to remove: not_a_member; nobody to add: already_a_member", async () => {
    const bob = await makeNewcomer("bob");
    const group = await mls.create(utf8("conversation"), 1, await makeKeys("ann"), Date.now());
    await expectRefused("not_a_member", mls.commit(group, { remove: [1] }));
    const add = [bob.keyPackage.keyPackage];
    await expectRefused("already_a_member", mls.commit(group, { add: [...add, ...add] }));
    const made = await mls.commit(group, { add });
    await expectRefused("already_a_member", mls.commit(made.group, { add }));
  });
});

describe("a tree in which a key stands twice: malformed", () => {
  test("an encryption key that a member has", async () => {
    const groups = await makeGroups(["ann", "bob"]);
    const [own] = libraryOf(groups[0]!).ratchetTree;
    if (own?.nodeType !== "leaf") throw new Error("no leaf");
    const taken = await suite1.hpke.importPublicKey(own.leaf.hpkePublicKey);
    const pairs = [await suite1.hpke.generateKeyPair(), { ...(await suite1.hpke.generateKeyPair()), publicKey: taken }];
    const crypto = withHpke({ generateKeyPair: async () => pairs.shift()! });
    const keyPackage = await craftKeyPackage(await makeKeys("eve"), { crypto });
    // Ann's own key changes with her commit, so it is Bob who lets the double in.
    const commit = await craftCommit(libraryOf(groups[1]!), [addOf(keyPackage)]);
    await expectNotOpened("malformed", groups, 0, commit);
  });

  test("a signature key that a member has", async () => {
    const groups = await makeGroups(["ann", "bob"]);
    const keys = await makeKeys("cyd");
    const made = await commitAmong(groups, 0);
    const first = await mls.joinExternally(made.groupInfo, made.tree, keys, Date.now());
    for (const at of [0, 1]) groups[at] = await follow(groups[at]!, first.commit);
    const { groupInfo } = readMessage(first.groupInfo, "mls_group_info");
    const pair = await craftKeyPackagePair(keys);
    const [tree, { clientConfig }] = [readTree(first.tree), libraryOf(groups[0]!)];
    const twice = await joinGroupExternal(
      groupInfo,
      pair.publicPackage,
      pair.privatePackage,
      false,
      suite1,
      tree,
      clientConfig,
    );
    const commit = writeMessage({ wireformat: "mls_public_message", publicMessage: twice.publicMessage });
    await expectNotOpened("malformed", groups, 1, commit);
  });

  test("a key package whose keys nobody can encrypt to", async () => {
    const short = withHpke({ exportPublicKey: async () => new Uint8Array(31) });
    let calls = 0;
    const crypto = withHpke({
      exportPublicKey: async (key) =>
        calls++ === 0 ? suite1.hpke.exportPublicKey(key) : short.hpke.exportPublicKey(key),
    });
    const keyPackage = await craftKeyPackage(await makeKeys("eve"), { crypto });
    const bytes = writeMessage({ wireformat: "mls_key_package", keyPackage });
    await expectRefused("malformed", mls.inspectKeyPackage(bytes, Date.now()));
  });
});

test("what was refused has left everything as it was", async () => {
  const groups = await makeGroups(["ann", "bob"]);
  await expectRefused("malformed", mls.open(groups[1]!, utf8("nonsense")));
  expect(await hearOf(groups, 0, "sound")).toEqual(["sound"]);
});
