import { env } from "cloudflare:workers";
import { ulid } from "ulid";
import { beforeEach, describe, expect, it } from "vitest";
import * as people from "../../shared/api/people.ts";
import { directConversation } from "../../shared/ids.ts";
import { MAX_CONTACTS_PER_USER } from "../../shared/limits.ts";
import { type Account, call, signUp } from "./accounts.ts";
import { ask, refusalOf } from "./asking.ts";
import { newDevice } from "./device.ts";
import { openGroup } from "./objects.ts";

let alice: Account;
let bob: Account;
let carol: Account;

beforeEach(async () => {
  [alice, bob, carol] = [await signUp(), await signUp(), await signUp()];
  for (const [account, name] of [
    [alice, "Alice"],
    [bob, "Bob"],
    [carol, "Carol"],
  ] as const) {
    await ask(people.updateMe, account, { body: { name } });
  }
});

const towards = ({ user }: { user: string }) => ({ params: { user } });
const nobody = () => towards({ user: ulid() });
const contactsOf = async (account: Account) => (await ask(people.listContacts, account)).contacts;
const requestsOf = async (account: Account) => (await ask(people.listRequests, account)).requests;
const blockedBy = async (account: Account) => (await ask(people.listBlocked, account)).blocked;

/** Somebody writes to somebody else, over a socket. */
async function writes(from: Account, to: Account): Promise<void> {
  const chat = directConversation(from.user, to.user);
  await openGroup(chat);
  const device = await (await newDevice(from.user)).connect();
  await device.send(chat, "hello");
  await device.leave();
}

describe("contacts", () => {
  it("are added, listed with their names, and removed", async () => {
    await ask(people.reserveUsername, bob, { body: { username: "bob_of_contacts" } });
    const bobListed = { user: bob.user, name: "Bob", addedAt: expect.any(Number) };
    await ask(people.addContact, alice, towards(bob));
    expect(await contactsOf(alice)).toEqual([bobListed]);
    await ask(people.confirmUsername, bob, { body: { username: "bob_of_contacts" } });
    await ask(people.addContact, alice, towards(carol));
    await ask(people.addContact, alice, towards(bob));
    expect(await contactsOf(alice)).toEqual([
      { ...bobListed, username: "bob_of_contacts" },
      { user: carol.user, name: "Carol", addedAt: expect.any(Number) },
    ]);
    await ask(people.removeContact, alice, towards(bob));
    await ask(people.removeContact, alice, towards(bob));
    await ask(people.removeContact, alice, nobody());
    expect((await contactsOf(alice)).map(({ user }) => user)).toEqual([carol.user]);
    expect(await contactsOf(bob)).toEqual([]);
  });

  it("are others, who exist", async () => {
    expect(await refusalOf(people.addContact, alice, nobody())).toBe("not_found");
    expect(await refusalOf(people.addContact, alice, towards(alice))).toBe("not_found");
    expect(await contactsOf(alice)).toEqual([]);
  });

  it("have an end, which two at once do not get past", async () => {
    const others = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)`;
    const count = MAX_CONTACTS_PER_USER - 1;
    await env.DB.prepare(
      `${others} INSERT INTO user (id, phone_hash, phone_end, created_at) SELECT printf('0%025d', i), i, '00', i FROM n`,
    )
      .bind(count)
      .run();
    await env.DB.prepare(`${others} INSERT INTO contact SELECT ?2, printf('0%025d', i), i FROM n`)
      .bind(count, alice.user)
      .run();
    const adds = [bob, carol].map((other) => call(people.addContact, { token: alice.accessToken, ...towards(other) }));
    expect((await Promise.all(adds)).map(({ status }) => status).sort()).toEqual([204, 409]);
    const listed = await contactsOf(alice);
    expect(listed).toHaveLength(MAX_CONTACTS_PER_USER);
    const [added, left] = listed.some(({ user }) => user === bob.user) ? [bob, carol] : [carol, bob];
    expect(await refusalOf(people.addContact, alice, towards(left))).toBe("too_many");
    await ask(people.addContact, alice, towards(added));
    await ask(people.removeContact, alice, towards(added));
    await ask(people.addContact, alice, towards(left));
  });
});

describe("requests", () => {
  it("are strangers who have written, until they are accepted", async () => {
    expect(await requestsOf(alice)).toEqual([]);
    await writes(bob, alice);
    expect(await requestsOf(alice)).toEqual([{ user: bob.user, name: "Bob" }]);
    expect(await requestsOf(bob)).toEqual([]);
    await ask(people.acceptRequest, alice, towards(bob));
    await ask(people.acceptRequest, alice, towards(bob));
    expect(await requestsOf(alice)).toEqual([]);
  });

  it("are accepted by becoming a contact", async () => {
    await writes(bob, alice);
    await ask(people.addContact, alice, towards(bob));
    expect(await requestsOf(alice)).toEqual([]);
  });

  it("of nobody cannot be accepted", async () => {
    expect(await refusalOf(people.acceptRequest, alice, nobody())).toBe("not_found");
    expect(await refusalOf(people.acceptRequest, alice, towards(alice))).toBe("not_found");
  });
});

describe("blocks", () => {
  it("are set, listed and lifted", async () => {
    await ask(people.block, alice, towards(bob));
    await ask(people.block, alice, towards(bob));
    await ask(people.block, alice, towards(carol));
    expect((await blockedBy(alice)).map(({ name }) => name).sort()).toEqual(["Bob", "Carol"]);
    expect(await blockedBy(bob)).toEqual([]);
    await ask(people.unblock, alice, towards(bob));
    await ask(people.unblock, alice, towards(bob));
    await ask(people.unblock, alice, nobody());
    expect(await blockedBy(alice)).toEqual([{ user: carol.user, name: "Carol" }]);
  });

  it("take a request away", async () => {
    await writes(bob, alice);
    await ask(people.block, alice, towards(bob));
    expect(await requestsOf(alice)).toEqual([]);
  });

  it("are of others, who exist", async () => {
    expect(await refusalOf(people.block, alice, nobody())).toBe("not_found");
    expect(await refusalOf(people.block, alice, towards(alice))).toBe("not_found");
    expect(await blockedBy(alice)).toEqual([]);
  });
});
