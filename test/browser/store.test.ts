import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { chat, message, storeCases } from "../../client/store/contract-suite.ts";
import type * as Script from "./page/store.ts";
import { Site, type Tab } from "./site.ts";

const script = "test/browser/page/store.ts";

let site: Site<typeof Script>;
let tab: Tab<typeof Script>;

beforeAll(async () => {
  site = await Site.open(script, inject("chromium"));
  tab = await site.openTab();
});
afterAll(() => site.close());

describe("a store: IndexedDB", () => {
  for (const { name } of storeCases) test(name, () => tab.run.runCase(name));
});

describe("the IndexedDB store", () => {
  const secret = "nobody reads along";

  test("what people write, what is sealed, records and the session are encrypted on the disk", async () => {
    await tab.run.open("encrypted");
    await tab.run.writeEverywhere(secret);
    expect(await tab.run.readEverywhere()).toEqual(Array.from({ length: 7 }, () => secret));
    const raw = await tab.run.raw("encrypted");
    expect(raw).toContain(chat);
    expect(raw).not.toContain(secret);
    expect(await tab.run.readKey("encrypted")).toBe("InvalidAccessError");
  });

  test("a value opens at its place alone", async () => {
    await tab.run.open("moved");
    await tab.run.writeEverywhere(secret);
    await tab.run.moveContent("moved", 1, 1);
    expect(await tab.run.readEverywhere()).toContain(secret);
    await tab.run.moveContent("moved", 1, 2);
    await expect(tab.run.readEverywhere()).rejects.toThrow(/OperationError/);
  });

  test("what the database refuses leaves nothing of its write behind", async () => {
    await tab.run.open("refused");
    await expect(tab.run.persistUncloneable()).rejects.toThrow(/DataCloneError/);
    expect(await tab.run.placesKept()).toEqual([]);
    await tab.run.persist(message(1));
    expect(await tab.run.placesKept()).toEqual([1]);
  });

  test("a write asks for the disk, and not for the system's memory", async () => {
    await tab.run.open("durable");
    expect(await tab.run.durabilities()).toEqual(["strict", "strict"]);
  });

  test("the browser is asked to keep it, and says whether it will", async () => {
    expect(await tab.run.keepStorage()).toEqual({ promised: false, kept: false });
    await site.allow(tab, "durableStorage");
    expect(await tab.run.keepStorage()).toEqual({ promised: true, kept: true });
  });

  test("a write without room is rejected, and leaves nothing behind", async () => {
    const small = await Site.open<typeof Script>(script, inject("chromium"));
    const full = await small.openTab();
    await small.limitStorage(full, 2_000_000);
    await full.run.open("full");
    await full.run.persist(message(1));
    expect(await full.run.writeLarge(8_000_000)).toBe("QuotaExceededError");
    expect(await full.run.placesKept()).toEqual([1]);
    await small.close();
  });

  test("it gives way to a newer version of the app, and writes nothing after that", async () => {
    const other = await site.openTab();
    await tab.run.open("old");
    await other.run.upgrade("old");
    await expect(tab.run.persist(message(1))).rejects.toThrow(/InvalidStateError/);
    await expect(other.run.open("old")).rejects.toThrow(/VersionError/);
    await other.page.close();
  });

  test("tabs that open a new database at the same time read each other's values", async () => {
    const other = await site.openTab();
    await Promise.all([tab.run.open("shared"), other.run.open("shared")]);
    await tab.run.writeEverywhere(secret);
    expect(await other.run.readEverywhere()).toContain(secret);
    await other.page.close();
  });

  test("what is persisted outlasts the page's end and its crash", async () => {
    const ends = [
      (doomed: Tab<typeof Script>) => doomed.page.close(),
      (doomed: Tab<typeof Script>) => site.crash(doomed),
    ];
    for (const [index, end] of ends.entries()) {
      const doomed = await site.openTab();
      await doomed.run.open("lasting");
      await doomed.run.persist(message(index + 1));
      await end(doomed);
    }
    await tab.run.open("lasting");
    expect(await tab.run.placesKept()).toEqual([1, 2]);
  });
});
