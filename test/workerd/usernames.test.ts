import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import * as people from "../../shared/api/people.ts";
import { personBuckets, USERNAME_HOLD_MS, USERNAME_RESERVATION_MS } from "../../shared/limits.ts";
import { type Account, call, signUp } from "./accounts.ts";
import { ask, OPERATORS, PAYLOADS, refusalOf } from "./asking.ts";

let alice: Account;
let bob: Account;
let names = 0;

/** A name that nobody in this file has had. */
const newName = () => `name_${++names}`;

beforeEach(async () => {
  alice = await signUp();
  bob = await signUp();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const reserve = (account: Account, username: string) => ask(people.reserveUsername, account, { body: { username } });
const confirm = (account: Account, username: string) => ask(people.confirmUsername, account, { body: { username } });
const find = (account: Account, username: string) => ask(people.findUsername, account, { body: { username } });
const release = (account: Account) => ask(people.releaseUsername, account);
const isRefused = (endpoint: typeof people.reserveUsername | typeof people.findUsername, account: Account) => {
  return (username: unknown) => refusalOf(endpoint, account, { body: { username } });
};

async function take(account: Account, username: string): Promise<void> {
  await reserve(account, username);
  await confirm(account, username);
}

/** Access tokens live for less time than passes here: only the database's clock goes on. */
async function later<T>(ms: number, work: () => Promise<T>): Promise<T> {
  await env.DB.batch([
    env.DB.prepare("UPDATE username SET reserved_until = reserved_until - ?1 WHERE reserved_until IS NOT NULL").bind(
      ms,
    ),
    env.DB.prepare("UPDATE username_hold SET until = until - ?1").bind(ms),
  ]);
  return work();
}

const rowsOf = async (table: string) => (await env.DB.prepare(`SELECT * FROM ${table}`).all()).results;

describe("a username", () => {
  it("is reserved, confirmed, found, and shown to its owner", async () => {
    const name = newName();
    const before = Date.now();
    const { until } = await reserve(alice, name);
    expect(until).toBeGreaterThanOrEqual(before + USERNAME_RESERVATION_MS);
    expect(until).toBeLessThanOrEqual(Date.now() + USERNAME_RESERVATION_MS);
    expect(await isRefused(people.findUsername, bob)(name)).toBe("not_found");
    expect(await ask(people.getMe, alice)).not.toHaveProperty("username");
    await confirm(alice, name);
    await ask(people.updateMe, alice, { body: { name: "Alice" } });
    expect(await find(bob, name)).toEqual({ user: alice.user, name: "Alice" });
    expect((await ask(people.getMe, alice)).username).toBe(name);
  });

  it("is the same in upper and lower case", async () => {
    const name = newName();
    expect(await reserve(alice, name.toUpperCase())).toMatchObject({ username: name });
    await confirm(alice, name.replace("n", "N"));
    expect(await find(bob, name.toUpperCase())).toMatchObject({ user: alice.user });
    expect(await isRefused(people.reserveUsername, bob)(name.toUpperCase())).toBe("taken");
  });

  it("is taken while somebody else has reserved it, and not a moment longer", async () => {
    const name = newName();
    await reserve(alice, name);
    const refuses = isRefused(people.reserveUsername, bob);
    expect(await refuses(name)).toBe("taken");
    expect(await later(USERNAME_RESERVATION_MS - 2_000, () => refuses(name))).toBe("taken");
    expect(await later(2_000, () => reserve(bob, name))).toMatchObject({ username: name });
    expect(await refusalOf(people.confirmUsername, alice, { body: { username: name } })).toBe("taken");
    await confirm(bob, name);
    expect(await find(alice, name)).toMatchObject({ user: bob.user });
  });

  it("is not confirmed by who has not reserved it, or too late", async () => {
    const [name, late] = [newName(), newName()];
    await reserve(alice, name);
    expect(await refusalOf(people.confirmUsername, bob, { body: { username: name } })).toBe("taken");
    expect(await refusalOf(people.confirmUsername, bob, { body: { username: newName() } })).toBe("taken");
    await reserve(alice, late);
    const confirmLate = () => refusalOf(people.confirmUsername, alice, { body: { username: late } });
    expect(await later(USERNAME_RESERVATION_MS, confirmLate)).toBe("taken");
    expect(await ask(people.getMe, alice)).not.toHaveProperty("username");
  });

  it("is one at a time: another reservation takes the place of the first", async () => {
    const [first, second] = [newName(), newName()];
    await reserve(alice, first);
    await reserve(alice, second);
    await reserve(alice, second);
    await take(bob, first);
    await confirm(alice, second);
    expect(await find(alice, first)).toMatchObject({ user: bob.user });
    expect(await find(bob, second)).toMatchObject({ user: alice.user });
  });

  it("goes to one of two who ask at once", async () => {
    const name = newName();
    const body = { username: name };
    const asked = [alice, bob].map(({ accessToken }) => call(people.reserveUsername, { token: accessToken, body }));
    const statuses = (await Promise.all(asked)).map(({ status }) => status);
    expect(statuses.sort()).toEqual([200, 409]);
  });

  it("is confirmed once, however often that is asked", async () => {
    const name = newName();
    await reserve(alice, name);
    await Promise.all([confirm(alice, name), confirm(alice, name)]);
    await confirm(alice, name);
    expect(await find(bob, name)).toMatchObject({ user: alice.user });
    expect(await isRefused(people.reserveUsername, alice)(name)).toBe("taken");
  });

  it.each(["admin", "Support", "SANDPIPER", "help", "system", "official", "root", "moderator"])(
    "never speaks for the service: %s",
    async (name) => {
      expect(await isRefused(people.reserveUsername, alice)(name)).toBe("taken");
    },
  );

  it("is a word of letters, digits and underscores", async () => {
    const words = ["ab", "1abc", "_abc", "a b", "a-b", "ä_bcd", "a".repeat(33), "", "abc\n", ...PAYLOADS, ...OPERATORS];
    for (const [index, word] of words.entries()) {
      // What is refused costs one of the ten that one person has.
      if (index % personBuckets.username.capacity === 0) alice = await signUp();
      expect(await isRefused(people.reserveUsername, alice)(word)).toBe("bad_frame");
      expect(await isRefused(people.findUsername, alice)(word)).toBe("bad_frame");
    }
  });
});

describe("a username that is given up", () => {
  it("is held for its former owner alone", async () => {
    const name = newName();
    await take(alice, name);
    await release(alice);
    expect(await isRefused(people.findUsername, bob)(name)).toBe("not_found");
    expect(await ask(people.getMe, alice)).not.toHaveProperty("username");
    const refuses = isRefused(people.reserveUsername, bob);
    expect(await refuses(name)).toBe("taken");
    expect(await later(USERNAME_HOLD_MS - 5_000, () => refuses(name))).toBe("taken");
    await take(alice, name);
    expect(await find(bob, name)).toMatchObject({ user: alice.user });
  });

  it("is free for everybody after thirty days, and its hold is gone", async () => {
    const name = newName();
    await take(alice, name);
    await release(alice);
    await later(USERNAME_HOLD_MS, () => take(bob, name));
    expect(await find(alice, name)).toMatchObject({ user: bob.user });
    expect(await rowsOf("username_hold")).not.toContainEqual(expect.objectContaining({ former_owner: alice.user }));
  });

  it("leaves nothing behind when its time is over, whatever name is asked for next", async () => {
    const [given, reserved] = [newName(), newName()];
    await take(alice, given);
    await release(alice);
    await reserve(alice, reserved);
    const left = async () => [
      (await rowsOf("username_hold")).filter(({ former_owner }) => former_owner === alice.user),
      (await rowsOf("username")).filter(({ name }) => name === reserved),
    ];
    await reserve(bob, newName());
    expect((await left()).map(({ length }) => length)).toEqual([1, 1]);
    await later(USERNAME_HOLD_MS, () => reserve(bob, newName()));
    expect(await left()).toEqual([[], []]);
  });

  it("is held also when another takes its place", async () => {
    const [first, second] = [newName(), newName()];
    await take(alice, first);
    await take(alice, second);
    expect((await ask(people.getMe, alice)).username).toBe(second);
    expect(await isRefused(people.findUsername, bob)(first)).toBe("not_found");
    expect(await isRefused(people.reserveUsername, bob)(first)).toBe("taken");
    await take(alice, first);
    expect(await isRefused(people.reserveUsername, bob)(second)).toBe("taken");
    expect(await rowsOf("username")).toContainEqual(expect.objectContaining({ name: first, owner: alice.user }));
    expect(await rowsOf("username")).not.toContainEqual(expect.objectContaining({ name: second }));
  });

  it("stays its owner's if the one that should take its place is not theirs", async () => {
    const [name, foreign] = [newName(), newName()];
    await take(alice, name);
    await reserve(bob, foreign);
    expect(await refusalOf(people.confirmUsername, alice, { body: { username: foreign } })).toBe("taken");
    expect(await find(bob, name)).toMatchObject({ user: alice.user });
    await take(bob, foreign);
  });

  it("is nowhere in clear while it is held", async () => {
    const name = newName();
    await take(alice, name);
    await release(alice);
    await release(alice);
    expect(JSON.stringify(await rowsOf("username_hold"))).not.toContain(name);
    expect(JSON.stringify(await rowsOf("username"))).not.toContain(`"${name}"`);
  });

  it("is held for nobody once its owner is gone", async () => {
    const name = newName();
    await take(alice, name);
    await release(alice);
    await env.DB.prepare("DELETE FROM user WHERE id = ?1").bind(alice.user).run();
    expect(await rowsOf("username_hold")).toContainEqual(expect.objectContaining({ former_owner: null }));
    expect(await isRefused(people.reserveUsername, bob)(name)).toBe("taken");
  });
});
