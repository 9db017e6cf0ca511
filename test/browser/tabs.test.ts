import { afterEach, beforeEach, describe, expect, inject, test } from "vitest";
import type * as Script from "./page/tabs.ts";
import { Site, type Tab } from "./site.ts";

type Page = Tab<typeof Script>;

const name = "sandpiper 01HZZZZZZZZZZZZZZZZZZZZZZA 01HZZZZZZZZZZZZZZZZZZZZZZD";

let site: Site<typeof Script>;
beforeEach(async () => {
  site = await Site.open("test/browser/page/tabs.ts", inject("chromium"));
});
afterEach(() => site.close());

/** Tabs of one device in the order in which they will lead; they have a leader when it is fulfilled. */
async function openTabs(...labels: string[]): Promise<Page[]> {
  const pages: Page[] = [];
  for (const label of labels) {
    const page = await site.openTab();
    await page.run.open(name, label);
    expect(await page.run.call("who")).toBe(labels[0]);
    pages.push(page);
  }
  return pages;
}

/** How a tab may end: as its user ends it, as its app does, and as nobody wants it. */
const ends: Record<string, (page: Page) => Promise<unknown>> = {
  "is closed": ({ page }) => page.close(),
  "leaves off": ({ run }) => run.close(),
  crashes: (page) => site.crash(page),
};

describe("several tabs", () => {
  test("one leads, and every tab is answered by it", async () => {
    const pages = await openTabs("a", "b", "c");
    expect(await Promise.all(pages.map(({ run }) => run.isLeader()))).toEqual([true, false, false]);
    expect(await Promise.all(pages.map(({ run }) => run.call("who")))).toEqual(["a", "a", "a"]);
  });

  test("other devices have leaders of their own", async () => {
    await openTabs("a");
    const other = await site.openTab();
    await other.run.open("another device", "b");
    expect(await other.run.call("who")).toBe("b");
  });

  test("what the leader tells reaches every tab, in its order", async () => {
    const [a, b, c] = await openTabs("a", "b", "c");
    for (const [index, { run }] of [a!, b!, c!].entries()) await run.call("append", `from ${index}`);
    const told = [0, 1, 2].map((index) => ({ text: `from ${index}`, number: index + 1 }));
    for (const { run } of [a!, b!, c!]) expect((await run.heard()).told).toEqual(told);
  });

  test("errors come with their code, in the leader's tab as in the others", async () => {
    for (const { run } of await openTabs("a", "b")) {
      expect(await run.errorOf("refuse")).toEqual({
        ...{ name: "ChatError", message: expect.stringMatching(/^busy: /), isChatError: true },
        ...{ code: "busy", retry: 1_500, requestId: "r1", details: { triesLeft: 2 } },
      });
      expect(await run.errorOf("fail")).toMatchObject({ name: "RangeError", message: "out of range" });
    }
  });

  test("values pass as they are; what cannot pass is an error and not silence", async () => {
    for (const { run } of await openTabs("a", "b")) {
      expect(await run.echoes()).toBe(true);
      expect(await run.askWithFunction()).toBe("DataCloneError");
      expect(await run.errorOf("answer with a function")).toMatchObject({ name: "DataCloneError" });
    }
  });

  test("a request that is meant for another leader is not carried out, but told who leads", async () => {
    const [a] = await openTabs("a");
    const other = await site.openTab();
    expect(await other.run.askStray(name)).toBe("leading");
    await a!.run.call("append", "meant");
    expect((await a!.run.readLog(name)).texts).toEqual(["meant"]);
  });

  test("a tab that cannot lead says why, and leaves it to the next", async () => {
    const broken = await site.openTab();
    await broken.run.openBroken(name);
    expect(await broken.run.errorOf("who")).toMatchObject({ code: "wrong_account" });
    await openTabs("a");
  });

  test("a tab that is closed asks nothing any more, and never leads", async () => {
    const [a, b, c] = await openTabs("a", "b", "c");
    await b!.run.begin("appendAndHang", "x");
    const unanswered = b!.run.answersOf().catch((error) => error.message);
    await b!.run.close();
    expect(await unanswered).toMatch(/closed/);
    expect(await b!.run.errorOf("who")).toMatchObject({ code: "closed" });
    await a!.page.close();
    expect(await c!.run.call("who")).toBe("c");
  });
});

describe("when the leader ends", () => {
  for (const [how, end] of Object.entries(ends)) {
    test(`because it ${how}, the next tab leads, and the others follow that one`, async () => {
      const [a, b, c] = await openTabs("a", "b", "c");
      await end(a!);
      expect(await c!.run.call("who")).toBe("b");
      expect([await b!.run.isLeader(), await c!.run.isLeader()]).toEqual([true, false]);
      expect([(await b!.run.heard()).leaders, (await c!.run.heard()).leaders]).toEqual([
        [false, true],
        [false, false],
      ]);
    });

    test(`because it ${how}, what it has done and not answered is answered by the next, and not done again`, async () => {
      const [a, b, c] = await openTabs("a", "b", "c");
      for (const { run } of [b!, c!]) await run.begin("appendAndHang", "done");
      await expect.poll(async () => (await b!.run.heard()).told.length).toBe(2);
      await end(a!);
      expect([await b!.run.answersOf(), await c!.run.answersOf()]).toEqual([[1], [2]]);
      expect(await b!.run.readLog(name)).toEqual({ texts: ["done", "done"], numbers: [1, 2], repeats: 2 });
    });
  }

  test("a call that never ends does not keep the next tab from leading", async () => {
    const [a, b] = await openTabs("a", "b");
    await b!.run.begin("hang");
    await a!.run.begin("hang");
    const unanswered = a!.run.answersOf().catch((error) => error.message);
    await a!.run.close();
    expect(await b!.run.call("who")).toBe("b");
    expect(await unanswered).toMatch(/closed/);
  });

  test("over and over while 200 calls are made, each takes effect once and is answered", async () => {
    const pages = await openTabs("a", "b", "c", "d", "e");
    const callers = pages.slice(-2);
    for (const [index, { run }] of callers.entries()) await run.appendMany(`caller ${index}`, 100, 10);
    for (const [index, end] of Object.values(ends).entries()) {
      await new Promise((resolve) => setTimeout(resolve, 250));
      await end(pages[index]!);
    }
    const answers = await Promise.all(callers.map(({ run }) => run.answersOf()));
    const { texts, numbers } = await callers[0]!.run.readLog(name);
    const asked = [0, 1].flatMap((caller) => Array.from({ length: 100 }, (_, index) => `caller ${caller} ${index}`));
    expect(texts.toSorted()).toEqual(asked.toSorted());
    expect(numbers).toEqual(Array.from({ length: 200 }, (_, index) => index + 1));
    expect(answers.flat().map((number) => texts[Number(number) - 1])).toEqual(asked);
    expect(await callers[0]!.run.isLeader()).toBe(true);
  });
});
