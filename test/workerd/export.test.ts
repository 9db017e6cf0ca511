import { env } from "cloudflare:workers";
import { drizzle } from "drizzle-orm/d1";
import { strFromU8, unzipSync } from "fflate";
import { ulid } from "ulid";
import { beforeEach, describe, expect, it } from "vitest";
import { beginArchive } from "../../shared/api/archives.ts";
import * as people from "../../shared/api/people.ts";
import { exportAccount } from "../../shared/api/rights.ts";
import { directConversation } from "../../shared/ids.ts";
import { ARCHIVE_CHUNK_BYTES, personBuckets } from "../../shared/limits.ts";
import { changeProfile } from "../../workers/gateway/database/profiles.ts";
import { insertUser } from "../../workers/gateway/database/users.ts";
import { phoneHashOf } from "../../workers/gateway/sign-in/phone.ts";
import { type Account, call, newPhone, signUp } from "./accounts.ts";
import { ask, PAYLOADS, refusalOf } from "./asking.ts";
import { newDevice } from "./device.ts";
import { openGroup } from "./objects.ts";

let phone: string;
let alice: Account;
let bob: Account;

beforeEach(async () => {
  phone = newPhone();
  [alice, bob] = [await signUp(phone), await signUp()];
});

const towards = ({ user }: { user: string }) => ({ params: { user } });
const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

async function archiveOf(account: Account): Promise<{ json: string; html: string }> {
  const response = await call(exportAccount, { token: account.accessToken });
  expect(response.status).toBe(200);
  expect(Object.fromEntries(response.headers)).toMatchObject({
    "content-type": "application/zip",
    "content-disposition": 'attachment; filename="sandpiper-account.zip"',
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
  });
  const files = unzipSync(new Uint8Array(await response.arrayBuffer()));
  expect(Object.keys(files).sort()).toEqual(["account.html", "account.json"]);
  return { json: strFromU8(files["account.json"]!), html: strFromU8(files["account.html"]!) };
}

/** Everything that a page is made of: its elements with their attributes, and its text. */
async function parse(html: string): Promise<{ elements: Set<string>; text: string }> {
  const elements = new Set<string>();
  const texts: string[] = [];
  const rewriter = new HTMLRewriter()
    .on("*", { element: (element) => void elements.add([element.tagName, ...attributesOf(element)].join(" ")) })
    .onDocument({ text: (chunk) => void texts.push(chunk.text) });
  await rewriter.transform(new Response(html, { headers: { "content-type": "text/html;charset=utf-8" } })).text();
  return { elements, text: texts.join("") };
}

/** Somebody who never signs in. */
async function newPerson(name: string): Promise<{ user: string }> {
  const user = ulid();
  await insertUser(drizzle(env.DB), { id: user, phoneHash: user, phoneEnd: "00", createdAt: 1 });
  await changeProfile(drizzle(env.DB), user, { name });
  return { user };
}

function attributesOf(element: Element): string[] {
  return [...element.attributes].map(([name]) => name as string);
}

function unescaped(text: string): string {
  const entities: Record<string, string> = { "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&amp;": "&" };
  return text.replace(/&(?:lt|gt|quot|#39|amp);/g, (entity) => entities[entity]!);
}

describe("the export of an account", () => {
  it("has all that is kept about the person", async () => {
    const [carol, mallory] = [await signUp(), await signUp()];
    const deviceOf = await newDevice(bob.user);
    await ask(people.updateMe, alice, { body: { name: "Alice", about: "here" } });
    await ask(people.updateMe, bob, { body: { name: "Bob" } });
    await env.USER.getByName(alice.user).raiseAlert({ kind: "code_requested", requestId: "r" });
    for (const username of ["alice_before", "alice_of_export"]) {
      await ask(people.reserveUsername, alice, { body: { username } });
      await ask(people.confirmUsername, alice, { body: { username } });
    }
    await ask(people.reserveUsername, alice, { body: { username: "alice_next" } });
    const { link } = await ask(people.rotateLink, alice);
    await ask(people.addContact, alice, towards(carol));
    await ask(people.block, alice, towards(mallory));
    await ask(people.setPrivacy, alice, { body: { about: { audience: "except", except: [carol.user] } } });
    await ask(people.report, alice, { body: { user: mallory.user, reason: "spam", evidence: "a.b.c.d.e" } });
    await deviceOf.connect();
    const conversation = directConversation(alice.user, bob.user);
    await openGroup(conversation);
    await deviceOf.send(conversation, "a text of bob's");
    await ask(beginArchive, alice, { params: { archive: "A".repeat(22) }, body: { chunks: 2 } });
    const contacts = { audience: "contacts", except: [] };
    expect(JSON.parse((await archiveOf(alice)).json)).toEqual({
      exportedAt: time,
      notes: expect.arrayContaining([expect.stringContaining("Messages are not in this archive")]),
      account: {
        user: alice.user,
        name: "Alice",
        about: "here",
        username: "alice_of_export",
        link,
        phoneEnd: phone.slice(-4),
        discoverable: true,
        createdAt: time,
        hasPin: false,
      },
      usernames: expect.arrayContaining([
        { name: "alice_of_export", reservedUntil: null },
        { name: "alice_next", reservedUntil: time },
      ]),
      heldUsernames: [{ until: time }],
      privacy: {
        seen: contacts,
        picture: contacts,
        groups: contacts,
        about: { audience: "except", except: [{ user: carol.user, name: "" }] },
      },
      devices: [expect.objectContaining({ device: alice.device, name: "test", addedAt: time, isOnline: false })],
      archives: [{ begunAt: time, roomInBytes: 2 * ARCHIVE_CHUNK_BYTES, isBackup: false }],
      contacts: [{ user: carol.user, name: "", username: null, addedAt: time }],
      blocked: [{ user: mallory.user, name: "" }],
      requests: [{ user: bob.user, name: "Bob" }],
      accepted: [{ user: carol.user, name: "" }],
      alerts: [expect.objectContaining({ kind: "code_requested", on: alice.device, at: time })],
      lastSeenAt: time,
      conversations: expect.arrayContaining([conversation]),
      reports: [{ reported: mallory.user, reason: "spam", conversation: null, evidenceChars: 9, at: time }],
    });
  });

  it("says in words what the file for programs says", async () => {
    await ask(people.updateMe, alice, { body: { name: "Alice & Söhne", about: "here" } });
    const { html } = await archiveOf(alice);
    const { text } = await parse(html);
    const shown = unescaped(text);
    for (const part of ["Alice & Söhne", "here", alice.user, alice.device, phone.slice(-4), "Phone end"]) {
      expect(shown).toContain(part);
    }
    expect(shown).toContain("Messages are not in this archive");
  });

  it("makes no markup of what people wrote", async () => {
    const plain = (await parse((await archiveOf(alice)).html)).elements;
    const lists = new Set([...plain, "ul", "li"]);
    expect([...plain].join(" ")).not.toContain("script");
    const extra = ["</td></table><iframe src=//evil>", '"><svg/onload=alert(1)>', "]]><!--", "</style><style>"];
    const hostile = [...PAYLOADS, ...extra];
    for (const text of hostile) {
      const other = await newPerson(text);
      await ask(people.addContact, alice, towards(other));
      await ask(people.block, alice, towards(other));
      await env.USER.getByName(alice.user).renameDevice({ device: alice.device, name: text });
      await ask(people.updateMe, alice, { body: { name: text, about: text } });
    }
    const { html, json } = await archiveOf(alice);
    const { elements, text } = await parse(html);
    expect([...elements].filter((element) => !lists.has(element))).toEqual([]);
    for (const written of hostile) expect(unescaped(text)).toContain(written);
    expect(JSON.parse(json)).toMatchObject({ account: { name: "</style><style>" } });
  });

  it("would run and load nothing even then", async () => {
    const { html } = await archiveOf(alice);
    expect(html).toContain(
      `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">`,
    );
    expect(html.indexOf("Content-Security-Policy")).toBeLessThan(html.indexOf("<title>"));
    expect([...(await parse(html)).elements].filter((element) => /script|src|href|on\w+=/.test(element))).toEqual([]);
  });

  it("has nothing of others, no number and no token", async () => {
    await ask(people.updateMe, bob, { body: { name: "Bob", about: "bob's own text" } });
    await ask(people.addContact, alice, towards(bob));
    await ask(people.addContact, bob, towards(alice));
    const { link } = await ask(people.rotateLink, bob);
    const { json, html } = await archiveOf(alice);
    const secrets = [
      phone.slice(1),
      phone.slice(2),
      await phoneHashOf(env, phone),
      alice.accessToken,
      alice.refreshToken,
    ];
    for (const secret of [...secrets, "bob's own text", link, bob.device]) {
      expect(json).not.toContain(secret);
      expect(html).not.toContain(secret);
    }
  });

  it("names people who are gone by their ids alone", async () => {
    await ask(people.block, alice, towards(bob));
    await env.DB.prepare("DELETE FROM user WHERE id = ?1").bind(bob.user).run();
    expect(JSON.parse((await archiveOf(alice)).json)).toMatchObject({ blocked: [{ user: bob.user }] });
  });

  it("is made a few times a day", async () => {
    for (let times = 0; times < personBuckets.export.capacity; times++) await archiveOf(alice);
    expect(await refusalOf(exportAccount, alice)).toBe("rate_limited");
  });

  it("is nobody's without a token", async () => {
    expect((await call(exportAccount)).status).toBe(401);
    expect((await call(exportAccount, { token: ulid() })).status).toBe(401);
  });
});
