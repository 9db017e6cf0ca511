import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { ulid } from "ulid";
import { beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { base64url } from "../../durable-objects/runtime/keyed-hash.ts";
import * as people from "../../shared/api/people.ts";
import * as rights from "../../shared/api/rights.ts";
import {
  MAX_ABOUT_CHARS,
  MAX_HASHES_PER_DISCOVERY,
  MAX_PROFILE_NAME_CHARS,
  personBuckets,
} from "../../shared/limits.ts";
import { BOOKMARK_HEADER } from "../../workers/gateway/database/database.ts";
import { buildGateway } from "../../workers/gateway/gateway.ts";
import { type Account, call, newPhone, requestOf, signUp } from "./accounts.ts";
import { ask, OPERATORS, PAYLOADS, refusalOf } from "./asking.ts";

let alice: Account;
let bob: Account;
let phone: string;

async function arrive(): Promise<void> {
  phone = newPhone();
  alice = await signUp(phone);
  bob = await signUp();
  vi.restoreAllMocks();
}

async function digestOf(number: string): Promise<string> {
  return base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(number))));
}

describe("every endpoint about people", () => {
  const endpoints = [...Object.values(people), ...Object.values(rights)].filter((value) => "path" in value);
  beforeAll(arrive);

  it.each(endpoints)("$name asks for a token", async (endpoint) => {
    const response = await call(endpoint, { params: { user: bob.user } });
    expect(response.status).toBe(401);
  });

  it.each(endpoints)("$name refuses what is no body of its own", async (endpoint) => {
    if (!endpoint.body) return expect(["get", "put", "delete", "post"]).toContain(endpoint.method);
    for (const body of [null, "text", 7, true]) {
      expect(await refusalOf(endpoint, alice, { body, params: { user: bob.user } })).toBe("bad_frame");
    }
  });

  it.each(endpoints.filter(({ params }) => params))("$name finds nobody by what is no id", async (endpoint) => {
    for (const user of ["x", "' OR 1=1 --", "%00", bob.user.toLowerCase(), `${bob.user}.${alice.user}`]) {
      const asked = { params: { user: encodeURIComponent(user) } };
      expect(await refusalOf(endpoint, alice, asked)).toBe("not_found");
    }
  });
});

describe("one's own account", () => {
  beforeEach(arrive);

  it("begins with nothing but the end of the number", async () => {
    expect(await ask(people.getMe, alice)).toEqual({
      user: alice.user,
      name: "",
      about: "",
      phoneEnd: phone.slice(-4),
      discoverable: true,
      hasPin: false,
      createdAt: expect.any(Number),
    });
  });

  it("changes what is named and nothing else", async () => {
    await ask(people.updateMe, alice, { body: { name: "  Alice ", about: "here" } });
    await ask(people.updateMe, alice, { body: { discoverable: false } });
    await ask(people.updateMe, alice, { body: {} });
    await ask(people.updateMe, alice, { body: { user: bob.user, phoneEnd: "0000", link: "x" } });
    const expected = { user: alice.user, name: "Alice", about: "here", discoverable: false, phoneEnd: phone.slice(-4) };
    expect(await ask(people.getMe, alice)).toMatchObject(expected);
    expect(await ask(people.getMe, bob)).toMatchObject({ name: "", about: "", discoverable: true });
    await ask(people.updateMe, alice, { body: { about: "" } });
    expect(await ask(people.getMe, alice)).toMatchObject({ name: "Alice", about: "" });
  });

  it("refuses names and texts that are too long or none", async () => {
    const bad = [
      { name: "" },
      { name: " \t" },
      { name: "x".repeat(MAX_PROFILE_NAME_CHARS + 1) },
      { about: "x".repeat(MAX_ABOUT_CHARS + 1) },
      { discoverable: "yes" },
      ...OPERATORS.flatMap((value) => [{ name: value }, { about: value }]),
    ];
    for (const body of bad) expect(await refusalOf(people.updateMe, alice, { body })).toBe("bad_frame");
    expect(await ask(people.getMe, alice)).toMatchObject({ name: "", about: "", discoverable: true });
  });

  it("keeps any text as it is", async () => {
    for (const text of PAYLOADS) {
      await ask(people.updateMe, alice, { body: { name: text, about: text } });
      expect(await ask(people.getMe, alice)).toMatchObject({ name: text.trim(), about: text.trim() });
      expect(await ask(people.getMe, bob)).toMatchObject({ name: "", about: "" });
    }
  });
});

describe("a person's link", () => {
  beforeEach(arrive);

  const open = (link: string) => ask(people.openUserLink, bob, { body: { link } });

  it("leads to them until it is rotated or removed", async () => {
    await ask(people.updateMe, alice, { body: { name: "Alice" } });
    const { link } = await ask(people.rotateLink, alice);
    expect((await ask(people.getMe, alice)).link).toBe(link);
    expect(await open(link)).toEqual({ user: alice.user, name: "Alice" });
    const { link: next } = await ask(people.rotateLink, alice);
    expect(next).not.toBe(link);
    expect(await refusalOf(people.openUserLink, bob, { body: { link } })).toBe("not_found");
    expect(await open(next)).toMatchObject({ user: alice.user });
    await ask(people.removeLink, alice);
    expect(await refusalOf(people.openUserLink, bob, { body: { link: next } })).toBe("not_found");
    expect(await ask(people.getMe, alice)).not.toHaveProperty("link");
  });

  it("also opens for somebody who is blocked, who learns nothing by it", async () => {
    const { link } = await ask(people.rotateLink, alice);
    const before = await open(link);
    await ask(people.block, alice, { params: { user: bob.user } });
    expect(await open(link)).toEqual(before);
  });

  it("is not guessed, nor found by what is no link", async () => {
    const unknown = base64url(crypto.getRandomValues(new Uint8Array(32)));
    expect(await refusalOf(people.openUserLink, bob, { body: { link: unknown } })).toBe("not_found");
    for (const link of [...PAYLOADS, ...OPERATORS, "", `${unknown}x`]) {
      expect(await refusalOf(people.openUserLink, bob, { body: { link } })).toBe("bad_frame");
    }
  });
});

describe("finding people by their numbers", () => {
  beforeEach(arrive);

  const discover = (digests: string[]) => ask(people.discoverContacts, bob, { body: { digests } });

  it("finds those who are here and let themselves be found", async () => {
    const other = newPhone();
    const carol = await signUp(other);
    await ask(people.updateMe, alice, { body: { name: "Alice" } });
    const [known, hidden, unknown] = await Promise.all([phone, other, newPhone()].map(digestOf));
    await ask(people.updateMe, carol, { body: { discoverable: false } });
    const asked = [known!, hidden!, unknown!];
    expect(await discover(asked)).toEqual({ found: [{ digest: known, user: alice.user, name: "Alice" }] });
    await ask(people.updateMe, carol, { body: { discoverable: true } });
    expect((await discover(asked)).found.map(({ user }) => user).sort()).toEqual([alice.user, carol.user].sort());
  });

  it("takes as many as one request may have, and each once", async () => {
    const numbers = Array.from({ length: MAX_HASHES_PER_DISCOVERY }, (_, index) => `+99${index}`);
    const digests = await Promise.all(numbers.map(digestOf));
    digests[MAX_HASHES_PER_DISCOVERY - 1] = await digestOf(phone);
    digests[0] = digests[MAX_HASHES_PER_DISCOVERY - 1]!;
    expect(await discover(digests)).toMatchObject({ found: [{ user: alice.user }] });
    const body = { digests: [...digests, digests[1]] };
    expect(await refusalOf(people.discoverContacts, bob, { body })).toBe("bad_frame");
  });

  it("counts every number, so that nobody goes through all of them", async () => {
    const digests = Array.from({ length: MAX_HASHES_PER_DISCOVERY }, () =>
      base64url(crypto.getRandomValues(new Uint8Array(32))),
    );
    const rounds = personBuckets.discovery.capacity / MAX_HASHES_PER_DISCOVERY;
    for (let round = 0; round < rounds; round++) expect(await discover(digests)).toEqual({ found: [] });
    expect(await refusalOf(people.discoverContacts, bob, { body: { digests: [digests[0], digests[1]] } })).toBe(
      "rate_limited",
    );
    expect(await ask(people.getMe, bob)).toMatchObject({ user: bob.user });
  });

  it("takes nothing but digests", async () => {
    const bad = [[], [phone], ...[...PAYLOADS, ...OPERATORS].map((value) => [value]), { $in: [] }, "x"];
    for (const digests of bad) {
      expect(await refusalOf(people.discoverContacts, bob, { body: { digests } })).toBe("bad_frame");
    }
  });
});

describe("reads after writes", () => {
  beforeEach(arrive);

  /** A gateway of its own, whose database tells how its sessions begin. */
  async function asked(account: Account, endpoint: typeof people.getMe | typeof people.updateMe, bookmark?: string) {
    const withSession = vi.spyOn(env.DB, "withSession");
    const body = endpoint === people.updateMe ? { body: { about: ulid() } } : {};
    const headers: Record<string, string> = bookmark === undefined ? {} : { [BOOKMARK_HEADER]: bookmark };
    const context = createExecutionContext();
    const request = requestOf(endpoint, { token: account.accessToken, headers, ...body });
    const response = await buildGateway().fetch(request, env, context);
    await waitOnExecutionContext(context);
    expect(response.ok).toBe(true);
    const begins = withSession.mock.calls.map(([first]) => first);
    withSession.mockRestore();
    return { begins, bookmark: response.headers.get(BOOKMARK_HEADER) ?? undefined };
  }

  const madeByD1 = "00000085-0000024c-00004c6d-8e61117bf38d7adb71b934ebbf891683";
  const bookmark = expect.stringMatching(/^[\da-f]{8}-[\da-f]{8}-[\da-f]{8}-[\da-f]{32}$/);

  it("see at least what the answer before has seen", async () => {
    const written = await asked(alice, people.updateMe);
    expect(written).toEqual({ begins: ["first-unconstrained"], bookmark });
    const read = await asked(alice, people.getMe, written.bookmark);
    expect(read).toEqual({ begins: [written.bookmark], bookmark });
  });

  it("see what the primary has answered for a link", async () => {
    const { link } = await ask(people.rotateLink, alice);
    const opened = await call(people.openUserLink, { token: bob.accessToken, body: { link } });
    expect(opened.headers.get(BOOKMARK_HEADER)).toEqual(bookmark);
  });

  it("overlook a bookmark that is none", async () => {
    const odd = ["' OR 1=1 --", "x".repeat(300), "first primary", "first-primary", "b", `${"0".repeat(8)}-`.repeat(4)];
    for (const bookmark of [...odd, `g${madeByD1.slice(1)}`, `${madeByD1}0`, madeByD1.toUpperCase()]) {
      expect((await asked(alice, people.getMe, bookmark)).begins).toEqual(["first-unconstrained"]);
    }
  });
});
