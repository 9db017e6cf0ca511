import { describe, expect, test } from "vitest";
import { ChatError } from "../chat-error.ts";
import { ContentError } from "../content/content-error.ts";
import { MlsError } from "../mls/mls.ts";
import { WrongOwner } from "../store/store.ts";
import { asChatErrors, toChatError } from "./failure.ts";

describe("whatever goes wrong inside", () => {
  test.each([
    [new ContentError("malformed"), "malformed"],
    [new ContentError("unsupported"), "malformed"],
    [new ContentError("too_large"), "too_large"],
    [new MlsError("unauthentic"), "tampered"],
    [new MlsError("wrong_epoch"), "unavailable"],
    [new MlsError("unsupported"), "not_allowed"],
    [new WrongOwner(), "wrong_account"],
    [new Error("disk full"), "store_failed"],
    ["a text that was thrown", "store_failed"],
  ])("%s leaves as a ChatError, with what it was", async (thrown, code) => {
    const caught = await asChatErrors(() => Promise.reject(thrown)).catch((error: unknown) => error);
    expect(caught).toBeInstanceOf(ChatError);
    expect(caught).toMatchObject({ code, cause: thrown });
  });

  test("a ChatError stays the one that it is", () => {
    const error = new ChatError("busy", { retry: 1_500, requestId: "r1" });
    expect(toChatError(error)).toBe(error);
    expect(error).toMatchObject({ retryable: true, retryAfterMs: 1_500, requestId: "r1" });
  });
});
