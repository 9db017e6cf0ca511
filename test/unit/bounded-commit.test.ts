import { describe, expect, it } from "vitest";
import { makeKeyPair } from "../../client/identity/ed25519.ts";
import type { DeviceKeys, Group, MadeCommit, Suite } from "../../client/mls/mls.ts";
import { createMls } from "../../client/mls/ts-mls.ts";
import {
  KEY_PACKAGE_LIFETIME_MS,
  MAX_ADDS_PER_COMMIT,
  MAX_COMMIT_REQUEST_BYTES,
  MAX_GROUP_INFO_BYTES,
  MAX_LEAVES_PER_GROUP,
  MAX_WELCOME_BYTES,
} from "../../shared/limits.ts";
import { groupIdOf } from "../../shared/mls/framing.ts";
import { isBounded } from "../../workers/gateway/encryption/bounded-commit.ts";
import { readCommit } from "../../workers/gateway/encryption/read-commit.ts";
import { idOf } from "./core-driver.ts";

const mls = createMls({ authenticate: async () => true });
const group = idOf("0G", 1);

async function newKeys(): Promise<DeviceKeys> {
  const { publicKey, seed: privateKey } = await makeKeyPair();
  return { publicKey, privateKey, credential: new Uint8Array(189) };
}

/** A group with as many others as one commit can add. */
async function crowd(suite: Suite): Promise<MadeCommit> {
  const alone = await mls.create(groupIdOf(group), suite, await newKeys(), Date.now());
  const lifetime = { notBefore: Date.now(), notAfter: Date.now() + KEY_PACKAGE_LIFETIME_MS };
  const add = [];
  for (let count = 0; count < MAX_ADDS_PER_COMMIT; count++) {
    const keys = await newKeys();
    add.push((await mls.makeKeyPackage(keys, suite, lifetime)).keyPackage);
  }
  return mls.commit(alone, { add });
}

const u16 = (value: number) => [value >> 8, value & 255];
const lengthOf = (bytes: number) =>
  bytes < 64 ? [bytes] : [0x80 | (bytes >>> 24), (bytes >> 16) & 255, ...u16(bytes & 0xffff)];
const vector = (bytes: readonly number[]) => [...lengthOf(bytes.length), ...bytes];
const times = (count: number, item: readonly number[]) => Array.from({ length: count }, () => item).flat();
const remove = [1, ...u16(3), 0, 0, 0, 5];
const ciphertext = [0, 0];

/** A commit of well-formed parts that say nothing. @param path what follows the proposals */
function hollow(proposals: readonly number[], path: readonly number[] = [0]): Uint8Array {
  const content = [...vector([...groupIdOf(group)]), 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 3, ...vector(proposals)];
  return Uint8Array.from([...u16(1), ...u16(1), ...content, ...path, 0, 0, 0]);
}

const leafWith = (extensions: readonly number[] = []) => [
  ...[0, 0, ...u16(1), 0, 0, 0, 0, 0, 0, 3, 0],
  ...vector(extensions),
  0,
];
const pathOf = (nodes: readonly number[], leaf = leafWith()) => [1, ...leaf, ...vector(nodes)];
const count = Math.floor(MAX_COMMIT_REQUEST_BYTES / 8 / remove.length);

describe("R16 a commit whose parts would take all memory when they are read", () => {
  it.each<[string, Uint8Array]>([
    ["proposals", hollow(times(count, remove))],
    ["nodes", hollow([], pathOf(times(MAX_LEAVES_PER_GROUP + 1, [0, 0])))],
    ["ciphertexts", hollow([], pathOf([0, ...vector(times(count, ciphertext))]))],
    ["ciphertexts of many nodes", hollow([], pathOf(times(2_000, [0, ...vector(times(3, ciphertext))])))],
    ["extensions", hollow([], pathOf([], leafWith(times(count, [...u16(9), 0]))))],
  ])("is refused: %s", (_, bytes) => {
    expect(isBounded(bytes)).toBe(false);
    const caller = { user: "", device: "" };
    expect(() => readCommit({ commit: bytes, welcome: undefined }, group, caller)).toThrow("bad_frame");
  });

  it("is not one that has few", () => {
    expect(isBounded(hollow(times(1_024, remove)))).toBe(true);
    expect(isBounded(hollow([], pathOf([0, ...vector(times(1_000, ciphertext))])))).toBe(true);
  });

  it("is none that ends too early, or says nothing", () => {
    const whole = hollow([], pathOf([0, ...vector(times(3, ciphertext))]));
    for (let length = 0; length < whole.length - 3; length++)
      expect(isBounded(whole.subarray(0, length)), `${length}`).toBe(false);
    expect(isBounded(new Uint8Array(1_000).fill(255))).toBe(false);
  });
});

it.each<Suite>([1, 83])(
  "the largest commits of real groups are within the bounds: suite %i",
  { timeout: 60_000 },
  async (suite) => {
    const made = await crowd(suite);
    expect(isBounded(made.commit)).toBe(true);
    expect(made.groupInfo.byteLength).toBeLessThan(MAX_GROUP_INFO_BYTES / 4);
    expect(made.welcome?.byteLength).toBeLessThan(MAX_WELCOME_BYTES);
    const removing = await mls.commit(made.group, { remove: Array.from({ length: 60 }, (_, index) => index + 2) });
    expect(isBounded(removing.commit)).toBe(true);
    const joining = await mls.joinExternally(removing.groupInfo, removing.tree, await newKeys(), Date.now());
    expect(isBounded(joining.commit)).toBe(true);
    const next: Group = joining.group;
    expect(isBounded((await mls.commit(next, {})).commit)).toBe(true);
  },
);
