import type { ErrorCode, Retry } from "../../shared/errors.ts";
import { type ConversationId, type MessageId, messageTime } from "../../shared/ids.ts";
import {
  EPOCH_WAIT_MS,
  MAX_BODY_BYTES,
  MAX_CONTENT_BYTES,
  MAX_ID_AHEAD_MS,
  MAX_IN_FLIGHT_SENDS,
  MAX_MESSAGES_PER_FRAME,
  MAX_OUTBOX_MESSAGES,
  RECONNECT_MAX_MS,
} from "../../shared/limits.ts";
import { joinBodies } from "../../shared/protocol/codec.ts";
import type { SealedMessage, SendEvent, SessionErrorCode } from "./contract.ts";
import { mintId } from "./message-ids.ts";
import { becomeSealable, noteCurrent, unsealFrom, withoutSeal } from "./sealing.ts";
import type { InFlight, QueuedMessage } from "./state.ts";
import { fetchNews } from "./sync.ts";
import type { Turn } from "./turn.ts";

/** Room that a message's part of a frame's header takes, generously. */
const MESSAGE_HEADER_BYTES = 64;

/**
 * A message is persisted before it is transmitted, and leaves only when the server has said where it stands. Within a
 * conversation first in, first out; among conversations in turn.
 */
export function queueMessage(turn: Turn, event: SendEvent): void {
  const code = reasonToRefuse(turn, event.content);
  if (code) turn.emit({ type: "refused", ref: event.ref, code });
  else append(turn, event);
}

function append(turn: Turn, { ref, conversation, content, request }: SendEvent): void {
  const id = mint(turn);
  const at = turn.serverNow;
  const { queue } = turn.conversation(conversation);
  const message: QueuedMessage = { id, content, body: undefined, sealing: undefined };
  turn.updateConversation(conversation, { queue: [...queue, message] });
  turn.update({ outboxSize: turn.state.outboxSize + 1 });
  turn.persist({ type: "queue", conversation, id, at, content, ...(request !== undefined && { request }) });
  turn.emitOncePersisted({ type: "queued", ref, conversation, id, at });
  makeReady(turn, [conversation]);
}

/**
 * Transmits as much as may be under way: one message of each conversation in turn. What was refused waits until all that
 * went behind it has been answered too: it was refused with it, or else the order is lost already.
 */
export function transmitQueued(turn: Turn): void {
  const { state } = turn;
  if (!turn.isWelcome || state.ready.length === 0 || state.inFlight.size >= MAX_IN_FLIGHT_SENDS) return;
  const inFlight = new Map(state.inFlight);
  const ready = [...state.ready];
  const blocked: ConversationId[] = [];
  const going = new Map<ConversationId, SealedMessage[]>();
  while (inFlight.size < MAX_IN_FLIGHT_SENDS) {
    const conversation = ready.shift();
    if (conversation === undefined) break;
    const { queue } = turn.conversation(conversation);
    const index = queue.findIndex((message) => !inFlight.has(message.id));
    const next = queue[index];
    if (!next) continue;
    const before = queue[index - 1];
    const { id, body } = next;
    const isBlocked = countOf(inFlight, conversation) > index || !mayGo(turn, next, before && inFlight.get(before.id));
    if (body === undefined || isBlocked) {
      blocked.push(conversation);
      continue;
    }
    inFlight.set(id, { conversation, wasAhead: turn.isAhead(id), isStale: false });
    going.set(conversation, [...(going.get(conversation) ?? []), { conversation, id, body }]);
    ready.push(conversation);
  }
  turn.update({ inFlight, ready: [...blocked, ...ready] });
  for (const [conversation, messages] of going) transmitMessages(turn, conversation, messages);
}

/** In as few frames as they fit into: the server and its bill count frames. */
function transmitMessages(turn: Turn, conversation: ConversationId, messages: readonly SealedMessage[]): void {
  for (const batch of batchesOf(messages)) {
    const [only, ...others] = batch;
    if (only && others.length === 0) turn.transmit({ type: "send", id: only.id, conversation }, only.body);
    else {
      const heads = batch.map(({ id, body }) => ({ id, length: body.byteLength }));
      turn.transmit({ type: "sends", conversation, messages: heads }, joinBodies(batch.map(({ body }) => body)));
    }
  }
}

function batchesOf(messages: readonly SealedMessage[]): SealedMessage[][] {
  const batches: SealedMessage[][] = [];
  let bytes = 0;
  for (const message of messages) {
    const size = message.body.byteLength + MESSAGE_HEADER_BYTES;
    const batch = batches.at(-1);
    bytes += size;
    if (batch && bytes <= MAX_BODY_BYTES && batch.length < MAX_MESSAGES_PER_FRAME) batch.push(message);
    else {
      batches.push([message]);
      bytes = size;
    }
  }
  return batches;
}

/** The server has it, at this place. @returns whether it was in the outbox until now */
export function confirmSent(turn: Turn, sent: Confirmation): boolean {
  const { conversation, id, seq, at } = sent;
  if (!remove(turn, conversation, id)) return false;
  noteCurrent(turn, conversation);
  turn.persist({ type: "sent", conversation, id, seq, at });
  turn.emitOncePersisted({ type: "sent", conversation, id, seq, at });
  return true;
}

export function isQueued(turn: Turn, conversation: ConversationId, id: MessageId): boolean {
  return turn.conversation(conversation).queue.some((message) => message.id === id);
}

interface Confirmation {
  readonly conversation: ConversationId;
  readonly id: MessageId;
  readonly seq: number;
  readonly at: number;
}

export function sendRefused(turn: Turn, id: MessageId, code: ErrorCode, retry: Retry): void {
  const flight = turn.state.inFlight.get(id);
  if (!flight) return;
  const { conversation, isStale } = flight;
  land(turn, id);
  if (isStale) replace(turn, conversation, id, withoutSeal);
  if (code === "id_from_future") rename(turn, conversation, id);
  else if (code === "epoch_stale") waitForEpoch(turn, flight, id);
  else if (retry === "never") fail(turn, conversation, id, code);
  else pause(turn, conversation, retry === "now" ? 0 : retry);
}

/** What is sealed is already on its way, and the server's to answer. */
export function failUnsealed(turn: Turn, conversation: ConversationId, code: SessionErrorCode): void {
  becomeSealable(turn, conversation);
  for (const { id, body } of turn.conversation(conversation).queue) {
    if (body === undefined) fail(turn, conversation, id, code);
  }
}

/** Conversations whose wait is over go on. */
export function resumePaused(turn: Turn): void {
  const due = [...turn.state.paused].filter(([, until]) => until <= turn.now).map(([conversation]) => conversation);
  const paused = new Map([...turn.state.paused].filter(([, until]) => until > turn.now));
  turn.update({ paused });
  makeReady(turn, due);
  startRetryTimer(turn);
}

/** Whether the server got what was under way is unknown: it is transmitted again on the next connection, first. */
export function recallInFlight(turn: Turn): void {
  const recalled = new Set([...turn.state.inFlight.values()].map(({ conversation }) => conversation));
  const ready = turn.state.ready.filter((conversation) => !recalled.has(conversation));
  turn.update({ inFlight: new Map(), ready: [] });
  makeReady(turn, [...recalled, ...ready]);
}

/** What waits has to be sealed anew, in the epoch that the server means: what brings this device there is asked for. */
function waitForEpoch(turn: Turn, { conversation, isStale }: InFlight, id: MessageId): void {
  if (isStale) return;
  const times = unsealFrom(turn, conversation, id);
  if (times > 0) turn.emit({ type: "behind", conversation });
  pause(turn, conversation, Math.min(EPOCH_WAIT_MS * 2 ** times, RECONNECT_MAX_MS));
  fetchNews(turn, conversation);
}

function reasonToRefuse(turn: Turn, content: Uint8Array): SessionErrorCode | undefined {
  if (content.byteLength > MAX_CONTENT_BYTES) return "too_large";
  if (turn.state.outboxSize >= MAX_OUTBOX_MESSAGES) return "outbox_full";
  return undefined;
}

/**
 * An id that is ahead of the server's clock may be refused; nothing of its conversation goes right before or behind it,
 * or the two might change places: the one behind may be accepted, an instant later or with an id of a better clock.
 */
function mayGo(turn: Turn, message: QueuedMessage, before: InFlight | undefined): boolean {
  return before === undefined || !(before.wasAhead || turn.isAhead(message.id));
}

function countOf(inFlight: ReadonlyMap<MessageId, InFlight>, wanted: ConversationId): number {
  let count = 0;
  for (const { conversation } of inFlight.values()) if (conversation === wanted) count += 1;
  return count;
}

function mint(turn: Turn): MessageId {
  const { config, lastMinted, clockOffset } = turn.state;
  const time = turn.serverNow;
  // What follows an id that the server would refuse would be refused as well; start again from its clock.
  const isUnusable = clockOffset !== undefined && lastMinted && messageTime(lastMinted) > time + MAX_ID_AHEAD_MS;
  const id = mintId(time, isUnusable ? undefined : lastMinted, config.random);
  turn.update({ lastMinted: id });
  return id;
}

function makeReady(turn: Turn, conversations: readonly ConversationId[]): void {
  const { ready, paused } = turn.state;
  const added = conversations.filter((conversation) => !ready.includes(conversation) && !paused.has(conversation));
  if (added.length > 0) turn.update({ ready: [...ready, ...added] });
}

function land(turn: Turn, id: MessageId): void {
  const inFlight = new Map(turn.state.inFlight);
  if (inFlight.delete(id)) turn.update({ inFlight });
}

function remove(turn: Turn, conversation: ConversationId, id: MessageId): boolean {
  const { queue } = turn.conversation(conversation);
  const index = queue.findIndex((message) => message.id === id);
  if (index < 0) return false;
  turn.updateConversation(conversation, { queue: queue.toSpliced(index, 1) });
  turn.update({ outboxSize: turn.state.outboxSize - 1 });
  land(turn, id);
  return true;
}

function replace(
  turn: Turn,
  conversation: ConversationId,
  id: MessageId,
  by: (message: QueuedMessage) => QueuedMessage,
): void {
  const queue = turn.conversation(conversation).queue.map((message) => (message.id === id ? by(message) : message));
  turn.updateConversation(conversation, { queue });
}

/** With it those behind it that would be below it: ids rise as the queue does, or nobody could tell what is new from what is old. */
function rename(turn: Turn, conversation: ConversationId, id: MessageId): void {
  const { queue } = turn.conversation(conversation);
  const first = queue.findIndex((message) => message.id === id);
  let last = giveNewId(turn, conversation, id);
  for (const message of queue.slice(first + 1)) {
    last = message.id > last ? message.id : giveNewId(turn, conversation, message.id);
  }
  makeReady(turn, [conversation]);
}

function giveNewId(turn: Turn, conversation: ConversationId, id: MessageId): MessageId {
  const newId = mint(turn);
  replace(turn, conversation, id, (message) => ({ ...withoutSeal(message), id: newId }));
  turn.persist({ type: "rename", conversation, id, newId, at: turn.serverNow });
  turn.emitOncePersisted({ type: "renamed", conversation, id, newId });
  return newId;
}

function fail(turn: Turn, conversation: ConversationId, id: MessageId, code: SessionErrorCode): void {
  remove(turn, conversation, id);
  turn.persist({ type: "failed", conversation, id, code });
  turn.emitOncePersisted({ type: "failed", conversation, id, code });
}

function pause(turn: Turn, conversation: ConversationId, ms: number): void {
  const until = Math.max(turn.now + ms, turn.state.paused.get(conversation) ?? 0);
  const ready = turn.state.ready.filter((id) => id !== conversation);
  turn.update({ ready, paused: new Map(turn.state.paused).set(conversation, until) });
  startRetryTimer(turn);
}

function startRetryTimer(turn: Turn): void {
  const { paused } = turn.state;
  if (paused.size > 0) turn.startTimer("retry", Math.max(0, Math.min(...paused.values()) - turn.now));
}
