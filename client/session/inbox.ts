import type { ConversationId } from "../../shared/ids.ts";
import { GAP_WAIT_MS, MAX_HELD_MESSAGES, RECONNECT_MAX_MS } from "../../shared/limits.ts";
import { splitBodies } from "../../shared/protocol/codec.ts";
import type { DownFrame, Entries, Message } from "../../shared/protocol/down.ts";
import type { ReceivedMessage } from "./contract.ts";
import { confirmSent, isQueued } from "./outbox.ts";
import type { HeldBack } from "./state.ts";
import { requestSync } from "./sync.ts";
import type { Turn } from "./turn.ts";

type Sent = Extract<DownFrame, { type: "sent" }>;

/**
 * Per conversation everything up to a cursor is there. What comes next is applied, what was there already is dropped,
 * what comes too early is held back until the gap has closed or has been fetched.
 */
export function receiveMessage(turn: Turn, { type: _, ...meta }: Message, body: Uint8Array): void {
  const { conversation, seq } = meta;
  const { staged } = turn.conversation(conversation);
  if (seq <= staged) turn.oweAck(conversation);
  else if (seq > staged + 1) hold(turn, conversation, seq, { ...meta, body });
  else {
    accept(turn, { ...meta, body });
    advance(turn, conversation, seq);
  }
}

/** @throws Refusal bad_frame where the bodies do not fit */
export function receiveEntries(turn: Turn, page: Entries, body: Uint8Array): void {
  const { conversation, after, through } = page;
  const bodies = splitBodies(
    page.entries.map((entry) => entry.length),
    body,
  );
  const messages = page.entries.map(
    ({ length: _, ...meta }, index): ReceivedMessage => ({ conversation, ...meta, body: bodies[index] as Uint8Array }),
  );
  const { staged } = turn.conversation(conversation);
  if (after > staged) {
    openGap(turn, conversation, through);
    for (const message of messages) hold(turn, conversation, message.seq, message);
    return;
  }
  acceptPage(turn, messages, staged);
  turn.oweAck(conversation);
  if (through > staged) advance(turn, conversation, through);
}

/** A message of this device has its place; it was applied when it was written, so only the cursor moves. */
export function receiveSent(turn: Turn, { conversation, messages, hasOrphans }: Sent): void {
  for (const { id, seq, at } of messages) {
    if (!confirmSent(turn, { conversation, id, seq, at })) continue;
    const { staged } = turn.conversation(conversation);
    if (seq > staged + 1) hold(turn, conversation, seq, "own");
    else if (seq > staged) advance(turn, conversation, seq);
  }
  if (hasOrphans) turn.emit({ type: "orphans", conversation });
}

/** One repair at a time: wait for what may only be late, then fetch. Repeated ever more slowly while something is missing. */
export function scheduleRepair(turn: Turn): void {
  const { gaps, repair, repairAttempts } = turn.state;
  if (gaps.size === 0 && repair === "waiting") {
    turn.cancelTimers("gap");
    turn.update({ repair: "none", repairAttempts: 0 });
  }
  if (gaps.size === 0 || repair !== "none" || !turn.isWelcome) return;
  turn.startTimer("gap", Math.min(GAP_WAIT_MS * 2 ** repairAttempts, RECONNECT_MAX_MS));
  turn.update({ repair: "waiting" });
}

export function fetchGaps(turn: Turn): void {
  const { gaps, repair, repairAttempts } = turn.state;
  if (repair !== "waiting" || gaps.size === 0 || !turn.isWelcome) return;
  const request = requestSync(
    turn,
    "listed",
    [...gaps].map((id) => [id, turn.conversation(id).have] as const),
  );
  turn.update({ repair: request, repairAttempts: repairAttempts + 1 });
}

/** The repair has been answered, refused or cut off. */
export function endRepair(turn: Turn): void {
  const isDone = turn.state.gaps.size === 0;
  turn.update({ repair: "none", ...(isDone && { repairAttempts: 0 }) });
}

/** What is missing here cannot be had: the person has no part in the conversation any more. */
export function abandonGap(turn: Turn, conversation: ConversationId): void {
  turn.updateConversation(conversation, { held: new Map(), head: turn.conversation(conversation).staged });
  closeGap(turn, conversation);
}

function acceptPage(turn: Turn, messages: readonly ReceivedMessage[], staged: number): void {
  let last = staged;
  for (const message of messages) {
    if (message.seq <= last) continue;
    last = message.seq;
    if (turn.conversation(message.conversation).held.get(message.seq) !== "own") accept(turn, message);
  }
}

/**
 * A message of this device that comes back while it is in the outbox only takes its place. That it is stored does not
 * mean that the others will get it: the server promises that with `sent`, and until then it is sent again.
 */
function accept(turn: Turn, message: ReceivedMessage): void {
  turn.oweAck(message.conversation);
  const isOwn = message.device === turn.state.config.device;
  if (isOwn && isQueued(turn, message.conversation, message.id)) {
    const { conversation, id, seq, body } = message;
    return turn.persist({ type: "placed", conversation, id, seq, body });
  }
  turn.persist({ type: "message", ...message });
  turn.emitOncePersisted({ type: "message", ...message });
}

/** Moves the cursor, over what was held back too. */
function advance(turn: Turn, conversation: ConversationId, through: number): void {
  const { held, head } = turn.conversation(conversation);
  const cursor = held.size === 0 ? through : releaseHeld(turn, conversation, through);
  turn.moveCursor(conversation, cursor);
  if (cursor >= head) closeGap(turn, conversation);
}

/** @returns how far one gets from `through` with what was held back */
function releaseHeld(turn: Turn, conversation: ConversationId, through: number): number {
  const held = new Map([...turn.conversation(conversation).held].filter(([seq]) => seq > through));
  let cursor = through;
  for (let next = held.get(cursor + 1); next; next = held.get(cursor + 1)) {
    cursor += 1;
    held.delete(cursor);
    if (next !== "own") accept(turn, next);
  }
  turn.updateConversation(conversation, { held });
  return cursor;
}

/** The place of an own message is always kept: it is small, and without it the message would be told twice. */
function hold(turn: Turn, conversation: ConversationId, seq: number, what: HeldBack): void {
  openGap(turn, conversation, seq);
  const { held } = turn.conversation(conversation);
  if (what !== "own" && (held.has(seq) || held.size >= MAX_HELD_MESSAGES)) return;
  turn.updateConversation(conversation, { held: new Map(held).set(seq, what) });
}

function openGap(turn: Turn, conversation: ConversationId, taken: number): void {
  const { gaps } = turn.state;
  turn.updateConversation(conversation, { head: Math.max(taken, turn.conversation(conversation).head) });
  if (!gaps.has(conversation)) turn.update({ gaps: new Set(gaps).add(conversation) });
}

function closeGap(turn: Turn, conversation: ConversationId): void {
  if (!turn.state.gaps.has(conversation)) return;
  const gaps = new Set(turn.state.gaps);
  gaps.delete(conversation);
  turn.update({ gaps });
}
