import { setTimeout } from "node:timers/promises";
import { SearchIndex } from "../../client/search/search-index.ts";
import { readOptions, wholeNumber } from "../../scripts/options.ts";
import { conditionsNow, formatConditions } from "../conditions.ts";
import { makeHistory } from "./history.ts";

const USAGE = `usage: npm run bench:search [-- options]

Measures what searching one's own history costs: building the index, asking it, storing it and opening what was stored.
Delay is the longest time for which nothing else had a turn.

  --messages N  how long the history is (50000)
  --json        prints one JSON object
  --help        this text`;

interface Measured {
  readonly ms: number;
  readonly delayMs: number;
  /** Messages found. */
  hits?: number;
  bytes?: number;
}

const accepted = { messages: { type: "string", default: "50000" }, json: { type: "boolean" } } as const;
const { count, json } = readOptions(USAGE, accepted, ({ messages, ...flags }) => ({
  count: wholeNumber("--messages", messages, 1_000),
  json: flags.json,
}));
const history = makeHistory(count);
const queries = ["ka", "kalo", "lomiter go", "terka senlo", "mi ter lo", "no-such-word", "東京", "会議の"];

const chars = history.reduce((sum, { text }) => sum + text.length, 0);
const conditions = { ...conditionsNow(), messages: history.length, characters: chars };
console.error(formatConditions(conditions));
const results: Record<string, Measured> = {};

const index = await measured("open, empty", () => SearchIndex.open());
await measured("index", () => index.addAll(history));
for (const query of queries) {
  const hits = await measured(`search “${query}”`, () => index.search(query, { limit: 50 }));
  extend(`search “${query}”`, { hits: hits.length });
}
const snapshot = await measured("snapshot", () => index.snapshot());
extend("snapshot", { bytes: snapshot.byteLength });
await measured("open, from the snapshot", () => SearchIndex.open(snapshot));
await measured("remove 1,000", () => {
  for (const document of history.slice(0, 1_000)) index.remove(document);
});
if (json) console.log(JSON.stringify({ conditions, results }));

async function measured<T>(what: string, run: () => Promise<T> | T): Promise<T> {
  let [turn, delay] = [performance.now(), 0];
  const turns = setInterval(() => {
    delay = Math.max(delay, performance.now() - turn);
    turn = performance.now();
  }, 1);
  await setTimeout(20);
  [delay, turn] = [0, performance.now()];
  const start = performance.now();
  const result = await run();
  const took = performance.now() - start;
  await setTimeout(20);
  clearInterval(turns);
  results[what] = { ms: Number(took.toFixed(1)), delayMs: Math.round(delay) };
  show(`${what.padEnd(28)} ${took.toFixed(1).padStart(8)} ms   delay ${delay.toFixed(0).padStart(4)} ms`);
  return result;
}

function extend(what: string, count: { hits: number } | { bytes: number }): void {
  Object.assign(results[what] ?? {}, count);
  for (const [name, value] of Object.entries(count)) show(`${"".padEnd(28)} ${String(value).padStart(8)} ${name}`);
}

function show(line: string): void {
  if (!json) console.log(line);
}
