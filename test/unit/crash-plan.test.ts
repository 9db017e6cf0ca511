import { expect, test } from "vitest";
import { planCycles, plannedFaults } from "../crash/plan.ts";
import { Random } from "../sim/random.ts";

test("every third life of the server ends at the failpoint, and nobody falls silent before it", () => {
  const cycles = planCycles(30, new Random(1));
  expect(cycles.filter(({ endsAt }) => endsAt === "failpoint")).toHaveLength(10);
  const before = cycles.filter((_, index) => cycles[index + 1]?.endsAt === "failpoint");
  expect(before.some(({ fallsSilent }) => fallsSilent)).toBe(false);
});

test("three cycles strike with every fault, and let the apps come back both ways", () => {
  const cycles = planCycles(3, new Random(1));
  expect(plannedFaults(cycles).toSorted()).toEqual(["app-killed", "server-killed", "server-killed-at-failpoint"]);
  expect(cycles.map(({ isTold }) => isTold)).toEqual([true, true, false]);
});

test("a seed plans the same again", () => {
  expect(planCycles(10, new Random(7))).toEqual(planCycles(10, new Random(7)));
});
