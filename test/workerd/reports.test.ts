import { env } from "cloudflare:workers";
import { CompactEncrypt, generateKeyPair } from "jose";
import { ulid } from "ulid";
import { beforeEach, describe, expect, it } from "vitest";
import * as people from "../../shared/api/people.ts";
import { directConversation } from "../../shared/ids.ts";
import { MAX_REPORT_EVIDENCE_CHARS, personBuckets } from "../../shared/limits.ts";
import { type Account, signUp } from "./accounts.ts";
import { ask, OPERATORS, PAYLOADS, refusalOf } from "./asking.ts";

let alice: Account;
let bob: Account;

beforeEach(async () => {
  [alice, bob] = [await signUp(), await signUp()];
});

const reports = async (reporter: Account) =>
  (await env.DB.prepare("SELECT * FROM report WHERE reporter = ?1").bind(reporter.user).all()).results;
const blockedBy = async (account: Account) => (await ask(people.listBlocked, account)).blocked;
const sends = (body: object) => ({ body: { user: bob.user, reason: "spam", ...body } });

async function sealed(text: string): Promise<string> {
  const { publicKey } = await generateKeyPair("ECDH-ES+A256KW");
  return new CompactEncrypt(new TextEncoder().encode(text))
    .setProtectedHeader({ alg: "ECDH-ES+A256KW", enc: "A256GCM" })
    .encrypt(publicKey);
}

describe("a report", () => {
  it("is kept with its sealed evidence, and blocks nobody unless asked", async () => {
    const conversation = directConversation(alice.user, bob.user);
    const evidence = await sealed("what bob wrote");
    const { report } = await ask(people.report, alice, sends({ reason: "abuse", conversation, evidence }));
    const row = { id: report, reporter: alice.user, reported: bob.user, reason: "abuse", conversation, evidence };
    expect(await reports(alice)).toEqual([{ ...row, at: expect.any(Number) }]);
    expect(await blockedBy(alice)).toEqual([]);
  });

  it("needs neither conversation nor evidence, and may come again", async () => {
    await ask(people.report, alice, sends({}));
    await ask(people.report, alice, sends({ conversation: ulid() }));
    expect(await reports(alice)).toMatchObject([{ conversation: null, evidence: null }, { reported: bob.user }]);
  });

  it("also blocks if that is asked", async () => {
    await ask(people.report, alice, sends({ block: true }));
    expect(await blockedBy(alice)).toEqual([{ user: bob.user, name: "" }]);
    expect(await reports(alice)).toHaveLength(1);
  });

  it("is about another person who exists, and a conversation of the reporter's", async () => {
    const carol = await signUp();
    const bad = [
      { user: ulid() },
      { user: alice.user },
      { conversation: directConversation(bob.user, carol.user) },
      { conversation: directConversation(alice.user, carol.user) },
      { conversation: directConversation(alice.user, alice.user) },
      { user: ulid(), block: true },
    ];
    for (const body of bad) expect(await refusalOf(people.report, alice, sends(body))).toBe("not_found");
    expect(await reports(alice)).toEqual([]);
    expect(await blockedBy(alice)).toEqual([]);
  });

  it("never carries what is not sealed", async () => {
    const parts = "a.b.c.d.e";
    const texts = [
      "a message in clear",
      "a.b.c.d",
      `${parts}.f`,
      `${parts}"`,
      `a.${"b".repeat(MAX_REPORT_EVIDENCE_CHARS)}.c.d.e`,
    ];
    for (const evidence of [...texts, ...PAYLOADS, ...OPERATORS]) {
      expect(await refusalOf(people.report, alice, sends({ evidence }))).toBe("bad_frame");
    }
    expect(await reports(alice)).toEqual([]);
  });

  it("names a reason that there is", async () => {
    for (const body of [{ reason: "because" }, { reason: { $ne: "" } }, { user: { $ne: "" } }, { block: "yes" }]) {
      expect(await refusalOf(people.report, alice, sends(body))).toBe("bad_frame");
    }
  });

  it("comes no more often than a person has reason to", async () => {
    const asked = Array.from({ length: personBuckets.report.capacity }, () => ask(people.report, alice, sends({})));
    await Promise.all(asked);
    expect(await refusalOf(people.report, alice, sends({}))).toBe("rate_limited");
    expect(await reports(alice)).toHaveLength(personBuckets.report.capacity);
  });

  it("goes with either of the two", async () => {
    await ask(people.report, alice, sends({}));
    await env.DB.prepare("DELETE FROM user WHERE id = ?1").bind(bob.user).run();
    expect(await reports(alice)).toEqual([]);
  });
});
