import { describe, expect, test } from "vitest";
import { commitAmong, hearOf, makeGroups, makeKeys, makeNewcomer, mls, utf8 } from "../../test/mls/device.ts";
import { libraryOf } from "../../test/mls/insider.ts";
import { stateOf } from "./groups.ts";
import type { EncodedGroup, Group, Suite } from "./mls.ts";

const suites: Suite[] = [1, 83];

function secretsOf(group: Group): Uint8Array[] {
  const { epoch, secrets } = stateOf(group);
  const ratchets = Object.values(secrets.ratchets);
  return [
    ...Object.values(epoch.library.keySchedule),
    ...Object.values(epoch.library.privatePath.privateKeys),
    ...Object.values(secrets.subtrees),
    ...ratchets.flatMap(({ secret, unusedGenerations }) => [secret, ...Object.values(unusedGenerations)]),
  ];
}

const isZero = (bytes: Uint8Array) => bytes.every((byte) => byte === 0);
const contains = (whole: Uint8Array, part: Uint8Array) => Buffer.from(whole).includes(Buffer.from(part));

describe.each(suites)("a stored group, suite %i", (suite) => {
  test("comes back as it was, to the byte, and goes on", async () => {
    const groups = await makeGroups(["ann", "bob", "cyd"], suite);
    await hearOf(groups, 0, "one");
    await hearOf(groups, 1, "two");
    for (const [at, group] of groups.entries()) {
      const encoded = mls.encode(group);
      const copy = structuredClone(encoded);
      const decoded = mls.decode(encoded);
      expect(decoded).toEqual(group);
      expect(mls.encode(decoded)).toEqual(copy);
      expect(encoded).toEqual(copy);
      groups[at] = decoded;
    }
    expect(await hearOf(groups, 2, "three")).toEqual(["three", "three"]);
    await commitAmong(groups, 1);
    expect(await hearOf(groups, 0, "four")).toEqual(["four", "four"]);
  });
});

test("a message changes the ratchets and not the tree, which is the same object; an epoch changes both", async () => {
  const groups = await makeGroups(["ann", "bob"]);
  const before = groups.map((group) => mls.encode(group));
  await hearOf(groups, 0, "hi");
  const after = groups.map((group) => mls.encode(group));
  for (const at of [0, 1]) {
    expect(after[at]!.tree).toBe(before[at]!.tree);
    expect(after[at]!.ratchets).not.toEqual(before[at]!.ratchets);
  }
  await commitAmong(groups, 0);
  expect(mls.encode(groups[1]!).tree).not.toEqual(before[1]!.tree);
});

test("what a store gives back is left as it is, whatever becomes of the group", async () => {
  const groups = await makeGroups(["ann", "bob"]);
  const encoded = mls.encode(groups[1]!);
  const copy = structuredClone(encoded);
  groups[1] = mls.decode(encoded);
  await hearOf(groups, 1, "hi");
  await commitAmong(groups, 0);
  expect(encoded).toEqual(copy);
});

describe("a spoilt group is malformed", () => {
  async function parts(): Promise<EncodedGroup> {
    const [group] = await makeGroups(["ann", "bob"]);
    return mls.encode(group!);
  }
  const malformed = expect.objectContaining({ code: "malformed" });

  test("of another format, cut off, or not there", async () => {
    const { ratchets, tree } = await parts();
    expect(() => mls.decode({ ratchets: Uint8Array.of(2, ...ratchets.subarray(1)), tree })).toThrow(malformed);
    expect(() => mls.decode({ ratchets: ratchets.subarray(0, -1), tree })).toThrow(malformed);
    expect(() => mls.decode({ ratchets, tree: tree.subarray(0, -1) })).toThrow(malformed);
    expect(() => mls.decode({ ratchets: new Uint8Array(), tree: new Uint8Array() })).toThrow(malformed);
  });

  test("of two epochs", async () => {
    const [group] = await makeGroups(["ann", "bob"]);
    const made = await mls.commit(group!, {});
    const { ratchets } = mls.encode(group!);
    expect(() => mls.decode({ ratchets, tree: mls.encode(made.group).tree })).toThrow(malformed);
  });
});

describe("secrets that are over are overwritten", () => {
  test("the key of a message, with what it was derived from", async () => {
    const [ann, bob] = await makeGroups(["ann", "bob"]);
    const derivedFrom = [ann!, bob!].flatMap((group) => Object.values(stateOf(group).secrets.subtrees));
    const { message, group } = await mls.seal(ann!, "01J", utf8("hi"));
    await mls.open(bob!, message);
    expect(derivedFrom.map(isZero)).toEqual([true, true]);
    const ratchet = stateOf(group).secrets.ratchets[0]!.secret;
    expect(isZero(ratchet)).toBe(false);
    await mls.seal(group, "01J", utf8("again"));
    expect(isZero(ratchet)).toBe(true);
  });

  test("an epoch's, once somebody else's commit was opened; keys that go on being used are kept", async () => {
    const groups = await makeGroups(["ann", "bob", "cyd", "dan"]);
    await commitAmong(groups, 1);
    await hearOf(groups, 0, "hi");
    const before = secretsOf(groups[0]!);
    await commitAmong(groups, 3);
    const { privateKeys } = libraryOf(groups[0]!).privatePath;
    expect(before.filter((secret) => !isZero(secret))).toEqual([privateKeys[0], privateKeys[1]]);
    expect(await hearOf(groups, 2, "on")).toEqual(["on", "on", "on"]);
  });

  test("a group's that is forgotten, and of a device that is removed", async () => {
    const groups = await makeGroups(["ann", "bob", "cyd"]);
    const lost = await mls.commit(groups[0]!, {});
    const made = await mls.commit(groups[0]!, { remove: [2] });
    const [gone, removed, kept] = [lost.group, groups[2]!, groups[0]!].map(secretsOf);
    mls.forget(lost.group);
    mls.forget(lost.group);
    await mls.open(groups[2]!, made.commit);
    expect(gone!.every(isZero)).toBe(true);
    expect(removed!.every(isZero)).toBe(true);
    expect(kept!.some(isZero)).toBe(false);
    mls.forget(groups[0]!);
    expect(kept!.every(isZero)).toBe(true);
    expect(secretsOf(made.group).some(isZero)).toBe(false);
  });

  test("no key is kept for a node that has become blank", async () => {
    const groups = await makeGroups(["ann", "bob", "cyd", "dan"]);
    await commitAmong(groups, 0);
    expect(Object.keys(libraryOf(groups[1]!).privatePath.privateKeys)).toEqual(["1", "2", "3"]);
    const dan = await mls.commit(groups[3]!, { remove: [0] });
    const bob = await mls.open(groups[1]!, dan.commit);
    if (bob.kind !== "commit") throw new Error(bob.kind);
    expect(Object.keys(libraryOf(bob.group).privatePath.privateKeys)).toEqual(["2", "3"]);
  });

  test("nothing of the epoch before is stored", async () => {
    const groups = await makeGroups(["ann", "bob"]);
    const secrets = secretsOf(groups[1]!).map((secret) => secret.slice());
    await commitAmong(groups, 1);
    const { ratchets } = mls.encode(groups[1]!);
    for (const secret of secrets) expect(contains(ratchets, secret)).toBe(false);
  });
});

test("a group that nothing was ever said in can be stored too", async () => {
  const group = await mls.create(utf8("c"), 1, await makeKeys("ann"), Date.now());
  const alone = mls.decode(mls.encode(group));
  const bob = await makeNewcomer("bob");
  expect((await mls.commit(alone, { add: [bob.keyPackage.keyPackage] })).group.members).toHaveLength(2);
});
