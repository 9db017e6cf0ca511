import { type ConversationId, directPeer, type UserId } from "../shared/ids.ts";
import type { ConversationState } from "./session/state.ts";

/** How far the others have got. */
export interface Ticks {
  readonly delivered: number;
  readonly read: number;
}

/** 🕓 pending, or held back by somebody's unconfirmed key; ✓ sent, ✓✓ delivered, read — of my messages; those of others are just received. */
export type MessageStatus = "pending" | "held" | "sent" | "delivered" | "read" | "failed" | "received";

/** In a group the ticks stand for all others together, whom the server sums up without naming anyone. */
export function decidesTicks(receipt: { conversation: ConversationId; user: UserId | undefined }, self: UserId) {
  return receipt.user === directPeer(receipt.conversation, self);
}

export function ticksOf(
  state: Pick<ConversationState, "peers"> | undefined,
  conversation: ConversationId,
  self: UserId,
): Ticks {
  return state?.peers.get(directPeer(conversation, self)) ?? { delivered: 0, read: 0 };
}

export function statusOf(
  message: { user: UserId; seq: number | undefined; failure: unknown },
  ticks: Ticks,
  self: UserId,
  isHeld: boolean,
): MessageStatus {
  const { user, seq, failure } = message;
  if (user !== self) return "received";
  if (failure !== undefined) return "failed";
  if (seq === undefined) return isHeld ? "held" : "pending";
  if (seq <= ticks.read) return "read";
  return seq <= ticks.delivered ? "delivered" : "sent";
}
