import { env } from "cloudflare:workers";
import { ulid } from "ulid";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ConversationObject } from "../../durable-objects/conversation/object.ts";
import { FILE_RETRY_MS, UNCLAIMED_FILES_MS } from "../../shared/limits.ts";
import { commit, foundingCommit } from "../sealed.ts";
import { crowd, MlsDevice } from "./mls-device.ts";
import { alarmOf, conversation, crash, fireAlarm, tablesOf } from "./objects.ts";

let alice: MlsDevice;
let id: string;

beforeEach(async () => {
  alice = await MlsDevice.signUp();
  id = ulid();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

async function filesOf(group: string): Promise<(string | undefined)[]> {
  const { objects } = await env.MEDIA.list({ prefix: `conversation/${group}/` });
  return objects.map(({ key }) => key.split("/").at(-1)).toSorted();
}

describe("R10 R14 a file that nothing refers to any more", () => {
  it.each<[string, () => Promise<void>]>([
    ["the file store fails", () => Promise.reject(new Error("no file store"))],
    ["the object is gone before it is done", () => new Promise(() => {})],
  ])("is deleted by alarm if %s", async (_, deleteFiles) => {
    const tree = `conversation/${id}/mls/request/tree`;
    await env.MEDIA.put(tree, "tree");
    expect(await conversation(id).submitCommit({ ...foundingCommit(id, alice, [], ulid()), tree })).toMatchObject({
      ok: true,
    });
    const deleted = vi.spyOn(env.MEDIA, "delete").mockImplementationOnce(deleteFiles);
    await conversation(id).submitCommit(commit(id, alice, { id: ulid(), epoch: 1, leaf: 0 }));
    await vi.waitFor(() => expect(deleted).toHaveBeenCalledTimes(1));
    await crash(conversation(id));
    expect(await filesOf(id)).toEqual(["tree"]);
    expect(await alarmOf(conversation(id))).toBeLessThanOrEqual(Date.now() + FILE_RETRY_MS);
    await fireAlarm(conversation(id));
    await vi.waitFor(async () => expect(await filesOf(id)).toEqual([]));
    await vi.waitFor(async () => expect(await tablesOf(conversation(id))).not.toContain("file_debt"));
  });

  it("is deleted by alarm if whoever put it there never handed it in", { timeout: 60_000 }, async () => {
    const made = await alice.make(id, await crowd(45, alice.accountKey), 83);
    const submitted = vi.spyOn(ConversationObject.prototype, "submitCommit").mockRejectedValue(new Error("down"));
    await expect(alice.submit(id, made)).rejects.toThrow();
    submitted.mockRestore();
    expect(await filesOf(id)).toEqual(["commit", "tree"]);
    await crash(conversation(id));
    vi.setSystemTime(Date.now() + UNCLAIMED_FILES_MS);
    await fireAlarm(conversation(id));
    await vi.waitFor(async () => expect(await filesOf(id)).toEqual([]));
    await vi.waitFor(async () => expect(await tablesOf(conversation(id))).toEqual([]));
    vi.useRealTimers();
    await alice.submitted(id, made);
    expect(await tablesOf(conversation(id))).not.toContain("file_debt");
    vi.setSystemTime(Date.now() + UNCLAIMED_FILES_MS);
    await fireAlarm(conversation(id));
    expect(await filesOf(id)).toEqual(["commit", "tree"]);
  });
});
