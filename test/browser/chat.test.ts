import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { type Chat, isText } from "../../client/index.ts";
import { type BrowserDevice, type ChatTab, Town } from "./town.ts";

const START_TIMEOUT_MS = 60_000;
/** What others have said is there before long. */
const SOON = { timeout: 10_000 };

let town: Town;
/** Ada's device is the browser, Grace's is none. */
let ada: BrowserDevice;
let grace: Chat;
let gracesPhone: string;
beforeAll(async () => {
  town = await Town.open(inject("chromium"));
  ada = await town.signUp();
  ({ chat: grace, phone: gracesPhone } = await town.friend());
}, START_TIMEOUT_MS);
afterEach(() => town.closeTabs());
afterAll(() => town.close());

async function textsOf(chat: Chat, conversation: string): Promise<string[]> {
  const messages = await chat.messages.list(conversation, { limit: 500 });
  return messages.flatMap(({ content }) => (isText(content) ? [content.text] : []));
}

describe("a page", () => {
  test("signs up, writes and reads, and goes on when it is loaded again", async () => {
    const page = await town.openPage();
    await page.run.openAlone(town.url, ada.database);
    await page.run.connect();
    const conversation = await page.run.direct(grace.user);
    await page.run.say(conversation, "hello");
    await expect.poll(() => textsOf(grace, conversation), SOON).toEqual(["hello"]);
    await grace.messages.send(conversation, "hello yourself");
    await expect.poll(() => page.run.heardTexts(), SOON).toEqual(["hello yourself"]);
    await page.run.disconnect();
    await page.run.queue(conversation, "are you still there?");
    await page.page.reload();
    const { opened, listed } = await page.run.openAlone(town.url, ada.database);
    console.log(`From the page's start to the open chat ${opened.toFixed(0)} ms, to its list ${listed.toFixed(0)} ms.`);
    const texts = async () => (await page.run.list(conversation)).map(({ text }) => text);
    expect(await texts()).toEqual(["hello", "hello yourself", "are you still there?"]);
    await page.run.connect();
    await expect.poll(() => textsOf(grace, conversation), SOON).toContain("are you still there?");
    await grace.messages.send(conversation, "I am");
    await expect.poll(texts, SOON).toEqual(["hello", "hello yourself", "are you still there?", "I am"]);
  });

  test("is refused where the key of its database was exchanged, and where nobody is signed in", async () => {
    const { database } = await town.signUp();
    const page = await town.openPage();
    expect(await page.run.errorOfOpening(town.url, "nobody's")).toBe("signed_out");
    await page.run.exchangeKey(database);
    expect(await page.run.errorOfOpening(town.url, database)).toBe("store_failed");
  });
});

/** Of one device, with a new group with Grace that all of them look at. */
async function openTabs(count: number, device = ada): Promise<{ tabs: ChatTab[]; conversation: string }> {
  const tabs = await town.openTabs(device, count);
  const conversation = (await tabs[0]?.run.group([grace.user])) ?? "";
  await expect.poll(() => grace.conversations.members(conversation), SOON).toHaveLength(2);
  for (const { run } of tabs) await run.watch(conversation);
  return { tabs, conversation };
}

const isOpen = ({ traffic }: ChatTab) => traffic.sockets.some((socket) => !socket.isClosed());
const textsShown = async ({ run }: ChatTab) => (await run.live()).map(({ text }) => text);
const numbered = (label: string, count: number) => Array.from({ length: count }, (_, index) => `${label} ${index}`);

describe("several tabs", () => {
  test("are one device with one connection, and each shows what any of them says, once", async () => {
    const { tabs, conversation } = await openTabs(3);
    expect(tabs.map(isOpen)).toEqual([true, false, false]);
    const places = [];
    for (const [index, { run }] of tabs.entries()) places.push(await run.say(conversation, `from tab ${index}`));
    await grace.messages.send(conversation, "hello all");
    const all = ["from tab 0", "from tab 1", "from tab 2", "hello all"];
    await expect.poll(() => textsOf(grace, conversation), SOON).toEqual(all);
    for (const tab of tabs) {
      await expect.poll(() => textsShown(tab), SOON).toEqual(all);
      expect((await tab.run.list(conversation)).map(({ text }) => text)).toEqual(all);
      expect(await tab.run.heardTexts()).toEqual(["hello all"]);
      expect(await tab.run.heard("sent")).toMatchObject(places.map((seq) => ({ seq })));
      expect(await tab.run.deviceNames()).toEqual(["Browser"]);
    }
    const late = await town.openPage();
    const listed = await late.run.open(town.url, ada.database);
    console.log(`From the start of a page that follows to its list ${listed.toFixed(0)} ms.`);
    expect((await late.run.list(conversation)).map(({ text }) => text)).toEqual(all);
  });

  test("all see the ticks", async () => {
    const { tabs, conversation } = await openTabs(2);
    const seq = await tabs[1]!.run.say(conversation, "read this");
    const statuses = () => Promise.all(tabs.map(async ({ run }) => (await run.live()).map(({ status }) => status)));
    await expect.poll(statuses, SOON).toEqual([["delivered"], ["delivered"]]);
    grace.conversations.markRead(conversation, seq);
    await expect.poll(statuses, SOON).toEqual([["read"], ["read"]]);
    expect((await tabs[1]!.run.heard("ticks")).at(-1)).toMatchObject({ conversation, read: seq });
  });

  test("what is done in one shows in the others: reactions, what is hidden or read, whom one trusts", async () => {
    const { tabs, conversation } = await openTabs(3);
    const [a, b, c] = [tabs[0]!, tabs[1]!, tabs[2]!];
    await b.run.say(conversation, "first");
    await (await grace.messages.send(conversation, "second")).sent;
    await (await grace.messages.send(conversation, "third")).sent;
    await expect.poll(() => textsShown(c), SOON).toEqual(["first", "second", "third"]);
    await b.run.react(conversation, "second", "👍");
    await c.run.hide(conversation, "third");
    expect(await b.run.compare(grace.user)).toBe("match");
    for (const { run } of tabs) {
      await expect.poll(() => run.live(), SOON).toMatchObject([{ text: "first" }, { reactions: ["👍"] }]);
      expect(await run.isVerified(grace.user)).toBe(true);
      expect((await run.heard("identity_changed")).at(-1)).toEqual({ user: grace.user });
    }
    expect(await a.run.unread(conversation)).toBe(1);
    await c.run.markRead(conversation, 1_000);
    for (const { run } of tabs) await expect.poll(() => run.unread(conversation), SOON).toBe(0);
    expect(await b.run.search("seco")).toEqual(["second"]);
  });

  test("each can ask for what needs the server, but only the one that leads renews the session", async () => {
    const eve = await town.signUp();
    const tabs = await town.openTabs(eve, 3);
    const [, b, c] = tabs;
    const group = await b!.run.group([grace.user]);
    expect((await c!.run.members(group)).toSorted()).toEqual([eve.user, grace.user].toSorted());
    expect(await c!.run.findPeople([gracesPhone])).toEqual(["Grace"]);
    await b!.run.nameMe("Eve");
    expect((await grace.contacts.discover([eve.phone])).map(({ name }) => name)).toEqual(["Eve"]);
    expect(tabs.map(({ traffic }) => traffic.renewals > 0)).toEqual([true, false, false]);
    await c!.run.signOut();
    for (const { run } of tabs) await expect.poll(() => run.phase(), SOON).toBe("closed");
    await town.closeTabs();
    const page = await town.openPage();
    expect(await page.run.errorOfOpening(town.url, eve.database)).toBe("signed_out");
  });

  test("a backup that one asks for is made where the device is, and shows how far it is", async () => {
    const { tabs, conversation } = await openTabs(2);
    await tabs[1]!.run.say(conversation, "to be kept");
    const { steps, opensWith } = await tabs[1]!.run.backUp("correct horse battery staple");
    expect(steps).toBeGreaterThan(0);
    expect(opensWith).toEqual(["passphrase"]);
    expect(await tabs[1]!.run.backUpAndAbort("correct horse battery staple")).toBe("closed");
  });

  test("another device is linked and revoked from any of them", async () => {
    const { tabs, conversation } = await openTabs(2, await town.signUp());
    const follower = tabs[1]!;
    await follower.run.say(conversation, "before");
    const second = await town.openPage();
    const linking = follower.run.link(await second.run.showLinkCode(town.url, `second ${conversation}`));
    const { hasHistory, tasks } = await second.run.enterLinked(town.url);
    expect([hasHistory, tasks]).toEqual([true, expect.arrayContaining(["receiving_history"])]);
    expect((await linking).toSorted()).toEqual(["members", "sending_history"]);
    expect((await second.run.list(conversation)).map(({ text }) => text)).toEqual(["before"]);
    await second.run.say(conversation, "after");
    await expect.poll(() => textsShown(follower), SOON).toEqual(["before", "after"]);
    await follower.run.revoke("Second browser");
    await expect.poll(() => second.run.phase(), SOON).toBe("closed");
    expect(await follower.run.deviceNames()).toEqual(["Browser"]);
  });

  test("a bot in a tab hears each message once, whoever leads", async () => {
    const { tabs, conversation } = await openTabs(2);
    const incoming = tabs[1]!.run.firstIncoming(conversation, 4);
    for (const text of ["one", "two"]) await (await grace.messages.send(conversation, text)).sent;
    await town.crash(tabs[0]!);
    for (const text of ["three", "four"]) await (await grace.messages.send(conversation, text)).sent;
    expect(await incoming).toEqual(["one", "two", "three", "four"]);
  });
});

/** How the tab that leads may end. */
const ends: Record<string, (tab: ChatTab) => Promise<unknown>> = {
  "is closed": ({ page }) => page.close(),
  "leaves off": ({ run }) => run.close(),
  crashes: (tab) => town.crash(tab),
};

describe("when the tab that leads ends", () => {
  for (const [how, end] of Object.entries(ends)) {
    test(`because it ${how} amid 50 messages, all arrive once and in order, and everything goes on`, async () => {
      const { tabs, conversation } = await openTabs(3);
      const [a, b, c] = [tabs[0]!, tabs[1]!, tabs[2]!];
      await b.run.say(conversation, "before");
      await b.run.sayMany(conversation, "b", 25, 20);
      await c.run.sayMany(conversation, "c", 25, 20);
      await new Promise((resolve) => setTimeout(resolve, 200));
      await end(a);
      const places = [...(await b.run.outcomes()), ...(await c.run.outcomes())];
      expect(new Set(places).size).toBe(50);
      expect(places.every((place) => typeof place === "number")).toBe(true);
      const waited = Math.max(await b.run.longestWaitMs(), await c.run.longestWaitMs());
      console.log(`When the tab that leads ${how.replace("is", "was")} a message waited for ${waited.toFixed(0)} ms.`);
      await expect.poll(async () => (await textsOf(grace, conversation)).length, SOON).toBe(51);
      const arrived = await textsOf(grace, conversation);
      for (const label of ["b", "c"]) {
        expect(arrived.filter((text) => text.startsWith(label) && text !== "before")).toEqual(numbered(label, 25));
      }
      await (await grace.messages.send(conversation, "still there?")).sent;
      for (const tab of [b, c]) {
        await expect.poll(() => textsShown(tab), SOON).toEqual([...arrived, "still there?"]);
        expect(await tab.run.heardTexts()).toEqual(["still there?"]);
      }
      const states = await c.run.heard("state");
      expect([states[0], states.at(-1)]).toMatchObject([{ state: "offline" }, { state: "live" }]);
      expect([isOpen(b), isOpen(c)]).toEqual([true, false]);
    });
  }

  test("what it has sent without an answer is not sent again, and what it has received is told", async () => {
    const { tabs, conversation } = await openTabs(2);
    const [a, b] = [tabs[0]!, tabs[1]!];
    const other = await b.run.group([grace.user]);
    await expect.poll(() => grace.conversations.members(other), SOON).toHaveLength(2);
    await a.run.fallSilent();
    await b.run.sayMany(conversation, "b", 10, 0);
    await expect.poll(async () => (await textsOf(grace, conversation)).length, SOON).toBe(10);
    await (await grace.messages.send(other, "unheard")).sent;
    await expect.poll(() => a.run.heardTexts(), SOON).toEqual(["unheard"]);
    expect([await textsShown(b), await b.run.heardTexts()]).toEqual([[], []]);
    await town.crash(a);
    await expect.poll(() => textsShown(b), SOON).toEqual(numbered("b", 10));
    await expect.poll(() => b.run.heardTexts(), SOON).toEqual(["unheard"]);
    expect(await b.run.outcomes()).toEqual((await b.run.live()).map(({ seq }) => seq));
    await b.run.say(conversation, "after");
    await expect.poll(() => textsOf(grace, conversation), SOON).toEqual([...numbered("b", 10), "after"]);
  });

  test("what waits for the connection is sent by the next one", async () => {
    const { tabs, conversation } = await openTabs(3);
    const [a, b, c] = [tabs[0]!, tabs[1]!, tabs[2]!];
    await c.run.say(conversation, "online");
    await a.run.disconnect();
    await expect.poll(() => c.run.phase(), SOON).toBe("offline");
    await c.run.react(conversation, "online", "👍");
    await c.run.queue(conversation, "offline");
    await expect.poll(() => b.run.live(), SOON).toMatchObject([{ reactions: ["👍"] }, { status: "pending" }]);
    await a.page.close();
    await c.run.queue(conversation, "still offline");
    expect(await b.run.phase()).toBe("offline");
    await expect.poll(() => b.run.live(), SOON).toMatchObject([{ reactions: ["👍"] }, {}, { text: "still offline" }]);
    await c.run.connect();
    expect(await c.run.outcomes()).toEqual([expect.any(Number), expect.any(Number)]);
    const texts = ["online", "offline", "still offline"];
    await expect.poll(() => textsOf(grace, conversation), SOON).toEqual(texts);
    await c.run.react(conversation, "online", "");
    await expect.poll(async () => (await b.run.live())[0], SOON).toMatchObject({ reactions: [] });
  });
});
