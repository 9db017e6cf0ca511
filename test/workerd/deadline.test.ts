import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { withDeadline } from "../../durable-objects/runtime/deadline.ts";
import { CALL_TIMEOUT_MS } from "../../shared/limits.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it("R8 a call that is never answered fails in the end, so that what waits for it goes on", async () => {
  const settled = vi.fn();
  withDeadline(new Promise(() => {})).catch(settled);
  await vi.advanceTimersByTimeAsync(CALL_TIMEOUT_MS - 1);
  expect(settled).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(settled).toHaveBeenCalledOnce();
});

it.each([
  ["an answer", () => Promise.resolve("done"), "done"],
  ["a failure", () => Promise.reject("gone"), "gone"],
])("passes %s on and leaves no timer behind, which would keep the object awake", async (_, call, expected) => {
  const outcome = await withDeadline(call()).catch((error: unknown) => error);
  expect(outcome).toBe(expected);
  expect(vi.getTimerCount()).toBe(0);
});
