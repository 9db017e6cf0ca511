import type { ConversationId } from "../../shared/ids.ts";
import { readContent } from "../chat/message.ts";
import { isLocalKind } from "../content/local.ts";
import { archivedChange } from "../encryption/restored.ts";
import type { Owner, PlacedMessage, Store, StoreChange, StoredMessage } from "../store/store.ts";
import type { HistoryPage } from "./page.ts";
import { isUnreadable } from "./read-history.ts";

const SCAN_LIMIT = 256;

export interface ImportInto {
  readonly owner: Owner;
  readonly store: Pick<Store, "scan" | "find">;
  /** Up to where a conversation has been read here. */
  readonly readOf: (conversation: ConversationId) => number;
}

/**
 * What a page adds to what this device has: messages for places that are empty, and content for those that this device could
 * not read. What it could read stays as it is, and so do its cursors: it goes through the log as if nothing had been
 * imported. To be written before anything else is.
 */
export async function importPage(
  { conversation, read, have, messages }: HistoryPage,
  into: ImportInto,
): Promise<StoreChange[]> {
  const there = await placesOf(into.store, conversation, messages);
  const changes = [archivedChange(conversation, have ?? messages.at(-1)?.seq ?? 0)];
  for (const message of messages) {
    const { seq, id, content, isEvent } = message;
    const stored = there.get(seq);
    if (!stored && !(await isStillToCome(message, into))) changes.push({ type: "message", ...message });
    if (stored?.id !== id || !isUnreadable(stored.content)) continue;
    changes.push({ type: "replace", conversation, seq, content, isEvent });
  }
  if (read <= into.readOf(conversation)) return changes;
  // The server has heard of it from the device that read it.
  return [...changes, { type: "read", conversation, seq: read }, { type: "read_confirmed", conversation, seq: read }];
}

/**
 * What this very device wrote a moment ago may have reached the other one's archive before this one knows its place: it comes
 * by the log, which also says that it was taken.
 */
async function isStillToCome(message: PlacedMessage, { owner, store }: ImportInto): Promise<boolean> {
  if (message.device !== owner.device) return false;
  const isOfLog = isLocalKind(readContent(message.content).kind);
  return isOfLog || (await store.find(message.conversation, message.id)) !== undefined;
}

async function placesOf(
  store: Pick<Store, "scan">,
  conversation: ConversationId,
  messages: readonly PlacedMessage[],
): Promise<Map<number, StoredMessage>> {
  const places = new Map<number, StoredMessage>();
  const last = messages.at(-1)?.seq ?? 0;
  for (let after = (messages[0]?.seq ?? 1) - 1; after < last; ) {
    const scanned = await store.scan(conversation, after, SCAN_LIMIT);
    for (const message of scanned) if (message.seq !== undefined) places.set(message.seq, message);
    after = scanned.length === SCAN_LIMIT ? (scanned.at(-1)?.seq ?? last) : last;
  }
  return places;
}
