import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  type Chat,
  MemoryStore,
  makeRecoveryCode,
  requestCode,
  restoreBackup,
  signIn,
  signInByLink,
} from "../../client/index.ts";
import { CODE_RESEND_MS } from "../../shared/limits.ts";
import { codeShown, HOST } from "./accounts.ts";
import { enter, leaveAll, type Person, reachGateway, start } from "./sdk-people.ts";

/** What a device was told before it was one, through the whole server: by another device, and by a backup. */

let shown: readonly unknown[][];

beforeEach(() => {
  shown = reachGateway();
});
afterEach(async () => {
  await leaveAll();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const said = async (chat: Chat, conversation: string) =>
  (await chat.messages.list(conversation)).flatMap(({ content }) => (content.kind === "text" ? [content.text] : []));
const soon = (chat: Chat, conversation: string) =>
  expect.poll(() => said(chat, conversation), { timeout: 30_000, interval: 100 });
const say = async (chat: Chat, conversation: string, text: string) => {
  await (await chat.messages.send(conversation, text)).sent;
};

/** Ada and Grace have talked to each other, and in a group. */
async function scene() {
  const [ada, grace] = [await enter(shown), await enter(shown)];
  const pair = ada.chat.conversations.direct(grace.account.user);
  await say(ada.chat, pair, "hello");
  await soon(grace.chat, pair).toEqual(["hello"]);
  await say(grace.chat, pair, "good morning");
  const group = await grace.chat.conversations.createGroup([ada.account.user]);
  await say(grace.chat, group, "for all of us");
  await soon(ada.chat, pair).toEqual(["hello", "good morning"]);
  await soon(ada.chat, group).toEqual(["for all of us"]);
  return { ada, grace, pair, group };
}

/** Both conversations work, both ways. */
async function expectAtHome(fresh: Person, grace: Person, { pair, group }: { pair: string; group: string }) {
  await say(grace.chat, pair, "are you there?");
  await soon(fresh.chat, pair).toEqual(["hello", "good morning", "are you there?"]);
  await say(fresh.chat, group, "here I am");
  await soon(grace.chat, group).toEqual(["for all of us", "here I am"]);
  await soon(fresh.chat, group).toEqual(["for all of us", "here I am"]);
}

const filesOf = async ({ account }: Person) =>
  (await env.MEDIA.list({ prefix: `user/${account.user}/archive/` })).objects.length;

test("a device that is linked reads all that was said, and is told what comes", { timeout: 120_000 }, async () => {
  const { ada, grace, pair, group } = await scene();
  const store = new MemoryStore();
  const link = await signInByLink({ url: HOST, store, deviceName: "Laptop" });
  const linking = ada.chat.devices.link(link.qr);
  const { account, accountKey, history } = await link.linked();
  const laptop = await start({ account, store }, { accountKey });
  expect(await laptop.chat.devices.receiveHistory(history)).toBe(true);
  await linking;
  expect(await said(laptop.chat, pair)).toEqual(["hello", "good morning"]);
  expect(await said(laptop.chat, group)).toEqual(["for all of us"]);
  await expectAtHome(laptop, grace, { pair, group });
  await soon(ada.chat, group).toContain("here I am");
  await expect.poll(() => filesOf(ada)).toBe(0);

  await ada.chat.devices.revoke(laptop.account.device);
  await say(grace.chat, group, "not for the laptop");
  await soon(ada.chat, group).toContain("not for the laptop");
  expect(await said(laptop.chat, group)).not.toContain("not for the laptop");
});

test("who has lost their phone has everything again with the code", { timeout: 120_000 }, async () => {
  const { ada, grace, pair, group } = await scene();
  const code = await makeRecoveryCode();
  await ada.chat.backup.create({ code });
  const { phone } = ada;
  await ada.chat[Symbol.asyncDispose]();

  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + CODE_RESEND_MS[0] });
  const store = new MemoryStore();
  await requestCode(HOST, phone);
  const signed = { url: HOST, store, deviceName: "New phone", revokeOthers: true };
  const account = await signIn({ ...signed, phone, code: codeShown(shown, phone) });
  vi.useRealTimers();
  const wrong = restoreBackup({ account, store, code: await makeRecoveryCode() });
  await expect(wrong).rejects.toMatchObject({ code: "wrong_code" });
  const accountKey = await restoreBackup({ account, store, code });
  const fresh = await start({ account, store }, { accountKey });
  expect(await said(fresh.chat, pair)).toEqual(["hello", "good morning"]);
  expect(await said(fresh.chat, group)).toEqual(["for all of us"]);
  expect(await fresh.chat.messages.search("MORNING")).toMatchObject([{ conversation: pair }]);
  const isIn = async (id: string) => (await fresh.chat.conversations.members(id)).includes(account.user);
  for (const id of [pair, group]) await expect.poll(() => isIn(id), { timeout: 30_000 }).toBe(true);
  await expectAtHome(fresh, grace, { pair, group });
  expect(await fresh.chat.backup.status()).toMatchObject({ opensWith: ["code"], canUpdate: true });
});
