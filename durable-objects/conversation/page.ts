import type { Cursor, UserId } from "../../shared/ids.ts";
import { MAX_PAGE_BYTES, MAX_PAGE_ENTRIES } from "../../shared/limits.ts";
import type { Entry } from "../../shared/rpc.ts";
import { endFor, isFor, type State, startFor } from "./state.ts";
import type { ConversationStore } from "./store.ts";

/** A part of the log, complete up to `through` for whoever reads it. */
export interface Page {
  readonly entries: Entry[];
  readonly through: Cursor;
}

/** What a member, or somebody who was one, may have above a position. */
export function readPage(store: ConversationStore, state: State, user: UserId, after: Cursor): Page {
  const end = endFor(state, user) ?? after;
  const page = withinBytes(store.entries(startFor(state, user, after), MAX_PAGE_ENTRIES), MAX_PAGE_BYTES);
  const through = Math.min(end, page.at(-1)?.seq ?? end);
  return { entries: page.filter((entry) => isFor(state, user, entry)), through };
}

/** As many entries from the front as their bodies allow, at least one. */
export function withinBytes(entries: readonly Entry[], maxBytes: number): Entry[] {
  let bytes = 0;
  const fitting = entries.findIndex((entry, index) => {
    bytes += entry.body.byteLength;
    return index > 0 && bytes > maxBytes;
  });
  return fitting === -1 ? [...entries] : entries.slice(0, fitting);
}
