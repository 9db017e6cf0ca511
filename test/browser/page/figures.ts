import { IndexedDbStore } from "../../../client/browser/index.ts";
import { message, owner } from "../../../client/store/contract-suite.ts";
import type { Store, StoreChange } from "../../../client/store/store.ts";

export { call, longestSilence, open } from "./tabs.ts";

const CONTENT_BYTES = 200;
const RATCHET_BYTES = 2_000;
const PAGE_MESSAGES = 64;
const BATCH_MESSAGES = 500;

/** Each in milliseconds. */
export interface StoreFigures {
  readonly persistOne: number;
  readonly persistPage: number;
  readonly readLast50: number;
  readonly openAll: number;
  readonly summarize: number;
}

/** @param messages as many in one conversation, @param conversations and as many others with one each */
export async function measureStore(messages: number, conversations: number): Promise<StoreFigures> {
  const store = await IndexedDbStore.open(`figures ${crypto.randomUUID()}`);
  await store.load(owner);
  await fill(store, messages, conversations);
  const last = messages + 1_000_000;
  const figures = {
    persistOne: await median(100, (run) => store.persist(received(last + run, 1))),
    persistPage: await median(20, (run) => store.persist(received(2 * last + run * PAGE_MESSAGES, PAGE_MESSAGES))),
    readLast50: await median(100, () => store.messages("long", { limit: 50 })),
    openAll: await median(5, () => store.scan("long", 0, messages)),
    summarize: await median(5, () => store.conversations()),
  };
  await store.close();
  return figures;
}

async function fill(store: Store, messages: number, conversations: number): Promise<void> {
  for (let seq = 1; seq <= messages; seq += BATCH_MESSAGES) await store.persist(received(seq, BATCH_MESSAGES));
  const others = Array.from({ length: conversations }, (_, index) => message(1, { conversation: `other ${index}` }));
  await store.persist(others);
}

/** Messages in a row, and what a write of them brings with it: the cursor, and the ratchet that opened them. */
function received(from: number, count: number): StoreChange[] {
  const content = crypto.getRandomValues(new Uint8Array(CONTENT_BYTES));
  const messages = Array.from({ length: count }, (_, index) =>
    message(from + index, { conversation: "long", content }),
  );
  const value = crypto.getRandomValues(new Uint8Array(RATCHET_BYTES));
  const cursor: StoreChange = { type: "cursor", conversation: "long", have: from + count - 1 };
  return [...messages, cursor, { type: "record", key: "ratchets/long", value }];
}

async function median(runs: number, work: (run: number) => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < runs; run++) {
    const start = performance.now();
    await work(run);
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[runs >> 1] ?? Number.NaN;
}
