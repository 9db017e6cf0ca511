import { DELETION_WINDOW_MS } from "../../shared/limits.ts";
import type { MessageState, Origin, WasAdmin } from "./message-state.ts";

/** One's own message, or as an admin anybody's, for 48 hours by the server's clock. Nothing of it is left, and nothing comes back. */
export function applyDeletion(state: MessageState, by: Origin, wasAdmin: WasAdmin): MessageState {
  const isAllowed = by.at - state.at <= DELETION_WINDOW_MS && (by.user === state.user || wasAdmin(by));
  if (!isAllowed) return state;
  const nothing = { content: undefined, reactions: new Map(), votes: new Map(), isPinned: false };
  return { ...state, ...nothing, deletedBy: by.user };
}
