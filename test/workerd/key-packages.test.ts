import { env } from "cloudflare:workers";
import { strFromU8, unzipSync } from "fflate";
import { decodeMlsMessage, type KeyPackage } from "ts-mls";
import { makeKeyPackageRef } from "ts-mls/keyPackage.js";
import { ulid } from "ulid";
import { beforeEach, describe, expect, it } from "vitest";
import { type AccountKey, makeAccountKey } from "../../client/identity/account-key.ts";
import { makeKeyPair } from "../../client/identity/ed25519.ts";
import { meter } from "../../durable-objects/runtime/meter.ts";
import { claimKeyPackages, uploadKeys, viewKeys } from "../../shared/api/encryption.ts";
import type { Endpoint } from "../../shared/api/endpoint.ts";
import { block } from "../../shared/api/people.ts";
import { deleteAccount, exportAccount } from "../../shared/api/rights.ts";
import { fromBase64url, toBase64url } from "../../shared/base64url.ts";
import { directConversation } from "../../shared/ids.ts";
import {
  claimBucket,
  KEY_PACKAGE_CLOCK_SKEW_MS,
  KEY_PACKAGES_LOW,
  MAX_FRAME_BYTES,
  MAX_KEY_PACKAGE_BYTES,
  MAX_KEY_PACKAGE_LIFETIME_MS,
  MAX_KEY_PACKAGES_PER_DEVICE,
  MAX_KEY_PACKAGES_PER_UPLOAD,
  MAX_KEYS_REQUEST_BYTES,
} from "../../shared/limits.ts";
import { issueToken } from "../../workers/gateway/auth/tokens.ts";
import { inspectKeyPackage } from "../../workers/gateway/encryption/inspect-key-package.ts";
import { implementationOf, lifetime, type Making, makeKeyPackage, suiteNames } from "../keys/make-key-package.ts";
import { type Account, call, signUp } from "./accounts.ts";
import { ask, OPERATORS, refusalOf } from "./asking.ts";
import { eventually, newDevice, type TestDevice } from "./device.ts";
import { crash, person, rowsOf, tablesOf } from "./objects.ts";

let alice: Account;
let bob: Account;
let carol: Account;
let key: AccountKey;

beforeEach(async () => {
  [bob, key] = [await signUp(), await makeAccountKey()];
});

/** For tests in which others want to write to bob. */
async function meetOthers(): Promise<void> {
  [alice, carol] = [await signUp(), await signUp()];
}

/** Bob's, for his signed-in device, unless it says otherwise. */
const make = (making: Partial<Making> = {}) =>
  makeKeyPackage({ account: key, user: bob.user, device: bob.device, ...making });

async function several(count: number, making: Partial<Making> = {}): Promise<Uint8Array[]> {
  return Promise.all(Array.from({ length: count }, () => make(making)));
}

interface Upload {
  readonly accountKey?: AccountKey;
  readonly reset?: boolean;
  readonly lastResort?: boolean;
}

const bodyOf = (
  packages: readonly Uint8Array[],
  { accountKey = key, reset = false, lastResort = false }: Upload = {},
) => ({
  accountKey: toBase64url(accountKey.publicKey),
  reset,
  packages: packages.map((keyPackage) => ({ keyPackage: toBase64url(keyPackage), lastResort })),
});

const upload = (packages: readonly Uint8Array[], how: Upload = {}, account = bob) =>
  ask(uploadKeys, account, { body: bodyOf(packages, how) });
const refusedUpload = (packages: readonly Uint8Array[], how: Upload = {}, account = bob) =>
  refusalOf(uploadKeys, account, { body: bodyOf(packages, how) });

const of = ({ user }: { user: string }, body: object = {}) => ({ params: { user }, body: { suite: 1, ...body } });
const claim = (claimant = alice, body: object = {}) => ask(claimKeyPackages, claimant, of(bob, body));
const texts = (packages: readonly Uint8Array[]) => packages.map(toBase64url).sort();

/** Another device of the same person, that has a token and a socket. */
async function anotherDevice(owner: Account): Promise<{ account: Account; device: TestDevice }> {
  const device = await newDevice(owner.user);
  const claims = { sub: owner.user, device: device.device, family: device.family };
  const { token: accessToken } = await issueToken(env.TOKEN_KEYS, "access", claims);
  return { account: { ...owner, device: device.device, accessToken }, device };
}

describe("uploading key packages", () => {
  it("sets the account key and keeps them, of both suites, with a last resort each", async () => {
    expect(await ask(viewKeys, bob)).toEqual({
      left: [1, 83].map((suite) => ({ suite, oneTime: 0, hasLastResort: false })),
    });
    await upload(await several(3));
    await upload(await several(2, { suite: 83 }));
    const lastResorts = [await make(), await make({ suite: 83 })];
    const { left } = await upload(lastResorts, { lastResort: true });
    expect(left).toEqual([
      { suite: 1, oneTime: 3, hasLastResort: true },
      { suite: 83, oneTime: 2, hasLastResort: true },
    ]);
    expect(await ask(viewKeys, bob)).toEqual({ accountKey: toBase64url(key.publicKey), left });
  });

  it("takes as many as there may be in one request, of the largest kind", async () => {
    const packages = await several(MAX_KEY_PACKAGES_PER_UPLOAD, { suite: 83 });
    expect(JSON.stringify(bodyOf(packages)).length).toBeGreaterThan(MAX_FRAME_BYTES);
    expect((await upload(packages)).left[1]).toMatchObject({ oneTime: MAX_KEY_PACKAGES_PER_UPLOAD });
    const largest = "A".repeat(Math.ceil((MAX_KEY_PACKAGE_BYTES * 4) / 3));
    const filled = { ...bodyOf([]), packages: Array(MAX_KEY_PACKAGES_PER_UPLOAD).fill({ keyPackage: largest }) };
    expect(await refusalOf(uploadKeys, bob, { body: filled })).toBe("bad_frame");
  });

  it("is refused with more of them, with larger ones, or with none", async () => {
    const packages = await several(MAX_KEY_PACKAGES_PER_UPLOAD + 1);
    expect(await refusedUpload(packages)).toBe("bad_frame");
    expect(await refusedUpload([new Uint8Array(MAX_KEY_PACKAGE_BYTES + 1)])).toBe("bad_frame");
    expect(await refusedUpload([])).toBe("bad_frame");
    const giant = { ...bodyOf(packages.slice(0, 1)), more: "x".repeat(MAX_KEYS_REQUEST_BYTES) };
    const response = await call(uploadKeys, { token: bob.accessToken, body: giant });
    expect([response.status, await response.json()]).toMatchObject([413, { code: "too_large" }]);
    expect(await ask(viewKeys, bob)).not.toHaveProperty("accountKey");
  });

  it("is refused with more than a device may have, and then changes nothing", async () => {
    const packages = await several(MAX_KEY_PACKAGES_PER_DEVICE + 1);
    for (let from = 0; from < MAX_KEY_PACKAGES_PER_DEVICE; from += MAX_KEY_PACKAGES_PER_UPLOAD)
      await upload(packages.slice(from, from + MAX_KEY_PACKAGES_PER_UPLOAD));
    expect(await refusedUpload([...packages.slice(-1), await make({ suite: 83 })])).toBe("too_many");
    expect((await ask(viewKeys, bob)).left).toMatchObject([{ oneTime: MAX_KEY_PACKAGES_PER_DEVICE }, { oneTime: 0 }]);
  });

  it("R15 the same again changes nothing, also when some were given out meanwhile", async () => {
    await meetOthers();
    const packages = await several(3);
    await upload(packages);
    const taken = (await claim()).packages.map(({ keyPackage }) => keyPackage);
    expect((await upload(packages)).left[0]).toMatchObject({ oneTime: 2 });
    for (let count = 0; count < 2; count++) taken.push(...(await claim()).packages.map(({ keyPackage }) => keyPackage));
    expect(taken.sort()).toEqual(texts(packages));
    expect(await claim()).toMatchObject({ packages: [], missing: [bob.device] });
  });
});

/** Any byte that is not what it was is a lie. */
function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const spoiled = bytes.slice();
  spoiled[at < 0 ? bytes.length + at : at]! ^= 1;
  return spoiled;
}

type Bad = Record<string, () => Promise<Uint8Array> | Uint8Array>;

const wronglyCertified: Bad = {
  "for another person": () => make({ user: ulid() }),
  "for another device": () => make({ device: ulid() }),
  "for another device of the same person": async () => make({ device: (await newDevice(bob.user)).device }),
  "by another account key than is said": async () => make({ account: await makeAccountKey() }),
  "by an account key that is not the one that is named": async () =>
    make({ account: { ...(await makeAccountKey()), publicKey: key.publicKey } }),
  "for another key than the leaf's": async () => make({ certifiedKey: (await makeKeyPair()).publicKey }),
  "by nobody": () => make({ identity: new TextEncoder().encode(bob.user) }),
  "with nothing but zeros": () => make({ identity: new Uint8Array(157) }),
};

const DAY_MS = 24 * 3_600_000;
/** From now. */
const inMs = (ms: number) => Date.now() + ms;
const untimely: Bad = {
  "that has expired": () => make({ lifetime: lifetime(inMs(-2 * DAY_MS), inMs(-DAY_MS)) }),
  "that expires now": () => make({ lifetime: lifetime(inMs(-DAY_MS), inMs(0)) }),
  "that is good for too long": () => make({ lifetime: lifetime(inMs(0), inMs(MAX_KEY_PACKAGE_LIFETIME_MS + 1_000)) }),
  "that is good for ever": () => make({ lifetime: { notBefore: 0n, notAfter: 2n ** 64n - 1n } }),
  "that begins too late": () =>
    make({
      lifetime: lifetime(inMs(KEY_PACKAGE_CLOCK_SKEW_MS + DAY_MS), inMs(KEY_PACKAGE_CLOCK_SKEW_MS + 2 * DAY_MS)),
    }),
  "that ends before it begins": () => make({ lifetime: lifetime(inMs(DAY_MS / 2), inMs(DAY_MS / 4)) }),
};

const [otherSuite, unknownExtension] = ["MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519", 0xf0f0] as const;
const improper: Bad = {
  "with a spoiled signature": async () => flipped(await make(), -1),
  "with a spoiled signature of the leaf": () =>
    make({ body: spoilLeaf(({ signature }) => ({ signature: flipped(signature, 0) })) }),
  "with a leaf of somebody else": async () => {
    const { leafNode } = decoded(await make());
    return make({ body: (made) => ({ ...made, leafNode }) });
  },
  "with an init key that is its leaf's": () =>
    make({ body: (made) => ({ ...made, initKey: made.leafNode.hpkePublicKey }) }),
  "with an init key of another suite": () => make({ body: (made) => ({ ...made, initKey: new Uint8Array(1_216) }) }),
  "with a leaf's key that is too short": () =>
    make({ leaf: (made) => ({ ...made, hpkePublicKey: new Uint8Array(31) }) }),
  "of a suite that is not used here": () =>
    make({ capabilities: { ciphersuites: [otherSuite] }, body: (made) => ({ ...made, cipherSuite: otherSuite }) }),
  "that cannot do its own suite": () => make({ capabilities: { ciphersuites: [suiteNames[83]] } }),
  "that cannot do its own version": () => make({ capabilities: { versions: [] } }),
  "that cannot do its own credential": () => make({ capabilities: { credentials: ["x509"] } }),
  "that cannot do its own extension": () =>
    make({
      leaf: (made) => ({
        ...made,
        extensions: [{ extensionType: unknownExtension, extensionData: new Uint8Array() }],
      }),
    }),
};

const malformed: Bad = {
  "cut off": async () => (await make()).subarray(0, -1),
  "cut off in the middle": async () => (await make()).subarray(0, 100),
  "with something behind it": async () => new Uint8Array([...(await make()), 0]),
  "with a length that could be shorter": async () => withLongLength(await make()),
  "that is only the beginning": () => new Uint8Array([0, 1, 0, 5]),
  "of zeros": () => new Uint8Array(300),
  "that is another kind of message": async () => (await make()).with(3, 2),
};

function spoilLeaf(change: (leaf: KeyPackage["leafNode"]) => object) {
  return (made: KeyPackage): KeyPackage => ({ ...made, leafNode: { ...made.leafNode, ...change(made.leafNode) } });
}

function hexOf(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function decoded(bytes: Uint8Array): KeyPackage {
  const [message] = decodeMlsMessage(bytes, 0) ?? [];
  if (message?.wireformat !== "mls_key_package") throw new Error("no key package");
  return message.keyPackage;
}

/** The init key's length, of one byte, in two (RFC 9420 §2.1.2 asks for the shortest). */
function withLongLength(bytes: Uint8Array): Uint8Array {
  const at = 8;
  expect(bytes[at]).toBe(32);
  return new Uint8Array([...bytes.subarray(0, at), 0x40, 32, ...bytes.subarray(at + 1)]);
}

describe("a key package is refused", () => {
  const cases = Object.entries({ ...wronglyCertified, ...untimely, ...improper, ...malformed });

  it.each(cases)("%s, and the good ones that come with it", async (_, bad) => {
    expect(await refusedUpload([await make(), await bad(), await make()])).toBe("bad_frame");
    expect(await refusedUpload([await bad()], { lastResort: true })).toBe("bad_frame");
    expect(await ask(viewKeys, bob)).toMatchObject({ left: [{ oneTime: 0 }, { oneTime: 0 }] });
  });

  it("wherever a bit of it is another", async () => {
    const good = await make();
    const [owner, now] = [{ ...bob, accountKey: toBase64url(key.publicKey) }, Date.now()];
    await expect(inspectKeyPackage(good, owner, now)).resolves.toMatchObject({ suite: 1 });
    const places = Array.from(good.keys());
    const outcomes = places.map((at) => inspectKeyPackage(flipped(good, at), owner, now).catch(({ code }) => code));
    expect(new Set(await Promise.all(outcomes))).toEqual(new Set(["bad_frame"]));
  });

  it("wherever it is cut off", async () => {
    const good = await make();
    const owner = { ...bob, accountKey: toBase64url(key.publicKey) };
    const cuts = Array.from(good.keys(), (end) => inspectKeyPackage(good.subarray(0, end), owner, Date.now()));
    const outcomes = await Promise.allSettled(cuts);
    expect(outcomes.filter((outcome) => outcome.status === "fulfilled")).toEqual([]);
  });

  it("as what is no list of key packages at all", async () => {
    const good = bodyOf([await make()]);
    const packages = [...OPERATORS, [{ keyPackage: "not base64url!" }], [{ keyPackage: "AAAAA" }], [null], {}];
    for (const odd of packages)
      expect(await refusalOf(uploadKeys, bob, { body: { ...good, packages: odd } })).toBe("bad_frame");
    for (const accountKey of ["", "A".repeat(42), `${"A".repeat(42)}=`, good.accountKey.replace(/.$/, "B"), 7, null])
      expect(await refusalOf(uploadKeys, bob, { body: { ...good, accountKey } })).toBe("bad_frame");
  });

  it.each([1, 83] as const)(
    "by nobody who makes it as the standard says, and is known by its reference: suite %s",
    async (suite) => {
      const keyPackage = await make({ suite });
      const { hash } = await implementationOf(suite);
      const ref = await makeKeyPackageRef(decoded(keyPackage), hash);
      const inspected = await inspectKeyPackage(
        keyPackage,
        { ...bob, accountKey: toBase64url(key.publicKey) },
        Date.now(),
      );
      expect(inspected).toEqual({ suite, ref: hexOf(ref), notAfter: expect.any(Number) });
      expect(inspected.notAfter).toBe(Number(decoded(keyPackage).leafNode.lifetime.notAfter) * 1_000);
    },
  );
});

describe("the account key", () => {
  it("is whose was first; another one is refused, unless the person begins anew", async () => {
    await meetOthers();
    const second = await anotherDevice(bob);
    await second.device.connect();
    const fresh = await makeAccountKey();
    await upload(await several(2));
    await upload([await make({ device: second.account.device })], {}, second.account);
    const rival = [await make({ account: fresh })];
    expect(await refusedUpload(rival, { accountKey: fresh })).toBe("taken");
    expect((await claim()).accountKey).toBe(toBase64url(key.publicKey));
    await upload(rival, { accountKey: fresh, reset: true });
    expect(await claim()).toEqual({
      accountKey: toBase64url(fresh.publicKey),
      packages: [{ device: bob.device, keyPackage: toBase64url(rival[0]!) }],
      missing: [second.account.device],
    });
    const alert = await second.device.next("alert", ({ kind }) => kind === "identity_reset");
    expect(alert).toMatchObject({ device: bob.device });
    const late = [await make({ device: second.account.device })];
    expect(await refusedUpload(late, {}, second.account)).toBe("taken");
  });
});

describe("claiming key packages", () => {
  beforeEach(meetOthers);

  it("R15 gives out each of them once, however many ask at the same time", async () => {
    const packages = await several(10);
    await upload(packages);
    const answers = await Promise.all(Array.from({ length: 30 }, (_, index) => claim(index % 2 ? alice : carol)));
    const given = answers.flatMap((answer) => answer.packages.map(({ keyPackage }) => keyPackage));
    expect(given.sort()).toEqual(texts(packages));
    expect(answers.filter(({ missing }) => missing.length > 0)).toHaveLength(20);
  });

  it("R15 what was given out is gone when the object crashes right afterwards", async () => {
    const packages = await several(2);
    await upload(packages);
    const [first] = (await claim()).packages;
    await crash(person(bob.user));
    const [second] = (await claim()).packages;
    expect([first!.keyPackage, second!.keyPackage].sort()).toEqual(texts(packages));
  });

  it("by one person who drains them ends in a refusal, and others still get the last resort", async () => {
    const lastResort = await make();
    await upload(await several(10));
    await upload([lastResort], { lastResort: true });
    const calling = { requester: alice.user, suite: 1 as const, except: [] };
    for (let count = 1; count < claimBucket.capacity; count++) await person(bob.user).claimKeyPackages(calling);
    expect((await claim()).packages).toHaveLength(1);
    const response = await call(claimKeyPackages, { token: alice.accessToken, ...of(bob) });
    expect([response.status, await response.json()]).toMatchObject([429, { code: "rate_limited" }]);
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(claimBucket.refillMs / 2_000);
    const packages = [{ device: bob.device, keyPackage: toBase64url(lastResort) }];
    expect(await claim(carol)).toMatchObject({ packages, missing: [] });
    expect(await claim(bob)).toMatchObject({ packages });
  });

  it("asks for one of each device that needs one, of the suite that is wanted", async () => {
    const second = await anotherDevice(bob);
    await upload([await make(), await make({ suite: 83 })]);
    await upload([await make({ device: second.account.device })], {}, second.account);
    expect((await claim(alice, { except: [second.account.device] })).packages).toHaveLength(1);
    expect(await claim(alice, { except: [bob.device] })).toMatchObject({
      packages: [{ device: second.account.device }],
    });
    const { packages, missing } = await claim(alice, { suite: 83 });
    expect([packages.map(({ device }) => device), missing]).toEqual([[bob.device], [second.account.device]]);
    expect(fromBase64url(packages[0]!.keyPackage)!.byteLength).toBeGreaterThan(2_000);
  });

  it("of somebody who has blocked the caller looks like any other", async () => {
    const packages = await several(3);
    await upload(packages);
    await ask(block, bob, { params: { user: alice.user } });
    const [blocked, other] = [await claim(alice), await claim(carol)];
    expect(blocked.packages).toHaveLength(1);
    expect({ ...blocked, packages: [] }).toEqual({ ...other, packages: [] });
  });

  it("finds nobody where there are no keys, and nobody to be found", async () => {
    for (const user of [bob.user, ulid()])
      expect(await refusalOf(claimKeyPackages, alice, { params: { user }, body: { suite: 1 } })).toBe("not_found");
    for (const body of [{}, { suite: 2 }, { suite: "1" }, { suite: 1, except: ["x"] }, { suite: 1, except: bob.user }])
      expect(await refusalOf(claimKeyPackages, alice, { params: { user: bob.user }, body })).toBe("bad_frame");
    for (const endpoint of [uploadKeys, viewKeys, claimKeyPackages])
      expect((await call(endpoint, { params: { user: bob.user } })).status).toBe(401);
  });

  it("finds none of a device that was removed", async () => {
    const second = await anotherDevice(bob);
    await upload([await make({ device: second.account.device })], {}, second.account);
    await person(bob.user).revokeDevice({ device: second.account.device, requestId: "r" });
    expect(await claim()).toMatchObject({ packages: [], missing: [bob.device] });
    expect(await refusalOf(viewKeys, second.account)).toBe("unauthenticated");
  });

  it("asks a connected device for more when it leaves few", async () => {
    const second = await anotherDevice(bob);
    const packages = await several(KEY_PACKAGES_LOW, { device: second.account.device });
    await upload(packages, {}, second.account);
    await upload(await several(KEY_PACKAGES_LOW, { device: second.account.device, suite: 83 }), {}, second.account);
    await second.device.connect();
    await second.device.settled();
    expect(second.device.of("refill")).toEqual([]);
    await claim();
    await second.device.next("refill");
  });
});

describe("what key packages cost", () => {
  const rowsWrittenBy = async (work: () => Promise<unknown>): Promise<number> => {
    const before = meter.rowsWritten;
    await work();
    return meter.rowsWritten - before;
  };

  const put = ({ device, stub }: TestDevice, ...refs: string[]) => {
    const fields = { suite: 1, isLastResort: false, notAfter: Date.now() + DAY_MS } as const;
    const packages = refs.map((ref) => ({ ...fields, ref, keyPackage: new Uint8Array(300) }));
    return stub.putKeys({ device, accountKey: "key", isReset: false, packages });
  };

  it("a row for each one that is kept, also where another was before", async () => {
    const device = await newDevice();
    // The first one sets the account key, too.
    await put(device, "a");
    expect(await rowsWrittenBy(() => put(device, "b", "c", "d"))).toBe(3);
    await device.stub.claimKeyPackages({ requester: device.user, suite: 1, except: [] });
    expect(await rowsWrittenBy(() => put(device, "a", "b", "e"))).toBe(1);
  });

  it("a row for each one that is given out and one for who asked, and none for a connection", async () => {
    const device = await newDevice();
    const connect = async () => {
      await device.connect();
      await device.settled();
      await device.leave();
      await eventually(async () =>
        expect(await device.stub.askPresence({ viewer: device.user })).toMatchObject({ isOnline: false }),
      );
    };
    await connect();
    const without = await rowsWrittenBy(connect);
    await put(device, "a", "b");
    expect(await rowsWrittenBy(connect)).toBe(without);
    expect(device.of("refill")).not.toEqual([]);
    const calling = { requester: bob.user, suite: 1 as const, except: [] };
    // The first one sets the alarm, too.
    await device.stub.claimKeyPackages(calling);
    expect(await rowsWrittenBy(() => device.stub.claimKeyPackages(calling))).toBe(2);
  });
});

describe("a person's rights", () => {
  it("their export names the account key, and how many key packages there are", async () => {
    await upload(await several(2));
    const response = await call(exportAccount, { token: bob.accessToken });
    const files = unzipSync(new Uint8Array(await response.arrayBuffer()));
    const record = JSON.parse(strFromU8(files["account.json"]!));
    expect(record.account.accountKey).toBe(toBase64url(key.publicKey));
    expect(record.devices).toMatchObject([
      {
        device: bob.device,
        keyPackages: [
          { suite: 1, oneTime: 2, hasLastResort: false },
          { suite: 83, oneTime: 0 },
        ],
      },
    ]);
  });

  it("R14 who is removed leaves no key package, and nothing where they have claimed some", async () => {
    await meetOthers();
    const aliceKey = await makeAccountKey();
    const hers = await makeKeyPackage({ account: aliceKey, user: alice.user, device: alice.device });
    await upload([hers], { accountKey: aliceKey }, alice);
    await upload(await several(2));
    await claim();
    await ask(deleteAccount, alice, { body: { confirm: "remove my account" } });
    expect(await tablesOf(person(alice.user))).toEqual([]);
    const stored = await Promise.all(
      (await tablesOf(person(bob.user))).map((table) => rowsOf(person(bob.user), `SELECT * FROM ${table}`)),
    );
    expect(JSON.stringify(stored)).toContain(bob.device);
    expect(JSON.stringify(stored)).not.toContain(alice.user);
    expect(await refusalOf(claimKeyPackages, bob, of(alice))).toBe("not_found");
  });
});

describe("a large body", () => {
  it("is taken where the endpoint says so, and nowhere else", async () => {
    const params = { user: bob.user, conversation: directConversation(bob.user, bob.user) };
    const statusOf = async (endpoint: Endpoint, chars: number) =>
      (await call(endpoint, { token: bob.accessToken, params, body: { text: "x".repeat(chars) } })).status;
    expect(await statusOf(claimKeyPackages, MAX_FRAME_BYTES)).toBe(413);
    expect(await statusOf(uploadKeys, MAX_FRAME_BYTES)).toBe(400);
    expect(await statusOf(uploadKeys, MAX_KEYS_REQUEST_BYTES)).toBe(413);
  });
});
