import { describe, expect, test } from "vitest";
import { commitAmong, follow, lifetime, makeGroups, makeKeys, makeNewcomer, mls, utf8 } from "../../test/mls/device.ts";
import { Random } from "../../test/sim/random.ts";
import { type Group, MlsError } from "./mls.ts";

/** Whatever comes in: an MlsError with a code, in finite time, and nothing that a bit was flipped in is ever accepted. */

const ROUNDS = 200;

function* spoilt(sound: Uint8Array, chance: Random): Generator<Uint8Array> {
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = sound.slice();
    switch (round % 4) {
      case 0:
        yield bytes.subarray(0, chance.between(0, bytes.length - 1));
        break;
      case 1:
        bytes[chance.between(0, bytes.length - 1)]! ^= 1 << chance.between(0, 7);
        yield bytes;
        break;
      case 2: {
        // Lengths and indices are where decoders go wrong.
        const at = chance.between(0, bytes.length - 1);
        for (let n = 0; n < 4; n++) bytes[at + n] = chance.pick([0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xbf, 0xff]);
        yield bytes;
        break;
      }
      default:
        yield Uint8Array.from({ length: chance.between(0, 200) }, () => chance.between(0, 255));
    }
  }
  yield Uint8Array.of(...sound, 0);
}

async function expectAllRefused(sound: Uint8Array, seed: number, use: (bytes: Uint8Array) => unknown): Promise<void> {
  for (const bytes of spoilt(sound, new Random(seed))) {
    if (Buffer.compare(bytes, sound) === 0) continue;
    const outcome = await Promise.resolve()
      .then(() => use(bytes))
      .catch((error: unknown) => error);
    if (!(outcome instanceof MlsError)) {
      throw new Error(`not refused: ${Buffer.from(bytes).toString("hex")}`, { cause: outcome });
    }
  }
}

describe("bytes from elsewhere", () => {
  test("key packages", async () => {
    const { keyPackage } = await mls.makeKeyPackage(await makeKeys("eve"), 1, lifetime);
    await expectAllRefused(keyPackage, 1, (bytes) => mls.inspectKeyPackage(bytes, Date.now()));
    const group = await mls.create(utf8("c"), 1, await makeKeys("ann"), Date.now());
    await expectAllRefused(keyPackage, 2, (bytes) => mls.commit(group, { add: [bytes] }));
  });

  test("Welcomes, trees and one's own key packages", async () => {
    const [group] = await makeGroups(["ann", "bob", "cyd"]);
    const dan = await makeNewcomer("dan");
    const { keyPackage, secret } = dan.keyPackage;
    const made = await mls.commit(group!, { add: [keyPackage] });
    await expectAllRefused(made.welcome!, 3, (bytes) => mls.join(bytes, made.tree, [dan.keyPackage]));
    await expectAllRefused(made.tree, 4, (bytes) => mls.join(made.welcome!, bytes, [dan.keyPackage]));
    const joinAs = (own: Uint8Array) => mls.join(made.welcome!, made.tree, [{ keyPackage: own, secret }]);
    await expectAllRefused(keyPackage, 5, joinAs);
    expect((await mls.join(made.welcome!, made.tree, [dan.keyPackage])).ref).toBe(dan.keyPackage.ref);
  });

  test("group infos and trees", async () => {
    const groups = await makeGroups(["ann", "bob", "cyd"]);
    const made = await commitAmong(groups, 1);
    const keys = await makeKeys("eve");
    await expectAllRefused(made.groupInfo, 6, (bytes) => mls.joinExternally(bytes, made.tree, keys, Date.now()));
    await expectAllRefused(made.tree, 7, (bytes) => mls.joinExternally(made.groupInfo, bytes, keys, Date.now()));
  });

  test("messages and commits, which are opened after all of it as if nothing had been", async () => {
    const [ann, bob] = await makeGroups(["ann", "bob"]);
    const eve = await makeNewcomer("eve");
    const sealed = await mls.seal(ann!, "01J", utf8("hi"));
    const commit = await mls.commit(sealed.group, { add: [eve.keyPackage.keyPackage] });
    const external = await mls.joinExternally(commit.groupInfo, commit.tree, await makeKeys("fay"), Date.now());
    let reader: Group = bob!;
    for (const [at, message] of [sealed.message, commit.commit, external.commit].entries()) {
      await expectAllRefused(message, 8 + at, (bytes) => mls.open(reader, bytes));
      reader = await follow(reader, message);
    }
    expect(reader.epoch).toBe(3);
  });

  test("commits that are asked whom they add", async () => {
    const [ann] = await makeGroups(["ann", "bob"]);
    const eve = await makeNewcomer("eve");
    const { commit } = await mls.commit(ann!, { add: [eve.keyPackage.keyPackage] });
    for (const bytes of spoilt(commit, new Random(11))) {
      const outcome = await mls.keyPackagesAdded(bytes).catch((error: unknown) => error);
      expect(outcome instanceof MlsError || Array.isArray(outcome)).toBe(true);
    }
  });
});

test("a store that was spoilt gives a group back that fails with a code, or none", async () => {
  const groups = await makeGroups(["ann", "bob", "cyd"]);
  await commitAmong(groups, 1);
  const sealed = await mls.seal(groups[1]!, "01J", utf8("hi"));
  const made = await mls.commit(sealed.group, {});
  const encoded = mls.encode(groups[0]!);
  for (const part of ["ratchets", "tree"] as const) {
    for (const bytes of spoilt(encoded[part], new Random(12))) {
      const outcome = await tryAll({ ...encoded, [part]: bytes }, [sealed.message, made.commit]);
      if (outcome !== undefined) expect(outcome).toBeInstanceOf(MlsError);
    }
  }
});

async function tryAll(encoded: { ratchets: Uint8Array; tree: Uint8Array }, messages: Uint8Array[]): Promise<unknown> {
  try {
    let group = mls.decode(encoded);
    for (const message of messages) group = await follow(group, message);
    await mls.commit(group, {});
    await mls.seal(group, "01J", utf8("hi"));
    return undefined;
  } catch (error) {
    return error;
  }
}
