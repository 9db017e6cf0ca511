import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { SearchIndex } from "../../client/search/search-index.ts";
import { makeHistory } from "./history.ts";

/**
 * What searching one's own history costs on this machine: `node bench/search/main.ts --messages 50000`.
 * Delay is the longest time for which nothing else had a turn.
 */
const { values } = parseArgs({ options: { messages: { type: "string", default: "50000" } } });
const history = makeHistory(Number(values.messages));
const queries = ["ka", "kalo", "lomiter go", "terka senlo", "mi ter lo", "no-such-word", "東京", "会議の"];

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
  console.log(`${what.padEnd(28)} ${took.toFixed(1).padStart(8)} ms   delay ${delay.toFixed(0).padStart(4)} ms`);
  return result;
}

const chars = history.reduce((sum, { text }) => sum + text.length, 0);
console.log(`${history.length} messages, ${chars} characters`);
const index = await measured("open, empty", () => SearchIndex.open());
await measured("index", () => index.addAll(history));
for (const query of queries) {
  const hits = await measured(`search “${query}”`, () => index.search(query, { limit: 50 }));
  console.log(`${"".padEnd(28)} ${String(hits.length).padStart(8)} hits`);
}
const snapshot = await measured("snapshot", () => index.snapshot());
console.log(`${"".padEnd(28)} ${String(snapshot.byteLength).padStart(8)} bytes`);
await measured("open, from the snapshot", () => SearchIndex.open(snapshot));
await measured("remove 1,000", () => {
  for (const document of history.slice(0, 1_000)) index.remove(document);
});
