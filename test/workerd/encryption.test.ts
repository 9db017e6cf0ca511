import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { makeAccountKey } from "../../client/identity/account-key.ts";
import type { Chat } from "../../client/index.ts";
import { MlsDevice } from "./mls-device.ts";
import { conversation } from "./objects.ts";
import { enter, leaveAll, reachGateway } from "./sdk-people.ts";

/** The whole SDK against the whole server, with real encryption. */

let shown: readonly unknown[][];
beforeEach(() => {
  shown = reachGateway();
});
afterEach(async () => {
  await leaveAll();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

const texts = async (chat: Chat, conversation: string) =>
  (await chat.messages.list(conversation)).flatMap(({ content }) => (content.kind === "text" ? [content.text] : []));
const soon = (chat: Chat, conversation: string) =>
  expect.poll(() => texts(chat, conversation), { timeout: 10_000, interval: 20 });

describe("people on the whole system", { timeout: 30_000 }, () => {
  test("write to each other, with ticks", async () => {
    const [ada, grace] = [await enter(shown), await enter(shown)];
    const conversation = ada.chat.conversations.direct(grace.account.user);
    await (await ada.chat.messages.send(conversation, "Did the engine run?")).sent;
    await soon(grace.chat, conversation).toEqual(["Did the engine run?"]);
    await (await grace.chat.messages.send(conversation, "All night.")).sent;
    await soon(ada.chat, conversation).toEqual(["Did the engine run?", "All night."]);
    const status = async () =>
      (await ada.chat.messages.list(conversation)).find(({ content }) => content.kind === "text")?.status;
    await expect.poll(status, { timeout: 5_000 }).toBe("delivered");
  });

  test("both begin at once", async () => {
    const [ada, grace] = [await enter(shown), await enter(shown)];
    const conversation = ada.chat.conversations.direct(grace.account.user);
    const sent = await Promise.all([
      ada.chat.messages.send(conversation, "from Ada"),
      grace.chat.messages.send(conversation, "from Grace"),
    ]);
    await Promise.all(sent.map((message) => message.sent));
    for (const { chat } of [ada, grace]) {
      await expect.poll(async () => (await texts(chat, conversation)).sort()).toEqual(["from Ada", "from Grace"]);
    }
  });

  test("a further device joins from outside, and gets what follows", async () => {
    const accountKey = await makeAccountKey();
    const [ada, grace] = [await enter(shown), await enter(shown, { accountKey })];
    const conversation = ada.chat.conversations.direct(grace.account.user);
    await (await ada.chat.messages.send(conversation, "one")).sent;
    await soon(grace.chat, conversation).toEqual(["one"]);
    vi.setSystemTime(Date.now() + 60_000);
    const laptop = await enter(shown, { phone: grace.phone, accountKey });
    await (await laptop.chat.messages.send(conversation, "from the laptop")).sent;
    await soon(ada.chat, conversation).toEqual(["one", "from the laptop"]);
    await (await ada.chat.messages.send(conversation, "to both")).sent;
    for (const { chat } of [grace, laptop]) await soon(chat, conversation).toContain("to both");
  });

  test("R12 what was hidden during a block stays so, and what comes after it can be read, whatever happened to the group", async () => {
    const accountKey = await makeAccountKey();
    const [ada, grace] = [await enter(shown, { accountKey }), await enter(shown)];
    const conversation = ada.chat.conversations.direct(grace.account.user);
    await grace.account.contacts.block(ada.account.user);
    await (await ada.chat.messages.send(conversation, "hidden")).sent;
    await grace.account.contacts.unblock(ada.account.user);
    await (await ada.chat.messages.send(conversation, "one")).sent;
    await soon(grace.chat, conversation).toEqual(["one"]);
    await grace.account.contacts.block(ada.account.user);
    vi.setSystemTime(Date.now() + 60_000);
    const laptop = await enter(shown, { phone: ada.phone, accountKey });
    await (await laptop.chat.messages.send(conversation, "hidden too")).sent;
    await grace.account.contacts.unblock(ada.account.user);
    await (await laptop.chat.messages.send(conversation, "two")).sent;
    await soon(grace.chat, conversation).toEqual(["one", "two"]);
    await (await grace.chat.messages.send(conversation, "three")).sent;
    for (const { chat } of [ada, laptop]) await soon(chat, conversation).toContain("three");
  });

  test("R14 whoever removes their account is out of the group soon after the next message there", async () => {
    const [ada, grace, carol] = [await enter(shown), await enter(shown), await enter(shown)];
    const group = await ada.chat.conversations.createGroup([grace.account.user, carol.account.user]);
    await (await carol.chat.messages.send(group, "hello")).sent;
    for (const { chat } of [ada, grace]) await soon(chat, group).toEqual(["hello"]);
    await carol.account.auth.remove("remove my account");
    const standing = () => conversation(group).readGroup({ user: grace.account.user });
    await expect.poll(standing, { timeout: 10_000 }).toMatchObject({ orphans: [expect.any(Number)] });
    await (await ada.chat.messages.send(group, "who is left?")).sent;
    await expect.poll(standing, { timeout: 10_000 }).toMatchObject({ orphans: [] });
    await (await grace.chat.messages.send(group, "we are")).sent;
    for (const { chat } of [ada, grace]) await soon(chat, group).toEqual(["hello", "who is left?", "we are"]);
  });

  test("R16 whoever hands in a commit that makes no sense holds the others up, and keeps nobody out", async () => {
    const accountKey = await makeAccountKey();
    const [ada, grace] = [await enter(shown), await enter(shown, { accountKey })];
    const group = await ada.chat.conversations.createGroup([grace.account.user]);
    await (await ada.chat.messages.send(group, "one")).sent;
    await soon(grace.chat, group).toEqual(["one"]);
    const mallory = await MlsDevice.further(grace.account.user, accountKey);
    const made = await mallory.joinExternally(group);
    // The confirmation tag, which stands last, is for members to check.
    const last = made.commit.byteLength - 1;
    const commit = made.commit.with(last, (made.commit[last] ?? 0) ^ 1);
    await mallory.submitted(group, { ...made, commit });
    await (await grace.chat.messages.send(group, "two")).sent;
    await (await ada.chat.messages.send(group, "three")).sent;
    for (const { chat } of [ada, grace]) await soon(chat, group).toEqual(["one", "two", "three"]);
  });
});
