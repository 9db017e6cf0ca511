import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { makeAccountKey } from "../../client/identity/account-key.ts";
import type { Chat } from "../../client/index.ts";
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
});
