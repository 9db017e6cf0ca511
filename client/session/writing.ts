import type { Change } from "./contract.ts";
import { type Batch, emptyBatch, inOrder } from "./state.ts";
import type { Turn } from "./turn.ts";

/**
 * The store writes one batch at a time: at once when it is idle; what comes meanwhile is gathered for the next.
 * What depends on a batch — events, acks, sends — waits for it.
 */
export function writeGathered(turn: Turn): void {
  const { writing, gathering } = turn.state;
  if (writing || isEmpty(gathering)) return;
  const changes = [...inOrder(gathering.changes), ...cursorChanges(gathering)];
  turn.update({ gathering: emptyBatch(gathering.number + 1) });
  if (changes.length === 0) finish(turn, gathering);
  else {
    turn.update({ writing: gathering });
    turn.effects.push({ type: "persist", batch: gathering.number, changes });
  }
}

export function batchPersisted(turn: Turn, number: number): void {
  const { writing } = turn.state;
  if (writing?.number !== number) return;
  turn.update({ writing: undefined });
  finish(turn, writing);
}

export function isAllPersisted(turn: Turn): boolean {
  return turn.state.writing === undefined && isEmpty(turn.state.gathering);
}

function isEmpty({ changes, events, inbox }: Batch): boolean {
  return changes === undefined && events === undefined && inbox.size === 0;
}

function cursorChanges({ inbox }: Batch): Change[] {
  const changes: Change[] = [];
  for (const [conversation, { cursor: have }] of inbox) {
    if (have !== undefined) changes.push({ type: "cursor", conversation, have });
  }
  return changes;
}

function finish(turn: Turn, batch: Batch): void {
  turn.update({ persistedBatch: batch.number });
  for (const [id, { cursor: have }] of batch.inbox) {
    if (have !== undefined) turn.updateConversation(id, { have });
  }
  for (const event of inOrder(batch.events)) turn.emit(event);
  if (turn.isConnected) acknowledge(turn, batch);
}

/** What brought nothing new is acknowledged too: the server sent it because it had not heard the first ack. */
function acknowledge(turn: Turn, batch: Batch): void {
  for (const [conversation, { owesAck }] of batch.inbox) {
    const { have } = turn.conversation(conversation);
    if (owesAck && have > 0) turn.transmit({ type: "ack", conversation, seq: have });
  }
}
