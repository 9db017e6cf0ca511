import { env, exports } from "cloudflare:workers";
import { ulid } from "ulid";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { encodeHandover } from "../../client/history/handover.ts";
import { makeAccountKey } from "../../client/identity/account-key.ts";
import { Account, completeSignIn, MemoryStore, requestCode, signIn, signInByLink } from "../../client/index.ts";
import { ACCESS_TOKEN_TTL_MS } from "../../shared/limits.ts";
import { codeShown, HOST, newPhone, ORIGIN } from "./accounts.ts";

/** The SDK's account side against the real gateway, with the browser's part played where it matters. */

/** As a browser keeps them for a page of ours; empty for any other client. */
let cookies: string[] | undefined;
let shown: ReturnType<typeof vi.spyOn>;

beforeEach(() => {
  cookies = undefined;
  shown = vi.spyOn(console, "log").mockImplementation(() => {});
  vi.stubGlobal("fetch", async (url: URL, { credentials, ...init }: RequestInit & { credentials?: string } = {}) => {
    const request = new Request(url, init);
    if (cookies && credentials === "include") request.headers.set("cookie", cookies.join("; "));
    if (cookies) request.headers.set("origin", ORIGIN);
    const response = await exports.default.fetch(request);
    if (credentials === "include")
      cookies = response.headers.getSetCookie().map((cookie) => cookie.split(";")[0] ?? "");
    return response;
  });
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

async function codeFor(phone: string): Promise<string> {
  await requestCode(HOST, phone);
  return codeShown(shown.mock.calls, phone);
}

async function enter({ phone = newPhone(), store = new MemoryStore(), cookie = false } = {}) {
  const code = await codeFor(phone);
  return { phone, store, account: await signIn({ url: HOST, store, phone, code, deviceName: "Phone", cookie }) };
}

/** Two people who have nothing to do with each other yet. */
async function two() {
  const [ada, grace] = [await enter(), await enter()];
  await ada.account.profile.update({ name: "Ada" });
  await grace.account.profile.update({ name: "Grace", about: "At sea" });
  return { ada, grace };
}

describe("a session", () => {
  test("goes on in a later start, with tokens renewed in time", async () => {
    const { store, account } = await enter();
    expect(account.isNew).toBe(true);
    const later = await Account.open({ url: HOST, store });
    expect(await later?.devices.list()).toMatchObject([{ device: account.device, name: "Phone", isCurrent: true }]);
    const [before] = [await store.loadSession()];
    vi.setSystemTime(Date.now() + ACCESS_TOKEN_TTL_MS);
    expect(await later?.ticket()).toMatch(/^ey/);
    expect(await store.loadSession()).not.toEqual(before);
    await later?.auth.refresh();
    expect(await later?.devices.list()).toHaveLength(1);
  });

  test("an old copy of it ends it for both, and signing in again brings the same device back", async () => {
    const { phone, store, account } = await enter();
    const copy = new MemoryStore();
    await copy.saveSession(await store.loadSession());
    await account.auth.refresh();
    await account.auth.refresh();
    const told = vi.fn();
    account.on("signed_out", told);
    const thief = await Account.open({ url: HOST, store: copy });
    await expect(thief?.auth.refresh()).rejects.toMatchObject({ code: "signed_out" });
    await expect(account.auth.refresh()).rejects.toMatchObject({ code: "signed_out" });
    expect(told).toHaveBeenCalledOnce();
    expect(await Account.open({ url: HOST, store })).toBeUndefined();
    vi.setSystemTime(Date.now() + 60_000);
    const { account: again } = await enter({ phone, store });
    expect(again).toMatchObject({ user: account.user, device: account.device, isNew: false });
  });

  test("a page's refresh token is the browser's alone", async () => {
    cookies = [];
    const { store, account } = await enter({ cookie: true });
    expect(await store.loadSession()).toEqual({ user: account.user, device: account.device, isSignedOut: false });
    expect(cookies).toHaveLength(1);
    const later = await Account.open({ url: HOST, store, cookie: true });
    await later?.auth.refresh();
    await later?.auth.refresh();
    await later?.auth.signOut();
    expect(await store.loadSession()).toBeUndefined();
    await expect(account.auth.refresh()).rejects.toMatchObject({ code: "signed_out" });
  });

  test("a PIN is asked for, and the proof of the code is good for it", async () => {
    const { phone, account } = await enter();
    await account.auth.setPin("2718");
    vi.setSystemTime(Date.now() + 60_000);
    const refused = await enter({ phone }).catch((error) => error);
    expect(refused).toMatchObject({ code: "pin_required", details: { canReset: false } });
    const options = { url: HOST, store: new MemoryStore(), deviceName: "Laptop", proof: refused.details.proof };
    await expect(completeSignIn({ ...options, pin: "0000" })).rejects.toMatchObject({ code: "pin_wrong" });
    const laptop = await completeSignIn({ ...options, pin: "2718" });
    expect((await laptop.devices.list()).map(({ name }) => name)).toEqual(["Phone", "Laptop"]);
  });

  test("a PIN is changed and removed by who knows it", async () => {
    const { account } = await enter();
    await account.auth.setPin("2718");
    await expect(account.auth.setPin("1414")).rejects.toMatchObject({ code: "pin_required" });
    await expect(account.auth.removePin("1414")).rejects.toMatchObject({ code: "pin_wrong" });
    await account.auth.setPin("1414", "2718");
    await account.auth.removePin("1414");
    expect(await account.profile.me()).toMatchObject({ hasPin: false });
  });

  test.each([false, true])(
    "an answer that never came is given later, even to another start, with a cookie: %s",
    async (cookie) => {
      if (cookie) cookies = [];
      const { store, account } = await enter({ cookie });
      const answering = globalThis.fetch;
      const kept = cookies;
      vi.stubGlobal("fetch", async (...asked: Parameters<typeof fetch>) => {
        await answering(...asked);
        throw new TypeError("the answer is lost");
      });
      await expect(account.auth.refresh()).rejects.toMatchObject({ code: "unavailable" });
      cookies = kept;
      vi.stubGlobal("fetch", answering);
      vi.setSystemTime(Date.now() + 3_600_000);
      const later = await Account.open({ url: HOST, store, cookie });
      await later?.auth.refresh();
      await later?.auth.refresh();
      expect(await later?.devices.list()).toHaveLength(1);
    },
  );

  test("a device that is none of the account's is added as a new one", async () => {
    const [ada, { store }] = [await enter(), await enter()];
    vi.setSystemTime(Date.now() + 60_000);
    const { account } = await enter({ phone: ada.phone, store });
    expect(account.user).toBe(ada.account.user);
    expect(await account.devices.list()).toHaveLength(2);
  });
});

describe("devices", () => {
  test("are linked, named and removed", async () => {
    const { account } = await enter();
    const store = new MemoryStore();
    const pending = await signInByLink({ url: HOST, store, deviceName: "Laptop" });
    expect(await account.devices.view(pending.qr)).toMatchObject({ deviceName: "Laptop", state: "waiting" });
    const accountKey = await makeAccountKey();
    const handover = { user: account.user, accountKey, backupKey: undefined, history: undefined };
    await account.devices.link(pending.qr, { payload: encodeHandover(handover) });
    const { account: laptop, accountKey: handed } = await pending.linked();
    expect(laptop).toMatchObject({ user: account.user, isNew: false });
    expect(handed).toEqual(accountKey);
    await laptop.devices.rename(laptop.device, "Old laptop");
    expect(await account.devices.list()).toMatchObject([{ name: "Phone" }, { name: "Old laptop", isCurrent: false }]);
    await account.devices.revoke(laptop.device);
    await expect(laptop.devices.list()).rejects.toMatchObject({ code: "signed_out" });
  });

  test("are not signed in to another account than the one that the other device names", async () => {
    const { account } = await enter();
    const store = new MemoryStore();
    const pending = await signInByLink({ url: HOST, store, deviceName: "Laptop" });
    const accountKey = await makeAccountKey();
    const handover = { user: ulid(), accountKey, backupKey: undefined, history: undefined };
    await account.devices.link(pending.qr, { payload: encodeHandover(handover) });
    await expect(pending.linked()).rejects.toMatchObject({ code: "tampered" });
    expect(await store.loadSession()).toBeUndefined();
  });
});

describe("people", () => {
  test("find each other by number, username and link", async () => {
    const { ada, grace } = await two();
    const graces = { user: grace.account.user, name: "Grace" };
    expect(await ada.account.contacts.discover([grace.phone, newPhone()])).toEqual([{ ...graces, phone: grace.phone }]);
    await grace.account.profile.reserveUsername("Hopper");
    await expect(ada.account.profile.reserveUsername("hopper")).rejects.toMatchObject({ code: "taken" });
    await grace.account.profile.confirmUsername("hopper");
    expect(await ada.account.contacts.find("HOPPER")).toEqual(graces);
    const link = await grace.account.profile.rotateLink();
    expect(await ada.account.contacts.open(link)).toEqual(graces);
    await grace.account.profile.rotateLink();
    await expect(ada.account.contacts.open(link)).rejects.toMatchObject({ code: "not_found" });
    await grace.account.profile.removeLink();
    await grace.account.profile.releaseUsername();
    await expect(ada.account.contacts.find("hopper")).rejects.toMatchObject({ code: "not_found" });
  });

  test("are known, seen as they allow it, blocked and reported", async () => {
    const { ada, grace } = await two();
    const [adas, graces] = [ada.account.user, grace.account.user];
    await ada.account.contacts.add(graces);
    expect(await ada.account.contacts.list()).toMatchObject([{ user: graces, name: "Grace" }]);
    expect(await ada.account.profile.view(graces)).not.toHaveProperty("about");
    await grace.account.contacts.accept(adas);
    await grace.account.privacy.set({ about: { audience: "everyone" } });
    expect((await grace.account.privacy.get()).about).toEqual({ audience: "everyone", except: [] });
    expect(await ada.account.profile.view(graces)).toMatchObject({ name: "Grace", about: "At sea" });
    expect(await grace.account.contacts.requests()).toEqual([]);
    expect(await grace.account.contacts.report({ user: adas, reason: "spam", block: true })).toMatch(/^\w{26}$/);
    expect(await grace.account.contacts.blocked()).toEqual([{ user: adas, name: "Ada" }]);
    await grace.account.contacts.unblock(adas);
    await grace.account.contacts.block(adas);
    await grace.account.contacts.unblock(adas);
    expect(await grace.account.contacts.blocked()).toEqual([]);
    await ada.account.contacts.remove(graces);
    expect(await ada.account.contacts.list()).toEqual([]);
  });
});

describe("one's rights", () => {
  test("everything is handed out, then removed, with a receipt", async () => {
    const { phone, store, account } = await enter();
    await account.profile.update({ name: "Ada", discoverable: false });
    expect(await account.profile.me()).toMatchObject({ name: "Ada", phoneEnd: phone.slice(-4), hasPin: false });
    const archive = await account.auth.export();
    expect([...archive.subarray(0, 2)]).toEqual([...new TextEncoder().encode("PK")]);
    await account.auth.setPin("2718");
    await expect(account.auth.remove("remove my account")).rejects.toMatchObject({ code: "pin_required" });
    const { removal, receipt } = await account.auth.remove("remove my account", "2718");
    expect(removal).toMatchObject({ user: account.user, devices: 1 });
    expect(receipt.split(".")).toHaveLength(3);
    expect(await store.loadSession()).toBeUndefined();
    expect(await env.USER.getByName(account.user).isRegistered()).toBe(false);
    vi.setSystemTime(Date.now() + 60_000);
    expect((await enter({ phone })).account.isNew).toBe(true);
  });
});
