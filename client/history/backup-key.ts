import * as v from "valibot";
import { keyIdOf } from "../backup/key-id.ts";
import { decodeRecord, encodeRecord } from "../encryption/record.ts";
import type { Store, StoreChange } from "../store/store.ts";

/** The key of the person's backup, with which this device can keep it up to date; the code that opens it is kept nowhere. */
export interface BackupKey {
  readonly archiveKey: Uint8Array;
  readonly keyId: string;
}

const KEY = "backup-key";
const Fields = v.object({ keyId: v.string() });

export async function loadBackupKey(store: Store): Promise<BackupKey | undefined> {
  const record = await store.record(KEY);
  if (!record) return undefined;
  const { fields, blobs } = decodeRecord(Fields, record);
  const [archiveKey] = blobs;
  return archiveKey && { archiveKey, ...fields };
}

/** @param archiveKey undefined: there is no backup any more */
export async function backupKeyChange(archiveKey: Uint8Array | undefined): Promise<StoreChange> {
  const value = archiveKey && encodeRecord({ keyId: await keyIdOf(archiveKey) }, [archiveKey]);
  return { type: "record", key: KEY, value };
}
