import type { ConversationId } from "../../shared/ids.ts";
import { SCAN_PAGE_MESSAGES } from "../../shared/limits.ts";
import type { Store, StoredMessage } from "../store/store.ts";

export type PlacedRow = StoredMessage & { readonly seq: number };

/** All of a conversation behind `after`, in the order of their places. */
export async function* scan(
  store: Pick<Store, "scan">,
  conversation: ConversationId,
  after: number,
): AsyncGenerator<PlacedRow> {
  for (let from = after; ; ) {
    const page = await store.scan(conversation, from, SCAN_PAGE_MESSAGES);
    for (const row of page) {
      if (row.seq === undefined) continue;
      from = row.seq;
      yield { ...row, seq: row.seq };
    }
    if (page.length < SCAN_PAGE_MESSAGES) return;
  }
}
