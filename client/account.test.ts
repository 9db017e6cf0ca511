import { createHash } from "node:crypto";
import { compactDecrypt, exportJWK, generateKeyPair } from "jose";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { MAX_HASHES_PER_DISCOVERY } from "../shared/limits.ts";
import { Account } from "./account.ts";
import type { Message } from "./chat/message.ts";
import { completeSignIn, requestCode, signIn } from "./sign-in.ts";
import { MemoryStore } from "./store/memory.ts";
import { device, refusal, signedIn, TestServer, tokens, url, user } from "./test-server.ts";

const peer = "01HZZZZZZZZZZZZZZZZZZZZZZB";
const phone = "+49 170 1234567";

/** Of those who run the service. */
const keys = await generateKeyPair("ECDH-ES+A256KW", { crv: "P-256", extractable: true });
const publicKey = { ...(await exportJWK(keys.publicKey)), use: "enc", kid: "k1", alg: "ECDH-ES+A256KW" };

let server: TestServer;
let store: MemoryStore;
beforeEach(() => {
  [server, store] = [new TestServer(), new MemoryStore()];
  server
    .on("POST /v1/sign-in", () => signedIn())
    .on("POST /v1/sign-in/complete", () => signedIn())
    .on("POST /v1/session/refresh", () => tokens(2));
  vi.stubGlobal("fetch", server.fetch);
});
afterEach(() => {
  vi.unstubAllGlobals();
});

const options = () => ({ url, store, deviceName: "Laptop" });
const enter = () => signIn({ ...options(), phone, code: "123456" });

describe("signing in", () => {
  test("a code is sent, and the account is there with it", async () => {
    const sent = { expiresAt: 3, nextSendAt: 2, triesLeft: 5 };
    server.on("POST /v1/sign-in/code", () => sent);
    expect(await requestCode(url, phone)).toEqual(sent);
    expect(await enter()).toMatchObject({ user, device, url: `${url}/`, isNew: true });
    expect(server.bodies("POST /v1/sign-in/code")).toEqual([{ phone }]);
    expect(server.bodies("POST /v1/sign-in")).toEqual([
      { phone, code: "123456", device: { name: "Laptop" }, revokeOthers: false, cookie: false },
    ]);
  });

  test("a refusal says how to go on, and the proof it carries does", async () => {
    const details = { proof: "proof", canReset: true };
    server.on("POST /v1/sign-in", () => refusal("pin_required", 403, { details }));
    await expect(enter()).rejects.toMatchObject({ code: "pin_required", details });
    expect(await store.loadSession()).toBeUndefined();
    await completeSignIn({ ...options(), proof: "proof", pin: "1234", revokeOthers: true, cookie: true });
    expect(server.bodies("POST /v1/sign-in/complete")).toEqual([
      { proof: "proof", pin: "1234", reset: false, device: { name: "Laptop" }, revokeOthers: true, cookie: true },
    ]);
    expect(server.asked.at(-1)?.credentials).toBe("include");
  });

  test("a device that was signed out becomes the same device again", async () => {
    await store.saveSession({ user, device, isSignedOut: true });
    expect(await Account.open({ url, store })).toBeUndefined();
    await enter();
    expect(server.bodies("POST /v1/sign-in")).toMatchObject([{ device: { name: "Laptop", id: device } }]);
    await signIn({ ...options(), phone, code: "123456", device: peer });
    expect(server.bodies("POST /v1/sign-in")).toMatchObject([{}, { device: { id: peer } }]);
  });

  test("a remembered device that is none of this account's becomes a new one", async () => {
    await store.saveSession({ user: peer, device: peer, isSignedOut: true });
    server.on("POST /v1/sign-in", () => refusal("not_found", 404, { details: { proof: "proof" } }));
    expect(await enter()).toMatchObject({ user, device });
    expect(server.bodies("POST /v1/sign-in/complete")).toEqual([
      { proof: "proof", device: { name: "Laptop" }, revokeOthers: false, cookie: false },
    ]);
    const again = signIn({ ...options(), phone, code: "123456", device: peer });
    await expect(again).rejects.toMatchObject({ code: "not_found" });
  });

  test("a later start finds the account without asking the server", async () => {
    expect(await Account.open({ url, store })).toBeUndefined();
    await enter();
    const before = server.asked.length;
    expect(await Account.open({ url, store })).toMatchObject({ user, device, isNew: false });
    expect(server.asked).toHaveLength(before);
  });
});

describe("an account", () => {
  test("every namespace asks for what it is named after", async () => {
    const account = await enter();
    const username = { username: "ada", until: 1 };
    server
      .on("GET /v1/devices", () => ({ devices: [] }))
      .on("GET /v1/contacts", () => ({ contacts: [] }))
      .on("GET /v1/requests", () => ({ requests: [{ user: peer, name: "Bob" }] }))
      .on("GET /v1/blocks", () => ({ blocked: [{ user: peer, name: "Bob" }] }))
      .on("POST /v1/usernames/find", () => ({ user: peer, name: "Bob" }))
      .on("POST /v1/user-links/open", () => ({ user: peer, name: "Bob" }))
      .on("POST /v1/usernames/reservations", () => username)
      .on("POST /v1/me/link", () => ({ link: "l".repeat(43) }))
      .on(`GET /v1/users/${peer}`, () => ({ user: peer, name: "Bob" }))
      .on("GET /v1/me/export", () => new Uint8Array([1]));
    for (const silent of [
      `PATCH /v1/devices/${peer}`,
      `DELETE /v1/devices/${peer}`,
      ...["PUT", "DELETE"].flatMap((m) => [`${m} /v1/contacts/${peer}`, `${m} /v1/blocks/${peer}`]),
      ...[
        `PUT /v1/requests/${peer}`,
        "PUT /v1/me/pin",
        "POST /v1/me/pin/removal",
        "PATCH /v1/me",
        "PATCH /v1/me/privacy",
      ],
      ...["PUT /v1/me/username", "DELETE /v1/me/username", "DELETE /v1/me/link"],
    ]) {
      server.on(silent, () => undefined);
    }
    server.asked.length = 0;
    const { auth, devices, contacts, profile, privacy } = account;
    const bob = { user: peer, name: "Bob" };
    expect(await devices.list()).toEqual([]);
    await devices.rename(peer, "Phone");
    await devices.revoke(peer);
    expect(await contacts.list()).toEqual([]);
    await contacts.add(peer);
    await contacts.remove(peer);
    expect(await contacts.find("bob")).toEqual(bob);
    expect(await contacts.open("l".repeat(43))).toEqual(bob);
    await contacts.block(peer);
    await contacts.unblock(peer);
    expect(await contacts.blocked()).toEqual([bob]);
    expect(await contacts.requests()).toEqual([bob]);
    await contacts.accept(peer);
    await profile.update({ name: "Ada", discoverable: false });
    expect(await profile.view(peer)).toEqual(bob);
    expect(await profile.reserveUsername("ada")).toEqual(username);
    await profile.confirmUsername("ada");
    await profile.releaseUsername();
    expect(await profile.rotateLink()).toBe("l".repeat(43));
    await profile.removeLink();
    await privacy.set({ seen: { audience: "nobody" } });
    await auth.setPin("1234");
    await auth.setPin("5678", "1234");
    await auth.removePin("5678");
    expect(await auth.export()).toEqual(new Uint8Array([1]));
    expect(server.asked.map(({ what, body }) => [what, body])).toEqual([
      ["GET /v1/devices", undefined],
      [`PATCH /v1/devices/${peer}`, { name: "Phone" }],
      [`DELETE /v1/devices/${peer}`, undefined],
      ["GET /v1/contacts", undefined],
      [`PUT /v1/contacts/${peer}`, undefined],
      [`DELETE /v1/contacts/${peer}`, undefined],
      ["POST /v1/usernames/find", { username: "bob" }],
      ["POST /v1/user-links/open", { link: "l".repeat(43) }],
      [`PUT /v1/blocks/${peer}`, undefined],
      [`DELETE /v1/blocks/${peer}`, undefined],
      ["GET /v1/blocks", undefined],
      ["GET /v1/requests", undefined],
      [`PUT /v1/requests/${peer}`, undefined],
      ["PATCH /v1/me", { name: "Ada", discoverable: false }],
      [`GET /v1/users/${peer}`, undefined],
      ["POST /v1/usernames/reservations", { username: "ada" }],
      ["PUT /v1/me/username", { username: "ada" }],
      ["DELETE /v1/me/username", undefined],
      ["POST /v1/me/link", undefined],
      ["DELETE /v1/me/link", undefined],
      ["PATCH /v1/me/privacy", { seen: { audience: "nobody" } }],
      ["PUT /v1/me/pin", { pin: "1234" }],
      ["PUT /v1/me/pin", { pin: "5678", current: "1234" }],
      ["POST /v1/me/pin/removal", { current: "5678" }],
      ["GET /v1/me/export", undefined],
    ]);
    expect(server.asked.every(({ headers }) => headers.get("authorization") === "Bearer access 1")).toBe(true);
  });

  test.each([
    ["of its own accord", () => undefined],
    ["or was so already", () => refusal("unauthenticated", 401)],
  ])("a device that signs out leaves nothing behind: %s", async (_, answer) => {
    const account = await enter();
    server.on("DELETE /v1/session", answer).on("POST /v1/session/refresh", () => refusal("unauthenticated", 401));
    const told = vi.fn();
    account.on("signed_out", told);
    await account.auth.signOut();
    expect(await store.loadSession()).toBeUndefined();
    expect(told).toHaveBeenCalledExactlyOnceWith({ user, device });
    await expect(account.devices.list()).rejects.toMatchObject({ code: "signed_out" });
  });

  test("a device that cannot sign out for now stays signed in", async () => {
    const account = await enter();
    server.on("DELETE /v1/session", () => new TypeError("network down"));
    await expect(account.auth.signOut()).rejects.toMatchObject({ code: "unavailable" });
    expect(await store.loadSession()).toMatchObject({ isSignedOut: false });
  });

  test("removing the account asks for its PIN, hands the receipt on and ends the session", async () => {
    const account = await enter();
    const removal = { user, requestedAt: 1, completedAt: 2, devices: 1, conversations: 3, databaseRows: 9, files: 0 };
    server.on("POST /v1/me/removal", () => refusal("pin_required", 403));
    await expect(account.auth.remove("remove my account")).rejects.toMatchObject({ code: "pin_required" });
    server.on("POST /v1/me/removal", () => ({ removal, receipt: "j.w.s" }));
    expect(await account.auth.remove("remove my account", "1234")).toEqual({ removal, receipt: "j.w.s" });
    expect(server.bodies("POST /v1/me/removal")).toEqual([
      { confirm: "remove my account" },
      { confirm: "remove my account", pin: "1234" },
    ]);
    expect(await store.loadSession()).toBeUndefined();
  });
});

describe("discovery", () => {
  const digest = createHash("sha256").update("+491701234567").digest("base64url");
  const DISCOVER = "POST /v1/contacts/discover";

  test("only digests leave the device, and who is found is told by the number as it was written", async () => {
    const account = await enter();
    server.on(DISCOVER, () => ({ found: [{ digest, user: peer, name: "Bob" }] }));
    const found = await account.contacts.discover(["+49 (170) 123-45.67", "+14155550123"]);
    expect(found).toEqual([{ user: peer, name: "Bob", phone: "+49 (170) 123-45.67" }]);
    const [body] = server.bodies(DISCOVER) as { digests: string[] }[];
    expect(body?.digests).toHaveLength(2);
    expect(body?.digests[0]).toBe(digest);
    expect(JSON.stringify(body)).not.toContain("170");
  });

  test("an address book goes in parts, and nobody in it twice", async () => {
    const account = await enter();
    const sizes: number[] = [];
    server.on(DISCOVER, ({ body }) => {
      sizes.push((body as { digests: string[] }).digests.length);
      return { found: [] };
    });
    const phones = Array.from({ length: MAX_HASHES_PER_DISCOVERY + 1 }, (_, n) => `+4917012${10_000 + n}`);
    await account.contacts.discover([...phones, ...phones]);
    expect(sizes).toEqual([MAX_HASHES_PER_DISCOVERY, 1]);
    await account.contacts.discover([]);
    expect(sizes).toHaveLength(2);
  });

  test.each(["0170 1234567", "+0 170", "+49 170 12345x7", "", "+4912345678901234"])(
    "%j is no number in international format",
    async (written) => {
      const account = await enter();
      await expect(account.contacts.discover([written])).rejects.toMatchObject({ code: "phone_invalid" });
      expect(server.bodies(DISCOVER)).toEqual([]);
    },
  );
});

describe("a report", () => {
  const conversation = `${user}.${peer}`;
  const message = (text: string): Message => ({
    ...{ conversation, id: "01J00000000000000000000001", seq: 1, user: peer, device: peer, at: 7 },
    ...{ content: { kind: "text", text }, isEvent: false, status: "received", failure: undefined },
    ...{ editedAt: undefined, reactions: [{ emoji: "👍", users: [user] }], tally: undefined },
    ...{ isPinned: true, expiresAt: undefined },
  });
  const setUp = async (published: object[]) => {
    server
      .on("GET /.well-known/jwks.json", () => ({ keys: published }))
      .on("POST /v1/reports", () => ({ report: "7" }));
    return enter();
  };
  const reported = () => server.bodies("POST /v1/reports")[0] as Record<string, string>;

  test("the chosen messages are sealed for those who run the service", async () => {
    const account = await setUp([{ kty: "EC", use: "sig" }, publicKey]);
    const messages = [message("something vile")];
    expect(await account.contacts.report({ user: peer, reason: "abuse", messages, block: true })).toBe("7");
    const { evidence, ...rest } = reported();
    expect(rest).toEqual({ user: peer, reason: "abuse", conversation, block: true });
    expect(server.asked.find(({ what }) => what.includes("jwks"))?.headers.has("authorization")).toBe(false);
    const { plaintext, protectedHeader } = await compactDecrypt(evidence ?? "", keys.privateKey);
    expect(protectedHeader).toMatchObject({ alg: "ECDH-ES+A256KW", enc: "A256GCM", kid: "k1" });
    const { conversation: _, id, seq, device, at, content } = messages[0]!;
    const shown = { conversation, id, seq, user: peer, device, at, content };
    expect(JSON.parse(new TextDecoder().decode(plaintext))).toEqual({ messages: [shown] });
  });

  test("nothing goes with it if nothing was chosen, or if the service takes none", async () => {
    const account = await setUp([{ kty: "EC", use: "sig" }]);
    await account.contacts.report({ user: peer, reason: "spam", messages: [message("buy")] });
    expect(reported()).toEqual({ user: peer, reason: "spam", conversation, block: false });
    server.asked.length = 0;
    await account.contacts.report({ user: peer, reason: "spam" });
    expect(server.paths).toEqual(["POST /v1/reports"]);
  });

  test("more than the service takes is refused here", async () => {
    const account = await setUp([publicKey]);
    const report = { user: peer, reason: "abuse", messages: [message("x".repeat(30_000))] } as const;
    await expect(account.contacts.report(report)).rejects.toMatchObject({ code: "too_large" });
    expect(server.bodies("POST /v1/reports")).toEqual([]);
  });
});
