import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { type MockInstance, vi } from "vitest";

import type { PushJob } from "../../shared/push-job.ts";
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
