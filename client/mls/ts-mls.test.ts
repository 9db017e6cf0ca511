import { describe, expect, test } from "vitest";
import { MAX_KEPT_MESSAGE_KEYS } from "../../shared/limits.ts";
import {
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
import type { Group, Suite } from "./mls.ts";

const suites: Suite[] = [1, 83];

describe.each(suites)("with suite %i", (suite) => {
  test("a key package says what it was made of", async () => {
    const keys = await makeKeys("ann");
    const made = await mls.makeKeyPackage(keys, suite, lifetime);
    const inspected = await mls.inspectKeyPackage(made.keyPackage, Date.now());
    expect(inspected).toMatchObject({ ref: made.ref, suite, credential: keys.credential, publicKey: keys.publicKey });
    expect(made.ref).toMatch(/^[0-9a-f]+$/);
    expect(inspected.notBefore).toBe(Math.floor(lifetime.notBefore / 1000) * 1000);
    expect(inspected.notAfter).toBe(Math.floor(lifetime.notAfter / 1000) * 1000);
  });

  test("a new group has one member, in epoch 0", async () => {
    const keys = await makeKeys("ann");
    const group = await mls.create(utf8("conversation"), suite, keys, Date.now());
    const { credential, publicKey } = keys;
    expect(group).toEqual({
      groupId: utf8("conversation"),
      suite,
      epoch: 0,
      ownLeaf: 0,
      members: [{ leaf: 0, credential, publicKey }],
    });
  });

  test("those who are added join by the Welcome, and all read what each writes", async () => {
    const groups = await makeGroups(["ann", "bob", "cyd"], suite);
    for (const [leaf, group] of groups.entries()) {
      expect(group).toMatchObject({ epoch: 1, ownLeaf: leaf });
      expect(group.members.map(({ credential }) => text(credential))).toEqual(["ann", "bob", "cyd"]);
    }
    for (const [by, said] of ["hello", "you", "all"].entries()) {
      expect(await hearOf(groups, by, said)).toEqual([said, said]);
    }
  });

  test("a device joins from outside, and is seen to", async () => {
    const groups = await makeGroups(["ann", "bob"], suite);
    const made = await commitAmong(groups, 0);
    const joined = await mls.joinExternally(made.groupInfo, made.tree, await makeKeys("cyd"), Date.now());
    const opened = await mls.open(groups[1]!, joined.commit);
    expect(opened).toMatchObject({ kind: "commit", isExternal: true, sender: { leaf: 2 }, added: [], removed: [] });
    expect(joined).toMatchObject({ welcome: undefined, group: { epoch: 3, ownLeaf: 2 } });
    const all = [await follow(groups[0]!, joined.commit), (opened as { group: Group }).group, joined.group];
    expect(await hearOf(all, 2, "here I am")).toEqual(["here I am", "here I am"]);
  });
});

describe("a commit", () => {
  test("tells those who open it who came and who went", async () => {
    const groups = await makeGroups(["ann", "bob", "cyd"]);
    const dan = await makeNewcomer("dan");
    const made = await mls.commit(groups[0]!, { add: [dan.keyPackage.keyPackage], remove: [2] });
    const opened = await mls.open(groups[1]!, made.commit);
    expect(opened).toMatchObject({
      kind: "commit",
      isExternal: false,
      sender: groups[0]!.members[0],
      added: [{ leaf: 2, credential: utf8("dan"), publicKey: dan.keys.publicKey }],
      removed: [groups[0]!.members[2]],
      group: { epoch: 2 },
    });
    expect(await mls.keyPackagesAdded(made.commit)).toEqual([dan.keyPackage.ref]);
  });

  test("that changes nobody has no Welcome, and renews the committer's keys", async () => {
    const groups = await makeGroups(["ann", "bob"]);
    const before = await mls.commit(groups[0]!, {});
    const after = await commitAmong(groups, 1);
    expect(after.welcome).toBeUndefined();
    expect(after.tree).not.toEqual(before.tree);
    expect(await mls.keyPackagesAdded(after.commit)).toEqual([]);
    expect(await hearOf(groups, 0, "still here")).toEqual(["still here"]);
  });

  test("that is thrown away leaves the group as it was", async () => {
    const groups = await makeGroups(["ann", "bob"]);
    const lost = await mls.commit(groups[0]!, {});
    const taken = await mls.commit(groups[1]!, {});
    mls.forget(lost.group);
    groups[0] = await follow(groups[0]!, taken.commit);
    groups[1] = taken.group;
    expect(await hearOf(groups, 0, "second")).toEqual(["second"]);
  });

  test("can be made while messages come and go; it holds for the epoch, not for the message", async () => {
    const groups = await makeGroups(["ann", "bob"]);
    const made = await mls.commit(groups[0]!, {});
    await hearOf(groups, 0, "between");
    await hearOf(groups, 1, "the two");
    const bob = await follow(groups[1]!, made.commit);
    expect(await hearOf([made.group, bob], 1, "on")).toEqual(["on"]);
  });

  test("shuts a removed member out, also when their leaf is filled again at once", async () => {
    const groups = await makeGroups(["ann", "bob", "cyd"]);
    const dan = await makeNewcomer("dan");
    const made = await mls.commit(groups[0]!, { add: [dan.keyPackage.keyPackage], remove: [1] });
    const removed = await mls.open(groups[1]!, made.commit);
    expect(removed).toEqual({ kind: "removed", sender: groups[0]!.members[0], removed: [groups[1]!.members[1]] });
    await expect(mls.open(groups[1]!, made.commit)).rejects.toMatchObject({ code: "used_up" });
    const joined = await mls.join(made.welcome!, made.tree, [dan.keyPackage]);
    expect(joined.inviter).toEqual(groups[0]!.members[0]);
    const all = [made.group, await follow(groups[2]!, made.commit), joined.group];
    expect(all.map(({ ownLeaf }) => ownLeaf)).toEqual([0, 2, 1]);
    expect(await hearOf(all, 2, "new here")).toEqual(["new here", "new here"]);
  });

  test("keeps a removed member out who opens nothing of it", async () => {
    const groups = await makeGroups(["ann", "bob", "cyd"]);
    const removed = groups[1]!;
    const made = await mls.commit(groups[0]!, { remove: [1] });
    const sealed = await mls.seal(made.group, "01J", utf8("among us"));
    const next = await mls.commit(sealed.group, {});
    for (const message of [sealed.message, next.commit]) {
      await expect(mls.open(removed, message)).rejects.toMatchObject({ code: "wrong_epoch" });
    }
  });

  test("can leave its maker alone in the group, and others can be added after", async () => {
    const groups = await makeGroups(["ann", "bob"]);
    const alone = await mls.commit(groups[0]!, { remove: [1] });
    expect(alone.group.members).toHaveLength(1);
    const { group } = await mls.commit(alone.group, {});
    const cyd = await makeNewcomer("cyd");
    const made = await mls.commit(group, { add: [cyd.keyPackage.keyPackage] });
    const { group: joined } = await mls.join(made.welcome!, made.tree, [cyd.keyPackage]);
    expect(await hearOf([made.group, joined], 1, "two again")).toEqual(["two again"]);
  });

  test("can add again whom it removes", async () => {
    const groups = await makeGroups(["ann", "bob", "cyd"]);
    const keys = await makeKeys("dan");
    const first = await mls.makeKeyPackage(keys, 1, lifetime);
    const added = await commitAmong(groups, 0, { add: [first.keyPackage] });
    const second = await mls.makeKeyPackage(keys, 1, lifetime);
    const { group } = await mls.join(added.welcome!, added.tree, [first]);
    const made = await mls.commit(groups[0]!, { remove: [group.ownLeaf], add: [second.keyPackage] });
    const opened = await mls.open(groups[1]!, made.commit);
    expect(opened).toMatchObject({ added: [{ leaf: 3 }], removed: [{ leaf: 3 }] });
    expect((await mls.open(group, made.commit)).kind).toBe("removed");
    expect(await mls.join(made.welcome!, made.tree, [first, second])).toMatchObject({ ref: second.ref });
  });
});

describe("joining from outside again", () => {
  test("replaces this device's former leaf, whose holder is told that it is removed", async () => {
    const groups = await makeGroups(["ann", "bob"]);
    const keys = await makeKeys("cyd");
    const made = await commitAmong(groups, 0);
    const first = await mls.joinExternally(made.groupInfo, made.tree, keys, Date.now());
    for (const at of [0, 1]) groups[at] = await follow(groups[at]!, first.commit);
    const again = await mls.joinExternally(first.groupInfo, first.tree, keys, Date.now());
    const opened = await mls.open(groups[0]!, again.commit);
    expect(opened).toMatchObject({ isExternal: true, sender: { leaf: 2 }, removed: [{ leaf: 2 }], added: [] });
    expect(again.group.members).toHaveLength(3);
    const told = await mls.open(first.group, again.commit);
    expect(told).toMatchObject({ kind: "removed", sender: again.group.members[2] });
  });
});

describe("messages", () => {
  test("carry their id, and who sent them", async () => {
    const [ann, bob] = await makeGroups(["ann", "bob"]);
    const { message } = await mls.seal(ann!, "01JABC", utf8("hi"));
    const opened = await mls.open(bob!, message);
    expect(opened).toMatchObject({ kind: "message", id: "01JABC", plaintext: utf8("hi"), sender: bob!.members[0] });
  });

  test("can be missing, and come late as long as their keys are kept", async () => {
    const [ann, bob] = await makeGroups(["ann", "bob"]);
    let sender = ann!;
    const sealed: Uint8Array[] = [];
    for (let n = 0; n < MAX_KEPT_MESSAGE_KEYS + 3; n++) {
      const next = await mls.seal(sender, "01J", utf8(`${n}`));
      sealed.push(next.message);
      sender = next.group;
    }
    let reader = await follow(bob!, sealed.at(-1)!);
    reader = mls.decode(mls.encode(reader));
    const late = await mls.open(reader, sealed.at(2)!);
    expect(late).toMatchObject({ plaintext: utf8("2") });
    reader = (late as { group: Group }).group;
    await expect(mls.open(reader, sealed.at(2)!)).rejects.toMatchObject({ code: "undecryptable" });
    await expect(mls.open(reader, sealed.at(0)!)).rejects.toMatchObject({ code: "undecryptable" });
    expect(await mls.open(reader, sealed.at(3)!)).toMatchObject({ plaintext: utf8("3") });
  });

  test("may be empty, and large", async () => {
    const groups = await makeGroups(["ann", "bob"]);
    for (const said of ["", "x".repeat(60_000)]) expect(await hearOf(groups, 0, said)).toEqual([said]);
  });
});

describe("a group", () => {
  test("that was used has nothing left to use", async () => {
    const [ann, bob] = await makeGroups(["ann", "bob"]);
    const { message, group } = await mls.seal(ann!, "01J", utf8("once"));
    await follow(bob!, message);
    for (const used of [ann!, bob!]) {
      await expect(mls.seal(used, "01J", utf8("twice"))).rejects.toMatchObject({ code: "used_up" });
      await expect(mls.open(used, message)).rejects.toMatchObject({ code: "used_up" });
      await expect(mls.commit(used, {})).rejects.toMatchObject({ code: "used_up" });
      expect(() => mls.encode(used)).toThrow(expect.objectContaining({ code: "used_up" }));
    }
    mls.forget(group);
    await expect(mls.seal(group, "01J", utf8("late"))).rejects.toMatchObject({ code: "used_up" });
  });

  test("does one thing after another, and keeps what a refused message did not use", async () => {
    const [ann, bob] = await makeGroups(["ann", "bob"]);
    const { message } = await mls.seal(ann!, "01J", utf8("hi"));
    const [made, refused, opened, late] = await Promise.allSettled([
      mls.commit(bob!, {}),
      mls.open(bob!, message.slice(0, -1)),
      mls.open(bob!, message),
      mls.seal(bob!, "01J", utf8("too late")),
    ]);
    expect(made.status).toBe("fulfilled");
    expect(refused).toMatchObject({ reason: { code: "malformed" } });
    expect(opened).toMatchObject({ value: { kind: "message" } });
    expect(late).toMatchObject({ reason: { code: "used_up" } });
  });
});
