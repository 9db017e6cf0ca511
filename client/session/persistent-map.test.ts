import { expect, test } from "vitest";
import { PersistentMap } from "./persistent-map.ts";
import { idOf, seededRandom } from "./test-driver.ts";

test("behaves like a Map, and earlier copies never change", () => {
  const random = seededRandom(1);
  const model = new Map<string, number>();
  let map = PersistentMap.empty<number>();
  const copies: [PersistentMap<number>, Map<string, number>][] = [];
  for (let n = 0; n < 20_000; n++) {
    const key = idOf(Math.floor(random() * 6_000));
    map = map.set(key, n);
    model.set(key, n);
    if (n % 2_000 === 0) copies.push([map, new Map(model)]);
  }
  for (const [copy, expected] of [...copies, [map, model] as const]) {
    expect(copy.size).toBe(expected.size);
    expect(new Map(copy)).toEqual(expected);
    for (const [key, value] of expected) expect(copy.get(key)).toBe(value);
  }
  expect([map.get("nobody"), map.has("nobody"), PersistentMap.empty().size]).toEqual([undefined, false, 0]);
});
