import * as v from "valibot";
import { type ConversationId, Cursor } from "../../shared/ids.ts";
import type { Store, StoreChange } from "../store/store.ts";
import { decodeRecord, encodeRecord } from "./record.ts";

/** There on a device that began with a backup. */
const RESTORED = "restored";
const ARCHIVED = "archived/";
const Fields = v.object({ through: Cursor });

export const restoredChange: StoreChange = { type: "record", key: RESTORED, value: encodeRecord({}) };

/** What an archive has of a conversation: everything up to this place that was to be kept. */
export function archivedChange(conversation: ConversationId, through: Cursor): StoreChange {
  return { type: "record", key: ARCHIVED + conversation, value: encodeRecord({ through }) };
}

/**
 * What was said between the backup and the day on which this device began was this person's to read, on devices that they
 * have lost: it is missing here, while what a device cannot read that was linked comes from the one that has linked it.
 */
export async function isFromBeforeRestoring(
  store: Pick<Store, "record">,
  { conversation, seq }: { readonly conversation: ConversationId; readonly seq: number },
): Promise<boolean> {
  if (!(await store.record(RESTORED))) return false;
  const archived = await store.record(ARCHIVED + conversation);
  return seq > (archived ? decodeRecord(Fields, archived).fields.through : 0);
}
