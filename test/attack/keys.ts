import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { ulid } from "ulid";
import { type AccountKey, makeAccountKey } from "../../client/identity/account-key.ts";
import { revokeDevice } from "../../shared/api/devices.ts";
import { claimKeyPackages, uploadKeys, viewKeys } from "../../shared/api/encryption.ts";
import { block } from "../../shared/api/people.ts";
import { toBase64url } from "../../shared/base64url.ts";
import { claimBucket, MAX_KEY_PACKAGES_PER_UPLOAD, MAX_KEYS_REQUEST_BYTES } from "../../shared/limits.ts";
import { type Making, makeKeyPackage } from "../keys/make-key-package.ts";
import { cases } from "./case.ts";
import { type Answer, expectRefusal, granted, lookOf } from "./http.ts";
import type { Account, World } from "./world.ts";

/** Somebody with an account key. */
interface Owner {
  readonly account: Account;
  readonly key: AccountKey;
}

async function newOwner(world: World): Promise<Owner> {
  return { account: await world.signUp(), key: await makeAccountKey() };
}

function make({ account: { user, device }, key }: Owner, making: Partial<Making> = {}): Promise<Uint8Array> {
  return makeKeyPackage({ account: key, user, device, ...making });
}

interface Upload {
  readonly key?: AccountKey;
  readonly isReset?: boolean;
  readonly isLastResort?: boolean;
}

function tryUpload(world: World, owner: Owner, packages: readonly Uint8Array[], how: Upload = {}): Promise<Answer> {
  const { key = owner.key, isReset: reset = false, isLastResort: lastResort = false } = how;
  const offered = packages.map((keyPackage) => ({ keyPackage: toBase64url(keyPackage), lastResort }));
  const body = { accountKey: toBase64url(key.publicKey), reset, packages: offered };
  return world.http.ask(uploadKeys, world.as(owner.account, { body }));
}

async function upload(world: World, owner: Owner, packages: readonly Uint8Array[], how: Upload = {}): Promise<void> {
  granted(uploadKeys, await tryUpload(world, owner, packages, how));
}

function tryClaim(world: World, claimant: Account, user: string): Promise<Answer> {
  return world.http.ask(claimKeyPackages, world.as(claimant, { params: { user }, body: { suite: 1 } }));
}

async function claim(world: World, claimant: Account, { account }: Owner): Promise<string[]> {
  const { packages } = granted(claimKeyPackages, await tryClaim(world, claimant, account.user));
  return packages.map(({ keyPackage }) => keyPackage);
}

async function oneTimeLeft(world: World, { account }: Owner): Promise<number> {
  const { left } = await world.http.get(viewKeys, world.as(account));
  return left.reduce((sum, { oneTime }) => sum + oneTime, 0);
}

const uploads = cases("Keys", {
  "a key package is nobody's but the device's that it names, whatever else it says": async (world) => {
    const [mallory, victim] = [await newOwner(world), await newOwner(world)];
    const other = await world.link(victim.account);
    await upload(world, victim, [await make(victim)]);
    const [stolen = ""] = await claim(world, mallory.account, victim);
    const theirs = Buffer.from(stolen, "base64url");
    const foreign = [
      [theirs, mallory.key],
      [theirs, victim.key],
      [await make(mallory, { user: victim.account.user }), mallory.key],
      [await make(mallory, { device: victim.account.device }), mallory.key],
      [await make(mallory, { account: victim.key }), mallory.key],
      [await make(mallory, { account: { ...mallory.key, publicKey: victim.key.publicKey } }), victim.key],
    ] as const;
    for (const [keyPackage, key] of foreign) {
      expectRefusal(await tryUpload(world, mallory, [keyPackage], { key }), 400, "bad_frame");
    }
    // One device of a person does not speak for another either.
    const ofOther = await make({ ...victim, account: other });
    expectRefusal(await tryUpload(world, victim, [ofOther]), 400, "bad_frame");
    assert.deepEqual([await oneTimeLeft(world, mallory), await oneTimeLeft(world, victim)], [0, 0]);
  },

  "key packages that make no sense are refused, wherever they stop making it": async (world) => {
    const owner = await newOwner(world);
    const good = await make(owner);
    const cuts = Array.from({ length: 20 }, (_, index) => good.subarray(0, Math.floor((good.length * index) / 20)));
    const flips = Array.from({ length: 12 }, (_, index) => {
      const at = Math.floor((good.length * index) / 12);
      return good.with(at, (good[at] ?? 0) ^ 0xff);
    });
    const noise = Array.from({ length: 10 }, (_, index) => randomBytes(1 + 40 * index));
    const headers = [1, 2, 3, 4, 5].map((format) => Buffer.concat([Buffer.from([0, 1, 0, format]), randomBytes(200)]));
    const lengths = [0x3f, 0x7f, 0xbf, 0xff].map((length) => good.with(8, length));
    for (const bad of [...cuts.slice(1), ...flips, ...noise, ...headers, ...lengths]) {
      const answer = await tryUpload(world, owner, [bad]);
      expectRefusal(answer, 400, "bad_frame", Buffer.from(bad).toString("hex").slice(0, 80));
    }
    assert.equal(await oneTimeLeft(world, owner), 0);
  },

  "more or larger ones than there may be are refused, before they are looked at": async (world) => {
    const owner = await newOwner(world);
    const many = Array<Uint8Array>(MAX_KEY_PACKAGES_PER_UPLOAD + 1).fill(await make(owner));
    expectRefusal(await tryUpload(world, owner, many), 400, "bad_frame");
    expectRefusal(await tryUpload(world, owner, [randomBytes(4_097)]), 400, "bad_frame");
    expectRefusal(await tryUpload(world, owner, [randomBytes(MAX_KEYS_REQUEST_BYTES)]), 413, "too_large");
    expectRefusal(await tryUpload(world, owner, []), 400, "bad_frame");
    assert.equal(await oneTimeLeft(world, owner), 0);
  },

  "who holds a device's token replaces the account key in front of the others, or not at all": async (world) => {
    const owner = await newOwner(world);
    const other = await world.link(owner.account);
    const line = await world.connect(other);
    await upload(world, owner, [await make(owner)]);
    const thief = { ...owner, key: await makeAccountKey() };
    const theirs = [await make(thief)];
    expectRefusal(await tryUpload(world, thief, theirs), 409, "taken");
    assert.equal(await oneTimeLeft(world, owner), 1);
    await upload(world, thief, theirs, { isReset: true });
    const alert = await line.next("alert", ({ kind }) => kind === "identity_reset");
    assert.equal(alert.device, owner.account.device);
    await line.close();
  },
});

const claims = cases("Keys", {
  "key packages are given out once, however many people ask at once": async (world) => {
    const owner = await newOwner(world);
    const packages = await Promise.all(Array.from({ length: 10 }, () => make(owner)));
    await upload(world, owner, packages);
    const claimants = [await world.signUp(), await world.signUp(), await world.signUp()];
    const asks = Array.from({ length: 30 }, (_, index) => claimants[index % claimants.length] ?? owner.account);
    const given = (await Promise.all(asks.map((claimant) => claim(world, claimant, owner)))).flat();
    assert.deepEqual(given.toSorted(), packages.map(toBase64url).toSorted());
  },

  "who drains somebody's key packages is stopped, and others still get the last resort": async (world) => {
    const [owner, mallory, friend] = [await newOwner(world), await world.signUp(), await world.signUp()];
    const lastResort = await make(owner);
    await upload(world, owner, await Promise.all(Array.from({ length: 20 }, () => make(owner))));
    await upload(world, owner, [lastResort], { isLastResort: true });
    const asks = Array.from({ length: claimBucket.capacity + 30 }, () => tryClaim(world, mallory, owner.account.user));
    const answers = await Promise.all(asks);
    const refused = answers.filter(({ status }) => status === 429);
    assert.ok(refused.length >= 29, `${refused.length} were refused`);
    for (const answer of refused) expectRefusal(answer, 429, "rate_limited");
    assert.deepEqual(await claim(world, friend, owner), [toBase64url(lastResort)]);
  },

  "somebody without keys looks like nobody, and who has blocked the caller like anybody": async (world) => {
    const [mallory, bare, owner] = [await world.signUp(), await world.signUp(), await newOwner(world)];
    const looks = [];
    for (const user of [bare.user, ulid()]) {
      const answer = await tryClaim(world, mallory, user);
      expectRefusal(answer, 404, "not_found");
      looks.push(lookOf(answer));
    }
    assert.deepEqual(looks[0], looks[1]);
    await upload(world, owner, [await make(owner), await make(owner)]);
    await world.http.get(block, world.as(owner.account, { params: { user: mallory.user } }));
    const [blocked, anybody] = [await claim(world, mallory, owner), await claim(world, bare, owner)];
    assert.deepEqual([blocked.length, anybody.length], [1, 1]);
  },

  "nothing of a removed device is given out, and it uploads nothing any more": async (world) => {
    const [owner, friend] = [await newOwner(world), await world.signUp()];
    const lost = { ...owner, account: await world.link(owner.account) };
    await upload(world, lost, [await make(lost), await make(lost)]);
    assert.equal((await claim(world, friend, owner)).length, 1);
    await world.http.get(revokeDevice, world.as(owner.account, { params: { device: lost.account.device } }));
    assert.deepEqual(await claim(world, friend, owner), []);
    expectRefusal(await tryUpload(world, lost, [await make(lost)]), 401, "unauthenticated");
  },
});

export const keys = [...uploads, ...claims];
