import { describe, expect, it } from "vitest";
import { Gather } from "../../durable-objects/runtime/gather.ts";

const take = (gather: Gather<number>, maxItems = 10, maxBytes = 100) => gather.take(maxItems, maxBytes, (item) => item);

function filled(...items: number[]): Gather<number> {
  const gather = new Gather<number>();
  for (const item of items) gather.add(item);
  return gather;
}

describe("gathering", () => {
  it("goes at once when idle", () => {
    expect(take(filled(1))).toEqual([1]);
  });

  it("collects while a batch is in flight", () => {
    const gather = filled(1);
    take(gather);
    gather.add(2);
    gather.add(3);
    expect(take(gather)).toEqual([]);
    expect(gather.waiting).toEqual([2, 3]);
  });

  it("yields a turn before what has waited goes", () => {
    const gather = filled(1);
    take(gather);
    gather.add(2);
    expect(gather.done()).toBe(true);
    expect(take(gather)).toEqual([]);
    gather.resume();
    expect(take(gather)).toEqual([2]);
  });

  it("is idle again after a single item, so that the next one goes at once", () => {
    const gather = filled(1);
    take(gather);
    expect(gather.done()).toBe(false);
    gather.add(2);
    expect(take(gather)).toEqual([2]);
  });

  it("yields a turn after a batch of several even if nothing waits: their senders are about to answer", () => {
    const gather = filled(1, 2);
    take(gather);
    expect(gather.done()).toBe(true);
    gather.add(3);
    gather.add(4);
    gather.resume();
    expect(take(gather)).toEqual([3, 4]);
  });

  it.each([
    { why: "items", maxItems: 2, maxBytes: 100, expected: [40, 30] },
    { why: "bytes", maxItems: 10, maxBytes: 70, expected: [40, 30] },
    { why: "bytes, but at least one", maxItems: 10, maxBytes: 1, expected: [40] },
  ])("limits a batch in $why", ({ maxItems, maxBytes, expected }) => {
    expect(take(filled(40, 30, 20), maxItems, maxBytes)).toEqual(expected);
  });

  it("is emptied by drain, in flight or not", () => {
    const gather = filled(1, 2, 3);
    take(gather, 1);
    expect(gather.drain()).toEqual([2, 3]);
    expect(gather.waiting).toEqual([]);
  });
});
