import type { ConversationId } from "../../shared/ids.ts";
import type { Base } from "./base.ts";
import type { ChatEvents } from "./chat-events.ts";

/** After any of these something in a conversation is to be shown differently. */
const events = [
  "message",
  "queued",
  "renamed",
  "sent",
  "failed",
  "receipt",
  "read",
  "replaced",
  "hidden",
  "held",
] as const satisfies (keyof ChatEvents)[];

/** @returns a function that ends it */
export function watchConversations({ listeners }: Base, changed: (conversation: ConversationId) => void): () => void {
  const ends = events.map((type) => listeners.add(type, ({ conversation }) => changed(conversation)));
  return () => {
    for (const end of ends) end();
  };
}
