import { EDIT_WINDOW_MS, MAX_EDITS_PER_MESSAGE } from "../../shared/limits.ts";
import { type ContentOf, isKnownContent, type KnownContent } from "./kinds.ts";
import type { Entry, MessageState, Origin } from "./message-state.ts";

/** One's own words, for 15 minutes by the server's clock and at most 10 times; anything else changes nothing. */
export function applyEdit(state: MessageState, edit: ContentOf<"edit">, by: Origin): MessageState {
  const isAllowed = by.user === state.user && by.at - state.at <= EDIT_WINDOW_MS && state.edits < MAX_EDITS_PER_MESSAGE;
  const content = isAllowed && state.content ? reworded(state.content, edit) : undefined;
  return content ? { ...state, content, edits: state.edits + 1, editedAt: by.at } : state;
}

/** Everything but the words stays. Undefined if this has no words, or may not have these. */
function reworded(content: Entry["content"], edit: ContentOf<"edit">): KnownContent | undefined {
  const edited = withWords(content, edit);
  return edited && isKnownContent(edited) ? edited : undefined;
}

function withWords(
  content: Entry["content"],
  { text, mentions, preview }: ContentOf<"edit">,
): KnownContent | undefined {
  switch (content.kind) {
    case "text":
      return { ...content, text, mentions, preview };
    case "image":
    case "video":
    case "document":
      return { ...content, text, mentions };
    default:
      return undefined;
  }
}
