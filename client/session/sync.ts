import type { ConversationId } from "../../shared/ids.ts";
import { MAX_CURSORS_PER_FRAME } from "../../shared/limits.ts";
import type { Position, Sync } from "../../shared/protocol/up.ts";
import type { Turn } from "./turn.ts";

/** Asks for everything beyond what this device has, in every conversation. */
export function compareEverything(turn: Turn): number {
  return requestSync(
    turn,
    "all",
    // Of what it has nothing of, the server sends everything anyway; it may not even know of it yet.
    [...turn.state.conversations].flatMap(([id, { have }]) => (have > 0 ? [[id, have] as const] : [])),
  );
}

/** Whatever this device may have missed of a conversation; nobody waits for the end of it. */
export function fetchNews(turn: Turn, conversation: ConversationId): void {
  if (turn.isWelcome) requestSync(turn, "listed", [[conversation, turn.conversation(conversation).have]]);
}

/** @param cursors what this device has @returns the number of the request */
export function requestSync(
  turn: Turn,
  scope: Sync["scope"],
  cursors: readonly (readonly [ConversationId, number])[],
): number {
  const request = turn.state.lastRequest + 1;
  turn.update({ lastRequest: request });
  let offset = 0;
  do {
    const chunk = cursors.slice(offset, offset + MAX_CURSORS_PER_FRAME);
    const positions = chunk.map(([id, have]): Position => [id, have, turn.conversation(id).read]);
    offset += MAX_CURSORS_PER_FRAME;
    turn.transmit({ type: "sync", request, cursors: positions, scope, more: offset < cursors.length });
  } while (offset < cursors.length);
  return request;
}
