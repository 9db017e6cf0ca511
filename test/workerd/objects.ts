import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { type MockInstance, vi } from "vitest";
import { newMember } from "../../durable-objects/conversation/state.ts";
import { ConversationStore } from "../../durable-objects/conversation/store.ts";
import { WorkersStorage } from "../../durable-objects/runtime/workers-storage.ts";
import type { PushJob } from "../../shared/push-job.ts";
import type { Entry } from "../../shared/rpc.ts";
import type { TestDevice } from "./device.ts";

/** What a test does to an object from inside. */

type Stub = { readonly id: DurableObjectId };

export const conversation = (id: string) => env.CONVERSATION.getByName(id);
export const person = (id: string) => env.USER.getByName(id);

function inside<R>(stub: Stub, work: (state: DurableObjectState) => R | Promise<R>): Promise<R> {
  return runInDurableObject(stub as unknown as DurableObjectStub<undefined>, (_, state) => work(state));
}

export const alarmOf = (stub: Stub): Promise<number | null> => inside(stub, (state) => state.storage.getAlarm());

/** Runs the alarm that is set, now. False: none was. */
export const fireAlarm = (stub: Stub): Promise<boolean> => runDurableObjectAlarm(stub as unknown as DurableObjectStub);

/** Memory and sockets are gone from one moment to the next; what was written is on disk. */
export async function crash(stub: Stub): Promise<void> {
  await inside(stub, async (state) => {
    await state.storage.sync();
    state.abort("crash test");
  }).catch(() => {});
}

/**
 * Puts a conversation into its first epoch, in which `sealedBytes` seals. No commit stands in its log: these tests are about
 * messages, and count places from 1. @param users of a group, its owner first
 */
export async function openGroup(id: string, users: readonly string[] = []): Promise<void> {
  const stub = conversation(id);
  await inside(stub, ({ storage }) => {
    const store = new ConversationStore(new WorkersStorage(storage, null), id);
    const state = store.load();
    state.epoch ??= 1;
    for (const user of users) state.members.set(user, newMember(0, user === users[0] ? "owner" : "member"));
    store.save(state);
  });
  await evictDurableObject(stub as unknown as DurableObjectStub);
}

export const rowsOf = (stub: Stub, query: string): Promise<Record<string, SqlStorageValue>[]> =>
  inside(stub, (state) => state.storage.sql.exec(query).toArray());

export async function tablesOf(stub: Stub): Promise<string[]> {
  const rows = await rowsOf(stub, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name");
  return rows.map((row) => String(row.name)).filter((name) => !name.startsWith("_cf"));
}

export async function logOf(stub: Stub): Promise<{ seq: number; id: string }[]> {
  const tables = (await tablesOf(stub)).filter((name) => name.startsWith("log_"));
  const rows = await Promise.all(tables.map((table) => rowsOf(stub, `SELECT seq, id FROM ${table}`)));
  return rows
    .flat()
    .map(({ seq, id }) => ({ seq: Number(seq), id: String(id) }))
    .sort((a, b) => a.seq - b.seq);
}

/** The first page of what somebody may read above a position. */
export async function entriesFor(user: string, id: string, after = 0): Promise<Entry[]> {
  const watermark = { delivered: 0, read: 0, kept: 0 };
  const page = await conversation(id).readLog({ user, epoch: 1, after, watermark, notify: false, requestId: "r" });
  if (!page.ok) throw new Error(page.code);
  return page.entries;
}

/** A device's row as it is stored. */
export async function storedDevice(device: TestDevice): Promise<{
  isOpen: boolean;
  isSuspect: boolean;
  owesPush: boolean;
  dirty: [conversation: string, since: number, pushed: boolean][];
}> {
  const rows = await rowsOf(device.stub, "SELECT packed FROM device");
  const found = rows.map((row) => JSON.parse(String(row.packed))).find((row) => row.id === device.device);
  if (!found) throw new Error("no such device");
  return found;
}

export const sendsToQueue = (): MockInstance<(job: PushJob) => Promise<unknown>> =>
  vi.spyOn(env.PUSH_QUEUE, "send") as unknown as MockInstance<(job: PushJob) => Promise<unknown>>;
