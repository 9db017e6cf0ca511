import type { ConversationId, UserId } from "../../shared/ids.ts";
import { MAX_HISTORY_PAGE_BYTES, MAX_HISTORY_PAGE_MESSAGES, MAX_HISTORY_PAGE_PINS } from "../../shared/limits.ts";
import type { Progress } from "../backup/transfer.ts";
import type { PlacedRecord } from "../backup/upload.ts";
import { readContent } from "../chat/message.ts";
import { expiresAt } from "../content/expiry.ts";
import { loadPins } from "../encryption/authenticator.ts";
import type { ConversationSummary, PlacedMessage, Store, StoredMessage } from "../store/store.ts";
import { encodePage } from "./page.ts";
import { encodePins } from "./pins-page.ts";

/**
 * How far one has got in a store: people come first, by their ids, then conversations by theirs, and messages by their places.
 */
export type HistoryPosition =
  | { readonly user: UserId }
  | { readonly conversation: ConversationId; readonly seq: number };

type MessagePosition = Exclude<HistoryPosition, { readonly user: UserId }>;

/**
 * Everything of the store that can be read, beyond a position, as records of an archive: first of all who the others are. What
 * has disappeared by now stays behind.
 */
export async function* readHistory(
  store: Pick<Store, "conversations" | "scan" | "records">,
  after: HistoryPosition | undefined,
): AsyncGenerator<PlacedRecord<HistoryPosition>, void> {
  const isAmongPeople = after === undefined || "user" in after;
  if (isAmongPeople) yield* readPins(store, after?.user);
  yield* readMessages(store, isAmongPeople ? undefined : after);
}

async function* readPins(
  store: Pick<Store, "records">,
  after: UserId | undefined,
): AsyncGenerator<PlacedRecord<HistoryPosition>, void> {
  const pins = [...(await loadPins(store))].filter(([user]) => after === undefined || user > after);
  pins.sort(([a], [b]) => (a < b ? -1 : 1));
  for (let at = 0; at < pins.length; at += MAX_HISTORY_PAGE_PINS) {
    const page = pins.slice(at, at + MAX_HISTORY_PAGE_PINS);
    const last = page.at(-1);
    if (last) yield { record: encodePins(page), position: { user: last[0] } };
  }
}

async function* readMessages(
  store: Pick<Store, "conversations" | "scan">,
  after: MessagePosition | undefined,
): AsyncGenerator<PlacedRecord<HistoryPosition>, void> {
  for (const { conversation, read, have } of await inOrder(store)) {
    if (after && conversation < after.conversation) continue;
    const page = { conversation, read, have };
    let seq = after?.conversation === conversation ? after.seq : 0;
    let isNamed = seq > 0;
    for (;;) {
      const scanned = await store.scan(conversation, seq, MAX_HISTORY_PAGE_MESSAGES);
      const last = scanned.at(-1)?.seq;
      if (last === undefined) break;
      seq = last;
      for (const messages of pagesOf(scanned.filter(isShown))) {
        const position = { conversation, seq: messages.at(-1)?.seq ?? seq };
        yield { record: encodePage({ ...page, messages }), position };
        isNamed = true;
      }
    }
    // Nothing of it is to be kept: that is to be known too.
    const position = { conversation, seq: Math.max(have, 1) };
    if (!isNamed) yield { record: encodePage({ ...page, messages: [] }), position };
  }
}

/** How much of the store lies behind a position, in places. */
export async function measureHistory(
  store: Pick<Store, "conversations">,
): Promise<(position: HistoryPosition | undefined) => Progress> {
  const sizes = (await inOrder(store)).map((summary) => [summary.conversation, sizeOf(summary)] as const);
  const total = sizes.reduce((sum, [, size]) => sum + size, 0);
  return (position) => {
    if (!position || "user" in position) return { done: 0, total };
    const before = sizes.filter(([conversation]) => conversation < position.conversation);
    const done = before.reduce((sum, [, size]) => sum + size, position.seq);
    return { done: Math.min(done, total), total };
  };
}

export function isUnreadable(content: Uint8Array): boolean {
  return readContent(content).kind === "unreadable";
}

async function inOrder(store: Pick<Store, "conversations">): Promise<ConversationSummary[]> {
  const summaries = await store.conversations();
  return summaries.sort((a, b) => (a.conversation < b.conversation ? -1 : 1));
}

/** What was imported and never synced lies above what the device has. */
function sizeOf({ have, last }: ConversationSummary): number {
  return Math.max(have, last?.seq ?? 0);
}

function isShown(message: StoredMessage): message is StoredMessage & PlacedMessage {
  const content = readContent(message.content);
  const isOver = (expiresAt(content, message.at) ?? Number.POSITIVE_INFINITY) <= Date.now();
  return message.seq !== undefined && content.kind !== "unreadable" && content.kind !== "erased" && !isOver;
}

/** Cut where a page would become too large. */
function pagesOf(messages: readonly PlacedMessage[]): PlacedMessage[][] {
  const pages: PlacedMessage[][] = [];
  let size = Number.POSITIVE_INFINITY;
  for (const message of messages) {
    size += message.content.byteLength;
    if (size > MAX_HISTORY_PAGE_BYTES) {
      pages.push([]);
      size = message.content.byteLength;
    }
    pages.at(-1)?.push(message);
  }
  return pages;
}
