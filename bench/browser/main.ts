// `npm run bench:browser`: what the client's store and its tabs take in Chromium.

import { launchChromium } from "../../test/browser/chromium.ts";
import type * as Script from "../../test/browser/page/figures.ts";
import { Site, type Tab } from "../../test/browser/site.ts";

const USAGE = `usage: npm run bench:browser

Measures, in the Chromium that the tests use: a write and a read of the encrypted store in IndexedDB, and how long nobody
answers when the tab that leads ends. Times are medians, in milliseconds.`;

const MESSAGES = 20_000;
const CONVERSATIONS = 500;
const HAND_OVERS = 5;
const HAND_OVER_MS = 1_000;

type Page = Tab<typeof Script>;

if (process.argv.includes("--help")) {
  console.log(USAGE);
  process.exit();
}
const chromium = await launchChromium();
const site = await Site.open<typeof Script>("test/browser/page/figures.ts", chromium.wsEndpoint());
try {
  await measureStore();
  show("hand-over when the leader is closed", await measureHandOver("closed", ({ page }) => page.close()));
  show("hand-over when the leader crashes", await measureHandOver("crashed", (page) => site.crash(page)));
} finally {
  await site.close();
  await chromium.close();
}

async function measureStore(): Promise<void> {
  const { page, run } = await site.openTab();
  const figures = await run.measureStore(MESSAGES, CONVERSATIONS);
  await page.close();
  show("persist a message, with cursor and ratchet", figures.persistOne);
  show("persist a page of 64", figures.persistPage);
  show("read the last 50", figures.readLast50);
  show(`read and decrypt ${MESSAGES}`, figures.openAll);
  show(`summarize ${CONVERSATIONS} conversations`, figures.summarize);
}

/** @returns how long a third tab waited for an answer at most, while the leader ended */
async function measureHandOver(name: string, end: (page: Page) => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < HAND_OVERS; round++) {
    const pages = [await site.openTab(), await site.openTab(), await site.openTab()] as const;
    for (const { run } of pages) {
      await run.open(`${name} ${round}`, "");
      await run.call("who");
    }
    const [first, ...others] = pages;
    const silence = others[1].run.longestSilence(HAND_OVER_MS);
    await end(first);
    times.push(await silence);
    for (const { page } of others) await page.close();
  }
  return times.sort((a, b) => a - b)[HAND_OVERS >> 1] ?? Number.NaN;
}

function show(what: string, ms: number): void {
  console.log(`${what.padEnd(46)}${ms.toFixed(1).padStart(8)} ms`);
}
