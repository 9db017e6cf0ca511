import {
  close,
  connect,
  connectTimedOut,
  goOffline,
  pingDue,
  provedStable,
  receivePong,
  reconnectDue,
  socketClosed,
  socketOpened,
  ticketFailed,
  ticketObtained,
} from "./connection.ts";
import type { Effect, EventOf, EventType, Phase, SessionEvent, TimerName } from "./contract.ts";
import { receiveFrame } from "./frames.ts";
import { fetchGaps, scheduleRepair } from "./inbox.ts";
import { failUnsealed, queueMessage, resumePaused, transmitQueued } from "./outbox.ts";
import { markRead, transmitReads } from "./read-marks.ts";
import { becomeSealable, receiveSealed, sealQueued } from "./sealing.ts";
import type { SessionState } from "./state.ts";
import { Turn } from "./turn.ts";
import { expireTyping, tellTyping } from "./typing.ts";
import { batchPersisted, isAllPersisted, writeGathered } from "./writing.ts";

export interface Step {
  readonly state: SessionState;
  readonly effects: readonly Effect[];
}

/** What a session does next; contract.ts says how to drive it. `now` is in whole ms since 1970, by the device's clock. */
export function step(state: SessionState, event: SessionEvent, now: number): Step {
  if ("connection" in event && event.connection !== state.connection) return { state, effects: [] };
  const turn = new Turn(state, now);
  const handle = table[state.phase][event.type] as (turn: Turn, event: SessionEvent) => void;
  handle(turn, event);
  settle(turn);
  return { state: turn.state, effects: turn.effects };
}

type Handlers = { readonly [T in EventType]: (turn: Turn, event: EventOf<T>) => void };

const ignore = () => {};

const timers: Record<TimerName, (turn: Turn) => void> = {
  connect: connectTimedOut,
  reconnect: reconnectDue,
  stable: provedStable,
  ping: pingDue,
  gap: fetchGaps,
  retry: resumePaused,
  typing: expireTyping,
};

/** Works with or without a connection. */
const local = {
  send: queueMessage,
  read: (turn, { conversation, seq }) => markRead(turn, conversation, seq),
  timer: (turn, { name }) => timers[name](turn),
  persisted,
  // As after a crash, only the store knows what holds. The batch stays under way for ever: nothing is written after it.
  persist_failed: (turn) => close(turn, "store_failed"),
  sealable: (turn, { conversation }) => becomeSealable(turn, conversation),
  unsendable: (turn, { conversation, code }) => failUnsealed(turn, conversation, code),
} satisfies Partial<Handlers>;

const offline: Handlers = {
  ...local,
  connect,
  disconnect: ignore,
  ticket_obtained: ignore,
  ticket_failed: ignore,
  socket_opened: ignore,
  socket_closed: ignore,
  frame: ignore,
  pong: ignore,
  typing: ignore,
};

const connecting: Handlers = {
  ...offline,
  connect: ignore,
  disconnect: goOffline,
  ticket_obtained: ticketObtained,
  ticket_failed: ticketFailed,
  socket_opened: socketOpened,
  socket_closed: socketClosed,
};

const greeting: Handlers = {
  ...connecting,
  ticket_obtained: ignore,
  ticket_failed: ignore,
  socket_opened: ignore,
  frame: receiveFrame,
  pong: receivePong,
};

const welcomed: Handlers = { ...greeting, typing: (turn, { conversation }) => tellTyping(turn, conversation) };

/** Complete: a state or an event without its place here does not compile. */
const table: Record<Phase, Handlers> = {
  offline,
  connecting,
  greeting,
  comparing: welcomed,
  catching_up: welcomed,
  live: welcomed,
  backing_off: { ...offline, disconnect: goOffline },
  closed: {
    ...offline,
    connect: ignore,
    send: (turn, { ref }) => turn.emit({ type: "refused", ref, code: "closed" }),
    read: ignore,
    timer: ignore,
  },
};

function persisted(turn: Turn, { batch, sealed }: EventOf<"persisted">): void {
  receiveSealed(turn, batch, sealed);
  batchPersisted(turn, batch);
}

/** What follows from the new state, whatever led to it. */
function settle(turn: Turn): void {
  sealQueued(turn);
  writeGathered(turn);
  transmitQueued(turn);
  transmitReads(turn);
  scheduleRepair(turn);
  const { phase, caughtUp, gaps } = turn.state;
  if (phase !== "live" || caughtUp || gaps.size > 0 || !isAllPersisted(turn)) return;
  turn.update({ caughtUp: true });
  turn.emit({ type: "caught_up" });
}
