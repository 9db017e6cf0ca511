import type { ConversationId } from "../../shared/ids.ts";
import type { DownFrame } from "../../shared/protocol/down.ts";
import type { Turn } from "./turn.ts";

type Receipt = Extract<DownFrame, { type: "receipt" }>;

/** The person has read this far; never beyond what is persisted, and never back. */
export function markRead(turn: Turn, conversation: ConversationId, seq: number): void {
  const { have, read } = turn.conversation(conversation);
  const upTo = Math.min(seq, have);
  if (upTo <= read) return;
  turn.updateConversation(conversation, { read: upTo });
  turn.persist({ type: "read", conversation, seq: upTo });
  turn.emitOncePersisted({ type: "read", conversation, seq: upTo });
  turn.update({ unsentReads: new Map(turn.state.unsentReads).set(conversation, turn.state.gathering.number) });
}

/** Transmits the read marks that are persisted and that the server has not been told. */
export function transmitReads(turn: Turn): void {
  const { unsentReads, persistedBatch } = turn.state;
  if (!turn.isWelcome || unsentReads.size === 0) return;
  const unsent = new Map(unsentReads);
  const unconfirmed = new Map(turn.state.unconfirmedReads);
  for (const [conversation, batch] of unsentReads) {
    if (batch > persistedBatch) continue;
    turn.transmit({ type: "read", conversation, seq: turn.conversation(conversation).read });
    unsent.delete(conversation);
    unconfirmed.set(conversation, turn.now);
  }
  turn.update({ unsentReads: unsent, unconfirmedReads: unconfirmed });
}

/** The pong to a ping that followed them shows that these arrived. */
export function confirmReads(turn: Turn, before: number): void {
  for (const [conversation, at] of turn.state.unconfirmedReads) {
    const hasMovedOn = turn.state.unsentReads.has(conversation);
    if (at < before && !hasMovedOn) confirmRead(turn, conversation);
  }
}

/** The connection broke: whatever was not confirmed is told again on the next one. */
export function recallReads(turn: Turn): void {
  const { unsentReads, unconfirmedReads } = turn.state;
  if (unconfirmedReads.size === 0) return;
  const recalled = [...unconfirmedReads.keys()].map((conversation) => [conversation, 0] as const);
  turn.update({ unsentReads: new Map([...recalled, ...unsentReads]), unconfirmedReads: new Map() });
}

export function receiveReceipt(turn: Turn, receipt: Receipt): void {
  if (receipt.user === turn.state.config.user) readElsewhere(turn, receipt);
  else peerReceipt(turn, receipt);
}

function peerReceipt(turn: Turn, receipt: Receipt): void {
  const { conversation, user } = receipt;
  const { peers } = turn.conversation(conversation);
  const before = peers.get(user) ?? { delivered: 0, read: 0 };
  const read = Math.max(before.read, receipt.read);
  const delivered = Math.max(before.delivered, receipt.delivered, read);
  if (delivered === before.delivered && read === before.read) return;
  const watermark = { user, delivered, read };
  turn.updateConversation(conversation, { peers: new Map(peers).set(user, watermark) });
  turn.persist({ type: "receipt", conversation, ...watermark });
  turn.emitOncePersisted({ type: "receipt", conversation, ...watermark });
}

function readElsewhere(turn: Turn, { conversation, read: seq }: Receipt): void {
  const { read } = turn.conversation(conversation);
  const { unsentReads, unconfirmedReads } = turn.state;
  if (seq > read) {
    turn.updateConversation(conversation, { read: seq });
    turn.persist({ type: "read", conversation, seq });
    turn.emitOncePersisted({ type: "read", conversation, seq });
  }
  const wasOpen = unsentReads.has(conversation) || unconfirmedReads.has(conversation);
  if (seq > read || (seq === read && wasOpen)) confirmRead(turn, conversation);
}

function confirmRead(turn: Turn, conversation: ConversationId): void {
  const unsentReads = new Map(turn.state.unsentReads);
  const unconfirmedReads = new Map(turn.state.unconfirmedReads);
  unsentReads.delete(conversation);
  unconfirmedReads.delete(conversation);
  turn.update({ unsentReads, unconfirmedReads });
  turn.persist({ type: "read_confirmed", conversation, seq: turn.conversation(conversation).read });
}
