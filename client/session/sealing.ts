import type { ConversationId, MessageId } from "../../shared/ids.ts";
import { MAX_IN_FLIGHT_SENDS } from "../../shared/limits.ts";
import type { SealedMessage } from "./contract.ts";
import type { QueuedMessage } from "./state.ts";
import type { Turn } from "./turn.ts";

/**
 * A message is sealed just before it goes, in the write that also moves the ratchet: what was written offline is so sealed
 * in the epoch that holds when it goes. From then on it is transmitted as it is, until the server says that its epoch is over.
 * While a write is under way nothing is asked for: what is gathered meanwhile may be the commit after which it is sealed.
 */
export function sealQueued(turn: Turn): void {
  const { ready, unsealable, writing } = turn.state;
  if (!turn.isWelcome || writing) return;
  const next = ready.filter((conversation) => !unsealable.has(conversation)).slice(0, MAX_IN_FLIGHT_SENDS);
  for (const [conversation, count] of sharesOf(turn, next)) sealNext(turn, conversation, count);
}

/** What was asked to be sealed and was not, cannot be for now. */
export function receiveSealed(turn: Turn, batch: number, sealed: readonly SealedMessage[]): void {
  const { writing } = turn.state;
  if (writing?.number !== batch) return;
  const bodies = new Map(sealed.map(({ conversation, id, body }) => [`${conversation} ${id}`, body]));
  for (const conversation of writing.sealing) {
    const { queue } = turn.conversation(conversation);
    const settled = queue.map((message): QueuedMessage => {
      if (message.sealing !== batch) return message;
      return { ...message, body: bodies.get(`${conversation} ${message.id}`), sealing: undefined };
    });
    turn.updateConversation(conversation, { queue: settled });
    const hasFailed = queue.some((message, at) => message.sealing === batch && settled[at]?.body === undefined);
    if (hasFailed) turn.update({ unsealable: new Set(turn.state.unsealable).add(conversation) });
  }
}

/** What is being sealed there may still fail for the old reason: it is sealed anew, and this answer counts for nothing. */
export function becomeSealable(turn: Turn, conversation: ConversationId): void {
  const unsealable = new Set(turn.state.unsealable);
  if (unsealable.delete(conversation)) turn.update({ unsealable });
  if (!turn.state.writing?.sealing.has(conversation)) return;
  const { queue } = turn.conversation(conversation);
  turn.updateConversation(conversation, { queue: queue.map((message) => ({ ...message, sealing: undefined })) });
}

/**
 * An epoch is over: of this message and those behind it nothing that is sealed will be taken. All of them are sealed anew,
 * so that keys are used in the order of the queue; those that are under way once they are refused too.
 * @returns how often that had happened before without a message that was taken in between
 */
export function unsealFrom(turn: Turn, conversation: ConversationId, id: MessageId): number {
  const { queue } = turn.conversation(conversation);
  const first = queue.findIndex((message) => message.id === id);
  const inFlight = new Map(turn.state.inFlight);
  const unsealed = queue.map((message, index) => {
    const flight = inFlight.get(message.id);
    if (flight && index > first) inFlight.set(message.id, { ...flight, isStale: true });
    return flight || index < first ? message : withoutSeal(message);
  });
  turn.updateConversation(conversation, { queue: unsealed });
  const times = turn.state.staleness.get(conversation) ?? 0;
  turn.update({ inFlight, staleness: new Map(turn.state.staleness).set(conversation, times + 1) });
  return times;
}

export function withoutSeal({ id, content }: QueuedMessage): QueuedMessage {
  return { id, content, body: undefined, sealing: undefined };
}

/** Something sealed was taken: this device is where the server is. */
export function noteCurrent(turn: Turn, conversation: ConversationId): void {
  if (!turn.state.staleness.has(conversation)) return;
  const staleness = new Map(turn.state.staleness);
  staleness.delete(conversation);
  turn.update({ staleness });
}

/** How many of each go next, one of each in turn: together no more than may be under way. */
function sharesOf(turn: Turn, conversations: readonly ConversationId[]): ReadonlyMap<ConversationId, number> {
  const shares = new Map<ConversationId, number>();
  let room = MAX_IN_FLIGHT_SENDS;
  for (let share = 1; share <= MAX_IN_FLIGHT_SENDS && room > 0; share++) {
    for (const conversation of conversations) {
      if (room === 0 || turn.conversation(conversation).queue.length < share) continue;
      shares.set(conversation, share);
      room -= 1;
    }
  }
  return shares;
}

/** In order. What is ahead of the server's clock goes alone and may get another id: it is sealed when it comes first. */
function sealNext(turn: Turn, conversation: ConversationId, count: number): void {
  const { queue } = turn.conversation(conversation);
  const isWaiting = ({ body, sealing }: QueuedMessage) => body === undefined && sealing === undefined;
  const first = queue.slice(0, count);
  const ahead = first.findIndex(({ id }) => turn.isAhead(id));
  const next = first.slice(0, ahead < 0 ? count : Math.max(ahead, 1)).filter(isWaiting);
  if (next.length === 0) return;
  for (const { id, content } of next) turn.seal({ conversation, id, content });
  const sealing = turn.state.gathering.number;
  const marked = queue.map((message) => (next.includes(message) ? { ...message, sealing } : message));
  turn.updateConversation(conversation, { queue: marked });
}
