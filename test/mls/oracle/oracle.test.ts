import { expect, test, vi } from "vitest";
import type { Suite } from "../../../client/mls/mls.ts";
import { createMls } from "../../../client/mls/ts-mls.ts";
import type * as Suites from "../../../shared/mls/suites.ts";
import { Random } from "../../sim/random.ts";
import { MixedGroup } from "./mixed-group.ts";
import { OracleDevice } from "./oracle-device.ts";

/**
 * An independent implementation, OpenMLS (as WebAssembly in the package mls-ts), has to be of one mind with ours. It
 * speaks suite 3 alone, which stands in for suite 1 here, and handshakes as PrivateMessages alone. So what it does not
 * show are PublicMessages and external commits; and it adds, but removes nobody and makes no commit without an Add.
 */
vi.mock(import("../../../shared/mls/suites.ts"), async (original) => {
  const { suiteNames, ...ours } = await original();
  const { chachaName, makeChachaSuite } = await import("./chacha-suite.ts");
  const chacha = makeChachaSuite();
  const isChacha = (suite: number) => suite === 3;
  return {
    suiteNames: { ...suiteNames, 3: chachaName } as typeof Suites.suiteNames,
    suiteOf: (name) => (name === chachaName ? (3 as Suite) : ours.suiteOf(name)),
    cryptoOf: (suite) => (isChacha(suite) ? chacha : ours.cryptoOf(suite)),
    isUsableKey: ours.isUsableKey,
  };
});

const STEPS = 40;
const mls = createMls({ authenticate: async () => true });

test("a key package of the oracle's is read as any other", async () => {
  const inspected = await mls.inspectKeyPackage(new OracleDevice("oracle").keyPackage(), Date.now());
  expect(inspected).toMatchObject({ suite: 3, credential: new TextEncoder().encode("oracle") });
  expect(inspected.notAfter).toBeGreaterThan(Date.now());
});

test.each(["ours", "oracle"] as const)(
  "a group that is founded by %s: all add, and read what each writes",
  async (by) => {
    const group = new MixedGroup(mls);
    await group.found(by);
    await group.sayAll();
    await group.weCommit(0, { addOurs: 2, addOracles: 2 });
    await group.oracleAdds(0);
    await group.sayAll();
    await group.weCommit(1, { remove: ["device 3"] });
    await group.oracleAdds(1);
    await group.sayAll();
    expect(group.size).toBe(7);
  },
);

test("mended: the oracle agrees on the commit secret where the committer's half of the tree is all that is left", async () => {
  const group = new MixedGroup(mls);
  await group.found("ours");
  await group.weCommit(0, { addOurs: 1, addOracles: 1 });
  await group.weCommit(0, { addOurs: 2 });
  await group.weCommit(0, { addOracles: 1 });
  // Devices 0 to 3 have the leaves of the left half, 4 to 6 are in the right one; the third of ours is device 4.
  await group.weCommit(2, { remove: ["device 0", "device 1", "device 2", "device 3"] });
  await group.sayAll();
  expect(group.size).toBe(3);
});

test.each([1, 2, 3, 4, 5, 6])(`${STEPS} steps as chance has them, seed %i`, { timeout: 30_000 }, async (seed) => {
  const chance = new Random(seed);
  const group = new MixedGroup(mls);
  await group.found(chance.pick(["ours", "oracle"]));
  for (let step = 0; step < STEPS; step++) await group.step(chance);
  await group.sayAll();
});
