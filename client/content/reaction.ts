import type { UserId } from "../../shared/ids.ts";
import type { ContentOf } from "./kinds.ts";
import type { MessageState, Origin } from "./message-state.ts";

export interface ReactionCount {
  readonly emoji: string;
  /** In the order in which they reacted. */
  readonly users: readonly UserId[];
}

/** A person has one reaction to a message, the last. */
export function applyReaction(state: MessageState, { emoji }: ContentOf<"reaction">, by: Origin): MessageState {
  const reactions = new Map(state.reactions);
  reactions.delete(by.user);
  if (emoji !== "") reactions.set(by.user, emoji);
  return { ...state, reactions };
}

/** Most frequent first; of those that are equally frequent, the one that came first. */
export function countReactions(reactions: MessageState["reactions"]): ReactionCount[] {
  const byEmoji = new Map<string, UserId[]>();
  for (const [user, emoji] of reactions) byEmoji.set(emoji, [...(byEmoji.get(emoji) ?? []), user]);
  const counts = [...byEmoji].map(([emoji, users]) => ({ emoji, users }));
  return counts.sort((a, b) => b.users.length - a.users.length);
}
