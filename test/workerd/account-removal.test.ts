import { abortAllDurableObjects, createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from "jose";
import { ulid } from "ulid";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Env } from "../../durable-objects/runtime/env.ts";
import { removeRecords } from "../../durable-objects/runtime/removal.ts";
import { UserObject } from "../../durable-objects/user/object.ts";
import { viewGroup } from "../../shared/api/encryption.ts";
import * as people from "../../shared/api/people.ts";
import { deleteAccount, type Removal } from "../../shared/api/rights.ts";
import { keySet } from "../../shared/api/service.ts";
import { refreshSession } from "../../shared/api/session.ts";
import { decodeCertificate } from "../../shared/certificate.ts";
import { directConversation } from "../../shared/ids.ts";
import { CODE_RESEND_MS, personBuckets, RETENTION_MS } from "../../shared/limits.ts";
import type { AskAddition } from "../../shared/rpc.ts";
import { buildGateway } from "../../workers/gateway/gateway.ts";
import { phoneHashOf } from "../../workers/gateway/sign-in/phone.ts";
import { type Account, call, newPhone, requestOf, signUp } from "./accounts.ts";
import { ask, refusalOf } from "./asking.ts";
import { eventually, newDevice, type TestDevice } from "./device.ts";
import { crowd, MlsDevice, mls } from "./mls-device.ts";
import { conversation, entriesFor, fireAlarm, openGroup, person, tablesOf } from "./objects.ts";
import { everythingStored, placesOf, storedOutsideObjects } from "./storage-scan.ts";

const CONFIRMED = { confirm: "remove my account" };
/** What alice wrote, wherever she did. */
const MARKS = { name: "Alice Marker", about: "about-marker", username: "username_marker", text: "text-marker" };

let phone: string;
let alice: Account;
let bob: Account;
let carol: Account;

beforeEach(async () => {
  // What the test before has given up.
  await env.DB.prepare("DELETE FROM username_hold").run();
  phone = newPhone();
  [alice, bob, carol] = [await signUp(phone), await signUp(), await signUp()];
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const towards = ({ user }: { user: string }) => ({ params: { user } });
const remove = (account: Account, body: object = {}) =>
  ask(deleteAccount, account, { body: { ...CONFIRMED, ...body } });

async function takeName(account: Account, username: string): Promise<void> {
  await ask(people.reserveUsername, account, { body: { username } });
  await ask(people.confirmUsername, account, { body: { username } });
}

/** Everything that alice's account can have in the database and among the files. @returns how many of each */
async function giveRecords(link: (link: string) => void): Promise<{ databaseRows: number; files: number }> {
  await ask(people.updateMe, alice, { body: { name: MARKS.name, about: MARKS.about } });
  for (const name of [`${MARKS.username}_before`, MARKS.username]) await takeName(alice, name);
  await ask(people.reserveUsername, alice, { body: { username: `${MARKS.username}_next` } });
  link((await ask(people.rotateLink, alice)).link);
  for (const [one, other] of [
    [alice, bob],
    [bob, alice],
  ] as const) {
    await ask(people.addContact, one, towards(other));
    await ask(people.setPrivacy, one, { body: { about: { audience: "except", except: [other.user] } } });
    await ask(people.report, one, { body: { user: other.user, reason: "other" } });
  }
  await givePushes();
  for (const name of ["a", "b", "c/d"]) await env.MEDIA.put(`user/${alice.user}/${name}`, MARKS.text);
  await env.MEDIA.put(`user/${bob.user}/a`, "bob's");
  // Herself, two names, of contacts, exceptions and reports two each, and three pushes.
  return { databaseRows: 1 + 2 + 2 + 2 + 2 + 3, files: 3 };
}

/** One to alice, two of conversations with her, who is the first or the second there, and one that is not about her. */
async function givePushes(): Promise<void> {
  const pushes = [
    [alice.user, ""],
    [bob.user, directConversation(alice.user, bob.user)],
    [carol.user, directConversation(ulid(1), alice.user)],
    [bob.user, directConversation(bob.user, carol.user)],
  ];
  const insert = env.DB.prepare(
    "INSERT INTO push_delivery (user, device, conversation, at, request_id) VALUES (?, ?, ?, 1, '')",
  );
  await env.DB.batch(pushes.map(([user, chat]) => insert.bind(user, ulid(), chat)));
}

/** Messages both ways that were not delivered, in a 1:1 conversation and a group; and blocks both ways. */
async function giveConversations(devices: { alice: TestDevice; bob: TestDevice }): Promise<string> {
  const group = ulid();
  const members = [alice.user, bob.user, carol.user];
  await openGroup(group, members);
  const chat = directConversation(alice.user, bob.user);
  await openGroup(chat);
  await devices.alice.connect();
  await devices.alice.send(chat, MARKS.text);
  await devices.alice.send(group, MARKS.text);
  await devices.alice.leave();
  await devices.bob.connect();
  await devices.bob.send(chat, "to alice");
  await devices.bob.send(group, "to all");
  await devices.bob.leave();
  await ask(people.block, alice, towards(carol));
  await ask(people.block, carol, towards(alice));
  return group;
}

describe("removing an account", () => {
  it("R14 leaves nothing of it anywhere", async () => {
    const devices = { alice: await newDevice(alice.user), bob: await newDevice(bob.user) };
    const marks = [
      ...Object.values(MARKS),
      alice.user,
      alice.device,
      devices.alice.device,
      await phoneHashOf(env, phone),
    ];
    const counts = await giveRecords((link) => marks.push(link));
    const group = await giveConversations(devices);
    const users = [alice, bob, carol].map(({ user }) => user);
    const chats = users.flatMap((one) => users.map((other) => directConversation(one, other)));
    const stored = () => everythingStored([...users, ...chats, group]);
    const before = await stored();
    for (const mark of marks) expect({ mark, places: placesOf(before, [mark]) }).not.toMatchObject({ places: [] });
    await abortAllDurableObjects();

    await devices.alice.connect();
    const { removal } = await remove(alice);
    expect(removal).toMatchObject({ user: alice.user, completedAt: expect.any(Number), devices: 2, ...counts });
    expect(removal.conversations).toBeGreaterThanOrEqual(2);
    await eventually(() => expect(devices.alice.closed).toBeDefined());

    const searched = [...marks, phone.slice(1), phone.slice(2)];
    expect(placesOf(await stored(), searched)).toEqual([]);
    await abortAllDurableObjects();
    devices.bob.received.length = 0;
    await devices.bob.connect();
    await devices.bob.sync("all", []);
    expect(new Set(devices.bob.received.map(({ text }) => text))).toEqual(new Set(["to all"]));
    await devices.bob.send(group, "still here");
    await devices.bob.leave();
    expect(placesOf(await stored(), searched)).toEqual([]);
  });

  it("R14 is named in a group by what others need, its tree and commits: until there is another, and for a month", {
    timeout: 30_000,
  }, async () => {
    const group = ulid();
    const [ofAlice, ofBob, ofCarol] = [await MlsDevice.of(alice), await MlsDevice.of(bob), await MlsDevice.of(carol)];
    const others = [await ofAlice.addable(83), await ofCarol.addable(83), ...(await crowd(38, ofBob.accountKey))];
    const founding = await ofBob.make(group, others, 83);
    await ofBob.submitted(group, founding);
    await ofAlice.submitted(group, await ofAlice.joinExternally(group));
    const marks = [alice.user, alice.device];
    const places = async () => placesOf(await everythingStored([alice.user, bob.user, carol.user, group]), marks);
    expect(await places()).toContainEqual(expect.stringMatching(/^MEDIA .*tree$/));
    await remove(alice);
    const isCommit = (place: string) => /^CONVERSATION \w+ log_\d+_\d+$|^MEDIA .*\/commit$/.test(place);
    const isByCommits = (all: string[]) => all.length > 0 && all.every(isCommit);
    const isTree = (place: string) => /^MEDIA .*\/tree$/.test(place);
    const withoutTree = async () => (await places()).filter((place) => !isTree(place));
    await vi.waitFor(async () => expect(await withoutTree()).toSatisfy(isByCommits));
    expect((await places()).filter(isTree)).toHaveLength(1);
    const standing = await ask(viewGroup, carol, { params: { conversation: group } });
    expect(standing).toMatchObject({ epoch: 2, seq: 2, orphans: [1] });

    const [entry] = await entriesFor(bob.user, group, 1);
    const opened = await mls.open(founding.group, entry!.body);
    const bobs = opened.kind === "commit" ? opened.group : founding.group;
    const theirs = bobs.members.filter(({ credential }) => decodeCertificate(credential).user === alice.user);
    const removing = await ofBob.commit(bobs, { remove: theirs.map(({ leaf }) => leaf) });
    expect(await ofBob.submitted(group, removing)).toBe(3);
    expect(await ofCarol.viewGroup(group)).toMatchObject({ epoch: 3 });
    await vi.waitFor(async () => expect(await places()).toSatisfy(isByCommits));
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + RETENTION_MS + 1_000 });
    await eventually(async () => {
      await fireAlarm(conversation(group));
      expect(await places()).toEqual([]);
    });
  });

  it.each([
    ["a 1:1 conversation", () => directConversation(alice.user, bob.user)],
    ["a group", () => ulid()],
  ])("R14 leaves nothing in %s that they were brought into after they had agreed to it", async (_, name) => {
    const chat = name();
    const [ofAlice, ofBob] = [await MlsDevice.of(alice), await MlsDevice.of(bob)];
    const { askAddition } = UserObject.prototype;
    const hasAgreed = async function (this: UserObject, asked: AskAddition) {
      const reply = await askAddition.call(this, asked);
      await person(bob.user).removePerson({ requestId: "r" });
      return reply;
    };
    const adding = await ofAlice.make(chat, [await ofBob.addable()]);
    vi.spyOn(UserObject.prototype, "askAddition").mockImplementation(hasAgreed);
    expect((await ofAlice.submit(chat, adding)).accepted).toBe(true);
    vi.restoreAllMocks();
    const isNeeded = (place: string) => /^CONVERSATION \w+ (log_\d+_\d+|mls_group)$/.test(place);
    await eventually(async () => {
      const places = placesOf(await everythingStored([alice.user, bob.user, chat]), [bob.user, bob.device]);
      expect(places.filter((place) => !isNeeded(place) || chat.includes("."))).toEqual([]);
    });
    await fireAlarm(conversation(chat));
    await newDevice(alice.user).then((device) => device.connect());
    expect(placesOf(await everythingStored([alice.user]), [directConversation(alice.user, bob.user)])).toEqual([]);
  });

  it("takes nothing of others", async () => {
    await giveRecords(() => {});
    await ask(people.addContact, bob, towards(carol));
    await ask(people.block, bob, towards(carol));
    await takeName(bob, "name_of_bob");
    await remove(alice);
    expect(await ask(people.getMe, bob)).toMatchObject({ user: bob.user, username: "name_of_bob" });
    expect((await ask(people.listContacts, bob)).contacts.map(({ user }) => user)).toEqual([carol.user]);
    expect((await ask(people.listBlocked, bob)).blocked.map(({ user }) => user)).toEqual([carol.user]);
    expect(await ask(people.getPrivacy, bob)).toMatchObject({ about: { audience: "except", except: [] } });
    expect(await (await env.MEDIA.get(`user/${bob.user}/a`))?.text()).toBe("bob's");
    const pushes = await env.DB.prepare("SELECT conversation FROM push_delivery WHERE user = ?").bind(bob.user).all();
    expect(pushes.results).toEqual([{ conversation: directConversation(bob.user, carol.user) }]);
  });

  it("ends every device and every session, and nobody finds the person", async () => {
    await takeName(alice, "alice_found");
    const { link } = await ask(people.rotateLink, alice);
    await remove(alice);
    expect((await call(people.getMe, { token: alice.accessToken })).status).toBe(401);
    expect((await call(refreshSession, { body: { refreshToken: alice.refreshToken } })).status).toBe(401);
    expect(await refusalOf(people.viewPerson, bob, towards(alice))).toBe("not_found");
    expect(await refusalOf(people.addContact, bob, towards(alice))).toBe("not_found");
    expect(await refusalOf(people.openUserLink, bob, { body: { link } })).toBe("not_found");
    expect(await refusalOf(people.findUsername, bob, { body: { username: "alice_found" } })).toBe("not_found");
    expect(await refusalOf(people.reserveUsername, bob, { body: { username: "alice_found" } })).toBe("taken");
  });

  it("may be repeated, and removes nothing twice", async () => {
    await giveRecords(() => {});
    await remove(alice);
    const before = await storedOutsideObjects();
    const again = await env.USER.getByName(alice.user).removePerson({ requestId: "r" });
    expect(again).toEqual({ isComplete: true, devices: 0, conversations: 0, databaseRows: 0, files: 0 });
    expect(await removeRecords(env, alice.user)).toEqual({ databaseRows: 0, files: 0 });
    expect(await storedOutsideObjects()).toEqual(before);
    expect(await tablesOf(person(alice.user))).toEqual([]);
  });

  it("lets the same number begin anew", async () => {
    await ask(people.updateMe, alice, { body: { name: MARKS.name } });
    await remove(alice);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + CODE_RESEND_MS[0] });
    const fresh = await signUp(phone);
    expect(fresh.user).not.toBe(alice.user);
    expect(await ask(people.getMe, fresh)).toMatchObject({ name: "", phoneEnd: phone.slice(-4) });
    expect((await call(people.getMe, { token: alice.accessToken })).status).toBe(401);
  });

  it("is meant, or does not happen", async () => {
    for (const body of [{}, { confirm: "yes" }, { confirm: { $ne: "" } }, { confirm: true }]) {
      expect(await refusalOf(deleteAccount, alice, { body })).toBe("bad_frame");
    }
    expect(await ask(people.getMe, alice)).toMatchObject({ user: alice.user });
  });

  it("asks for the PIN, and counts wrong ones", async () => {
    await ask(people.setPin, alice, { body: { pin: "123456" } });
    const refused = (body: object) => refusalOf(deleteAccount, alice, { body: { ...CONFIRMED, ...body } });
    expect(await refused({})).toBe("pin_required");
    expect(await refused({ pin: "654321" })).toBe("pin_wrong");
    expect(await ask(people.getMe, alice)).toMatchObject({ user: alice.user, hasPin: true });
    expect((await remove(alice, { pin: "123456" })).removal).toHaveProperty("completedAt");
    await ask(people.setPin, bob, { body: { pin: "123456" } });
    for (let tries = 0; tries < personBuckets.pin.capacity; tries++) {
      expect(await refusalOf(deleteAccount, bob, { body: { ...CONFIRMED, pin: "654321" } })).toBe("pin_wrong");
    }
    expect(await refusalOf(deleteAccount, bob, { body: { ...CONFIRMED, pin: "123456" } })).toBe("rate_limited");
    expect(await ask(people.getMe, bob)).toMatchObject({ user: bob.user });
  });
});

describe("the receipt", () => {
  it("is the answer, signed with a published key, and no token", async () => {
    const before = Date.now();
    const { removal, receipt } = await remove(alice);
    const keys = (await (await call(keySet)).json()) as JSONWebKeySet;
    const options = { issuer: "sandpiper", typ: "sandpiper-removal+jwt", algorithms: ["ES256"] };
    const { payload } = await jwtVerify(receipt, createLocalJWKSet(keys), options);
    expect(payload).toEqual({ ...removal, iss: "sandpiper", iat: expect.any(Number) });
    expect(decodeProtectedHeader(receipt)).toHaveProperty("kid");
    expect(removal.requestedAt).toBeGreaterThanOrEqual(before);
    expect(removal.completedAt).toBeGreaterThanOrEqual(removal.requestedAt);
    expect((await call(people.getMe, { token: receipt })).status).toBe(401);
  });

  it("does not say that it is done while it goes on", async () => {
    const counts = { devices: 1, conversations: 2, databaseRows: 3, files: 4 };
    const object = {
      admit: async () => ({ ok: true }),
      overview: async () => ({ hasPin: false }),
      removePerson: async () => ({ isComplete: false, ...counts }),
    };
    const slow = { ...env, USER: { getByName: () => object } } as unknown as Env;
    const request = requestOf(deleteAccount, { token: alice.accessToken, body: CONFIRMED });
    const response = await buildGateway().fetch(request, slow, createExecutionContext());
    const { removal } = (await response.json()) as { removal: Removal };
    expect(removal).toEqual({ user: alice.user, requestedAt: expect.any(Number), ...counts });
  });
});

describe("removing a person's records", () => {
  it("goes on from page to page of their files", async () => {
    for (let file = 0; file < 5; file++) await env.MEDIA.put(`user/${alice.user}/${file}`, "x");
    const pages = vi.fn((options: R2ListOptions) => env.MEDIA.list({ ...options, limit: 2 }));
    const MEDIA = { list: pages, delete: (keys: string[]) => env.MEDIA.delete(keys) } as unknown as R2Bucket;
    expect(await removeRecords({ DB: env.DB, MEDIA }, alice.user)).toEqual({ databaseRows: 1, files: 5 });
    expect(pages).toHaveBeenCalledTimes(3);
    expect((await env.MEDIA.list({ prefix: `user/${alice.user}/` })).objects).toEqual([]);
  });

  it("removes all rows or none", async () => {
    await ask(people.addContact, alice, towards(bob));
    const fails = vi.spyOn(env.DB, "batch").mockRejectedValueOnce(new Error("no database"));
    await expect(removeRecords(env, alice.user)).rejects.toThrow();
    fails.mockRestore();
    expect((await ask(people.listContacts, alice)).contacts).toHaveLength(1);
    expect(await removeRecords(env, alice.user)).toMatchObject({ databaseRows: 2 });
  });
});
