// `npm run bench:browser`: what the client's store and its tabs take in Chromium.

import { readOptions } from "../../scripts/options.ts";
import { launchChromium } from "../../test/browser/chromium.ts";
import type * as Script from "../../test/browser/page/figures.ts";
import { Site, type Tab } from "../../test/browser/site.ts";
import { conditionsNow, formatConditions } from "../conditions.ts";

const USAGE = `usage: npm run bench:browser [-- --json]

Measures, in the Chromium that the tests use: a write and a read of the encrypted store in IndexedDB, and how long nobody
answers when the tab that leads ends. Times are medians, in milliseconds.

  --json   prints one JSON object
  --help   this text`;

const MESSAGES = 20_000;
const CONVERSATIONS = 500;
const HAND_OVERS = 5;
const HAND_OVER_MS = 1_000;

type Page = Tab<typeof Script>;

const options = readOptions(USAGE, { json: { type: "boolean" } });
const chromium = await launchChromium();
const conditions = { ...conditionsNow(), messages: MESSAGES, conversations: CONVERSATIONS };
console.error(formatConditions(conditions));
const ms: Record<string, number> = {};
const site = await Site.open<typeof Script>("test/browser/page/figures.ts", chromium.wsEndpoint());
try {
  await measureStore();
  note("hand-over when the leader is closed", await measureHandOver("closed", ({ page }) => page.close()));
  note("hand-over when the leader crashes", await measureHandOver("crashed", (page) => site.crash(page)));
} finally {
  await site.close();
  await chromium.close();
}
if (options.json) console.log(JSON.stringify({ conditions, ms }));

async function measureStore(): Promise<void> {
  const { page, run } = await site.openTab();
  const figures = await run.measureStore(MESSAGES, CONVERSATIONS);
  await page.close();
  note("persist a message, with cursor and ratchet", figures.persistOne);
  note("persist a page of 64", figures.persistPage);
  note("read the last 50", figures.readLast50);
  note(`read and decrypt ${MESSAGES}`, figures.openAll);
  note(`summarize ${CONVERSATIONS} conversations`, figures.summarize);
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

function note(what: string, median: number): void {
  ms[what] = Number(median.toFixed(1));
  if (!options.json) console.log(`${what.padEnd(46)}${median.toFixed(1).padStart(8)} ms`);
}
