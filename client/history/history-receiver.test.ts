import { ulid } from "ulid";
import { afterEach, expect, test, vi } from "vitest";
import { HISTORY_WAIT_MS } from "../../shared/limits.ts";
import { FakeArchives } from "../../test/fake/archives.ts";
import { makeArchiveKey } from "../backup/archive.ts";
import { makeAccountKey } from "../identity/account-key.ts";
import { MemoryStore } from "../store/memory.ts";
import type { StoreChange } from "../store/store.ts";
import type { HistoryDevice } from "./device.ts";
import { HistoryReceiver } from "./history-receiver.ts";
import { HistorySender } from "./history-sender.ts";

afterEach(() => {
  vi.useRealTimers();
});

async function newDevice(archives: FakeArchives): Promise<HistoryDevice> {
  const store = new MemoryStore();
  const owner = { user: ulid(), device: ulid() };
  await store.load(owner);
  return {
    ...{ owner, store, archives, accountKey: await makeAccountKey(), readOf: () => 0, changed: () => {} },
    people: { recall: () => {} },
    async change(work) {
      const changes: StoreChange[] = [];
      const result = await work({ changes });
      await store.persist(changes);
      return result;
    },
  };
}

test("a history that was promised is waited for, for a day", async () => {
  const archives = new FakeArchives();
  const [old, fresh] = [await newDevice(archives), await newDevice(archives)];
  const promised = await new HistorySender(old).promise();
  const receiver = new HistoryReceiver(fresh);
  await receiver.expect(promised);
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
  let received: boolean | undefined;
  void receiver.receive({}).then((hasAll) => {
    received = hasAll;
  });
  await vi.advanceTimersByTimeAsync(HISTORY_WAIT_MS - 60_000);
  expect(received).toBeUndefined();
  expect(await fresh.store.records("history-from-device/")).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(180_000);
  expect(received).toBe(false);
  expect(await fresh.store.records("")).toEqual([]);
  expect(archives.archives.size).toBe(0);
});

test("nothing that was promised is nothing that is missing", async () => {
  expect(await new HistoryReceiver(await newDevice(new FakeArchives())).receive({})).toBe(true);
});

test("what goes wrong for good on its way is waited for no longer", async () => {
  const archives = new FakeArchives();
  const fresh = await newDevice(archives);
  const receiver = new HistoryReceiver(fresh);
  await receiver.expect({ archive: "AAAAAAAAAAAAAAAAAAAAAA", archiveKey: makeArchiveKey() });
  await archives.begin("AAAAAAAAAAAAAAAAAAAAAA", 1);
  await archives.putManifest("AAAAAAAAAAAAAAAAAAAAAA", new Uint8Array(156));
  await expect(receiver.receive({})).rejects.toMatchObject({ code: "backup_unsigned" });
  expect(await receiver.receive({})).toBe(true);
  expect(await fresh.store.records("")).toEqual([]);
});
