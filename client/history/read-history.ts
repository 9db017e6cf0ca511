import type { ConversationId } from "../../shared/ids.ts";
import { MAX_HISTORY_PAGE_BYTES, MAX_HISTORY_PAGE_MESSAGES } from "../../shared/limits.ts";
import type { Progress } from "../backup/transfer.ts";
import type { PlacedRecord } from "../backup/upload.ts";
import { readContent } from "../chat/message.ts";
import { expiresAt } from "../content/expiry.ts";
import type { ConversationSummary, PlacedMessage, Store, StoredMessage } from "../store/store.ts";
import { encodePage } from "./page.ts";

/** How far one has got in a store: conversations follow each other by their ids, messages by their places. */
export interface HistoryPosition {
  readonly conversation: ConversationId;
  readonly seq: number;
}

/**
 * Everything of the store that can be read, beyond a position, as records of an archive. What has disappeared by now stays
 * behind.
 */
export async function* readHistory(
  store: Pick<Store, "conversations" | "scan">,
  after: HistoryPosition | undefined,
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
    if (!position) return { done: 0, total };
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
