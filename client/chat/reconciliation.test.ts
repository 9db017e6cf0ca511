import { ulid } from "ulid";
import { beforeEach, describe, expect, test, vi } from "vitest";
import {
  MAX_RECONCILIATION_DELAY_MS,
  MIN_RECONCILIATION_DELAY_MS,
  RECONCILIATION_TIMEOUT_MS,
} from "../../shared/limits.ts";
import type { Progress } from "../backup/transfer.ts";
import { ChatError } from "../chat-error.ts";
import { MlsError } from "../mls/mls.ts";
import { MemoryStore } from "../store/memory.ts";
import type { StoreChange } from "../store/store.ts";
import { Reconciliation } from "./reconciliation.ts";

const conversations = Array.from({ length: 7 }, (_, index) => ulid(index + 1));

let store: MemoryStore;
let end: AbortController;
let told: Progress[];
let wanted: string[];

beforeEach(async () => {
  store = new MemoryStore();
  await store.load({ user: ulid(), device: ulid() });
  await store.persist(conversations.map((conversation): StoreChange => ({ type: "cursor", conversation, have: 1 })));
  end = new AbortController();
  told = [];
  wanted = [];
});

function make(want: (conversation: string) => Promise<void> = async () => {}): Reconciliation {
  return new Reconciliation({
    ...{ store, signal: end.signal, told: (progress) => told.push(progress) },
    async change(work) {
      const changes: StoreChange[] = [];
      const result = await work({ changes });
      await store.persist(changes);
      return result;
    },
    want: (conversation) => {
      wanted.push(conversation);
      return want(conversation);
    },
  });
}

const left = async () => (await store.records("reconcile/")).length;

async function inFakeTime<T>(work: () => Promise<T>): Promise<T> {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    const done = work();
    let isOver = false;
    const over = () => {
      isOver = true;
    };
    done.then(over, over);
    while (!isOver) {
      await new Promise((resolve) => setImmediate(resolve));
      if (!isOver) await vi.advanceTimersToNextTimerAsync();
    }
    return await done;
  } finally {
    vi.useRealTimers();
  }
}

describe("reconciliation", () => {
  test("sees to every conversation once, a few at a time, and tells how far it is", async () => {
    let [under, most] = [0, 0];
    const reconciliation = make(async () => {
      most = Math.max(most, ++under);
      await new Promise((resolve) => setTimeout(resolve, 1));
      under--;
    });
    await reconciliation.demand();
    await reconciliation.run();
    expect(wanted.toSorted()).toEqual(conversations);
    expect(most).toBe(3);
    expect(told.map(({ done }) => done)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(new Set(told.map(({ total }) => total))).toEqual(new Set([7]));
    expect(await left()).toBe(0);
  });

  test("has nothing to do where nothing is demanded", async () => {
    await make().run();
    expect([wanted, told]).toEqual([[], []]);
  });

  test("what was demanded is done by a later run of the app", async () => {
    const key = "with it";
    await make().demand({ type: "record", key, value: Uint8Array.of(1) });
    expect(await store.record(key)).toEqual(Uint8Array.of(1));
    await make().run();
    expect(wanted.toSorted()).toEqual(conversations);
    expect(await left()).toBe(0);
  });

  test("tries again what fails in passing, and not what can never be done", async () => {
    const tries = new Map<string, number>();
    const reconciliation = make(async (conversation) => {
      const count = (tries.get(conversation) ?? 0) + 1;
      tries.set(conversation, count);
      if (conversation === conversations[0]) throw new ChatError("not_found");
      if (conversation === conversations[1] && count < 4) throw new ChatError("unavailable");
      if (conversation === conversations[2] && count < 3) throw new TypeError("not one of ours");
    });
    await reconciliation.demand();
    await inFakeTime(() => reconciliation.run());
    expect(conversations.map((conversation) => tries.get(conversation))).toEqual([1, 4, 3, 1, 1, 1, 1]);
    expect(await left()).toBe(0);
    expect(told.at(-1)).toEqual({ done: 7, total: 7 });
  });

  test.each([
    ["that can have been tampered with", new ChatError("tampered")],
    ["that can have been tampered with, as the MLS module says it", new MlsError("undecryptable")],
    ["that a server makes no sense of", new ChatError("bad_frame")],
    ["for which there is no room now", new ChatError("not_allowed")],
    ["as long as somebody is blocked", new ChatError("blocked")],
    ["of a device that is not let in now", new ChatError("unauthenticated")],
  ])("keeps a wish %s for the next run, and ends without it", async (_, refusal) => {
    let isRefused = true;
    const reconciliation = make(async (conversation) => {
      if (conversation === conversations[2] && isRefused) throw refusal;
    });
    await reconciliation.demand();
    await inFakeTime(() => reconciliation.run());
    expect(wanted.toSorted()).toEqual(conversations);
    expect(await left()).toBe(1);
    isRefused = false;
    await reconciliation.run();
    expect(wanted.at(-1)).toBe(conversations[2]);
    expect(await left()).toBe(0);
  });

  test("tries what was refused once more if it is demanded once more", async () => {
    let again: Promise<void> | undefined;
    const reconciliation = make(async (conversation) => {
      if (conversation !== conversations[4] || again) return;
      again = reconciliation.demand();
      await again;
      throw new ChatError("tampered");
    });
    await reconciliation.demand();
    await inFakeTime(() => reconciliation.run());
    expect(await left()).toBe(0);
  });

  test("does not wait for ever for one of them", async () => {
    let isStuck = true;
    const reconciliation = make(async (conversation) => {
      if (conversation === conversations[3] && isStuck) await new Promise(() => {});
    });
    await reconciliation.demand();
    await inFakeTime(async () => {
      const done = reconciliation.run();
      setTimeout(() => {
        isStuck = false;
      }, RECONCILIATION_TIMEOUT_MS - 1);
      await done;
    });
    expect(wanted.filter((conversation) => conversation === conversations[3]).length).toBe(2);
    expect(await left()).toBe(0);
  });

  test("a demand that comes while the same is being done is another one", async () => {
    let again: Promise<void> | undefined;
    const reconciliation = make(async (conversation) => {
      if (conversation === conversations[5]) again ??= reconciliation.demand();
      await again;
    });
    await reconciliation.demand();
    await reconciliation.run();
    expect(wanted.filter((conversation) => conversation === conversations[5]).length).toBe(2);
    expect(await left()).toBe(0);
  });

  test("whoever asks while it ends is answered after their own was done", async () => {
    const reconciliation = make();
    await reconciliation.demand();
    const first = reconciliation.run();
    await reconciliation.demand();
    await Promise.all([first, reconciliation.run()]);
    expect(await left()).toBe(0);
  });

  test("ends when it is told to, and what is left stays", async () => {
    const reconciliation = make(() => new Promise(() => {}));
    await reconciliation.demand();
    const done = reconciliation.run();
    await expect.poll(() => wanted.length).toBe(3);
    end.abort();
    await expect(done).rejects.toMatchObject({ code: "closed" });
    expect(await left()).toBe(7);
  });

  test("begins after a while of its own where others hear of the same", async () => {
    const reconciliation = make();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    await reconciliation.demand();
    void reconciliation.runSoon();
    await vi.advanceTimersByTimeAsync(MIN_RECONCILIATION_DELAY_MS - 1);
    expect(wanted).toEqual([]);
    await vi.advanceTimersByTimeAsync(MAX_RECONCILIATION_DELAY_MS);
    vi.useRealTimers();
    await expect.poll(() => wanted.length).toBe(7);
  });
});
