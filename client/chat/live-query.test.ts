import { describe, expect, test, vi } from "vitest";
import { LiveReading } from "./live-query.ts";

/** A value that a test changes, and how often it was read. */
function source(part: { readonly changesIn?: () => number | undefined } = {}) {
  const watchers = new Set<() => void>();
  const state = { value: "one", reads: 0, fails: false, watchers };
  const query = new LiveReading<string>({
    read: async () => {
      state.reads += 1;
      if (state.fails) throw new Error("no store");
      return state.value;
    },
    watch: (changed) => {
      watchers.add(changed);
      return () => watchers.delete(changed);
    },
    ...part,
  });
  const change = (value: string) => {
    state.value = value;
    for (const changed of watchers) changed();
  };
  return { state, query, change };
}

const settled = () => new Promise((resolve) => setTimeout(resolve));

describe("a live reading", () => {
  test("reads when somebody subscribes, and not before", async () => {
    const { state, query } = source();
    expect(query.getSnapshot()).toBeUndefined();
    await settled();
    expect(state.reads).toBe(0);
    const listener = vi.fn();
    query.subscribe(listener);
    await settled();
    expect(query.getSnapshot()).toBe("one");
    expect(listener).toHaveBeenCalledTimes(1);
  });

  test("reads once for all that changes in one go, and once more for what changes while it reads", async () => {
    const { state, query, change } = source();
    query.subscribe(() => {});
    await settled();
    for (const value of ["two", "three", "four"]) change(value);
    await settled();
    expect(state.reads).toBe(2);
    expect(query.getSnapshot()).toBe("four");
    change("five");
    await Promise.resolve();
    change("six");
    await settled();
    expect(state.reads).toBe(4);
    expect(query.getSnapshot()).toBe("six");
  });

  test("says nothing where nothing has changed", async () => {
    const { query, change } = source();
    const listener = vi.fn();
    query.subscribe(listener);
    await settled();
    change("one");
    await settled();
    expect(listener).toHaveBeenCalledTimes(1);
  });

  test("watches for as long as anybody looks, however often they come and go", async () => {
    const { state, query, change } = source();
    const ends = [query.subscribe(() => {}), query.subscribe(() => {})];
    expect(state.watchers.size).toBe(1);
    ends[0]?.();
    ends[0]?.();
    expect(state.watchers.size).toBe(1);
    ends[1]?.();
    expect(state.watchers.size).toBe(0);
    await settled();
    change("meanwhile");
    const listener = vi.fn();
    const end = query.subscribe(listener);
    await settled();
    expect(query.getSnapshot()).toBe("meanwhile");
    expect(state.watchers.size).toBe(1);
    end();
    expect(state.watchers.size).toBe(0);
  });

  test("one listener that is subscribed twice is told until both have ended", async () => {
    const { query, change } = source();
    const listener = vi.fn();
    const [first, second] = [query.subscribe(listener), query.subscribe(listener)];
    await settled();
    first();
    change("two");
    await settled();
    expect(listener).toHaveBeenCalledTimes(3);
    second();
  });

  test("throws what has gone wrong, and recovers", async () => {
    const { state, query, change } = source();
    state.fails = true;
    query.subscribe(() => {});
    await settled();
    expect(() => query.getSnapshot()).toThrow(expect.objectContaining({ code: "store_failed" }));
    state.fails = false;
    change("two");
    await settled();
    expect(query.getSnapshot()).toBe("two");
  });

  test("reads again when the value changes by itself", async () => {
    vi.useFakeTimers();
    try {
      const { state, query } = source({ changesIn: () => (state.value === "one" ? 50 : undefined) });
      const end = query.subscribe(() => {});
      await vi.advanceTimersByTimeAsync(1);
      state.value = "gone";
      await vi.advanceTimersByTimeAsync(50);
      expect(query.getSnapshot()).toBe("gone");
      expect(vi.getTimerCount()).toBe(0);
      end();
    } finally {
      vi.useRealTimers();
    }
  });

  test("leaves no timer behind", async () => {
    vi.useFakeTimers();
    try {
      const { query } = source({ changesIn: () => 40 * 86_400_000 });
      const end = query.subscribe(() => {});
      await vi.advanceTimersByTimeAsync(1);
      expect(vi.getTimerCount()).toBe(1);
      end();
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });
});
