import type { ConversationId, UserId } from "../../shared/ids.ts";
import { MAX_TYPISTS, TYPING_INTERVAL_MS, TYPING_SHOWN_MS } from "../../shared/limits.ts";
import type { Typist } from "./state.ts";
import type { Turn } from "./turn.ts";

/** The person types here. Worth telling only now, and not with every key. */
export function tellTyping(turn: Turn, conversation: ConversationId): void {
  if (turn.now - turn.conversation(conversation).typedAt < TYPING_INTERVAL_MS) return;
  turn.updateConversation(conversation, { typedAt: turn.now });
  turn.transmit({ type: "typing", conversation });
}

export function receiveTyping(turn: Turn, conversation: ConversationId, user: UserId): void {
  const key = keyOf(conversation, user);
  const { typing } = turn.state;
  if (!typing.has(key)) {
    if (typing.size >= MAX_TYPISTS) return;
    turn.emit({ type: "typing", conversation, user, active: true });
  }
  setTypists(turn, new Map(typing).set(key, { conversation, user, until: turn.now + TYPING_SHOWN_MS }));
}

/** Whoever has sent the message is not typing it any more. */
export function stopTyping(turn: Turn, conversation: ConversationId, user: UserId): void {
  const key = keyOf(conversation, user);
  if (!turn.state.typing.has(key)) return;
  const typing = new Map(turn.state.typing);
  typing.delete(key);
  turn.emit({ type: "typing", conversation, user, active: false });
  setTypists(turn, typing);
}

export function expireTyping(turn: Turn): void {
  const remaining = new Map(turn.state.typing);
  for (const [key, { conversation, user, until }] of turn.state.typing) {
    if (until > turn.now) continue;
    remaining.delete(key);
    turn.emit({ type: "typing", conversation, user, active: false });
  }
  setTypists(turn, remaining);
}

function setTypists(turn: Turn, typing: ReadonlyMap<string, Typist>): void {
  turn.update({ typing });
  const next = Math.min(...[...typing.values()].map((typist) => typist.until));
  if (typing.size === 0) turn.cancelTimers("typing");
  else turn.startTimer("typing", Math.max(0, next - turn.now));
}

function keyOf(conversation: ConversationId, user: UserId): string {
  return `${conversation} ${user}`;
}
