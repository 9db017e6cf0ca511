import { closeCodes, defaultRetry, type ErrorCode, type Retry } from "../../shared/errors.ts";
import {
  CONNECT_TIMEOUT_MS,
  PING_INTERVAL_MS,
  RECONNECT_MAX_MS,
  RECONNECT_MIN_MS,
  RECONNECT_STABLE_MS,
} from "../../shared/limits.ts";
import type { EventOf, SessionErrorCode } from "./contract.ts";
import { endRepair } from "./inbox.ts";
import { recallInFlight } from "./outbox.ts";
import { confirmReads, recallReads } from "./read-marks.ts";
import type { Turn } from "./turn.ts";

/** From wanting to be online to being greeted, and what follows when a connection ends. */
export function connect(turn: Turn): void {
  const connection = turn.state.connection + 1;
  turn.update({ connection, caughtUp: false });
  turn.cancelTimers("reconnect");
  turn.startTimer("connect", CONNECT_TIMEOUT_MS);
  turn.enter("connecting");
  turn.effects.push({ type: "obtainTicket", connection });
}

export function ticketObtained(turn: Turn, { connection, ticket }: EventOf<"ticket_obtained">): void {
  turn.effects.push({ type: "openSocket", connection, ticket });
}

export function ticketFailed(turn: Turn, { code, retry }: EventOf<"ticket_failed">): void {
  endConnection(turn, code, retry);
}

export function socketOpened(turn: Turn): void {
  turn.update({ heardAt: turn.now, pingedAt: turn.now });
  turn.startTimer("ping", PING_INTERVAL_MS);
  turn.enter("greeting");
  turn.transmit({ type: "hello", client: turn.state.config.client });
}

export function socketClosed(turn: Turn, { code }: EventOf<"socket_closed">): void {
  const reason = reasons.get(code);
  if (reason === undefined) backOff(turn, 0);
  else endConnection(turn, reason, defaultRetry[reason]);
}

/** The server is known to be there and to agree on who this is. */
export function greeted(turn: Turn): void {
  turn.cancelTimers("connect");
  turn.startTimer("stable", RECONNECT_STABLE_MS);
}

/** Only these end the session; anything else may be better on the next connection, however long that takes. */
const lasting: ReadonlySet<SessionErrorCode> = new Set([
  "replaced",
  "revoked",
  "signed_out",
  "unauthenticated",
  "forbidden_origin",
]);

export function endConnection(turn: Turn, code: SessionErrorCode, retry: Retry): void {
  if (lasting.has(code)) close(turn, code);
  else backOff(turn, typeof retry === "number" ? retry : 0);
}

export function goOffline(turn: Turn): void {
  leave(turn);
  turn.update({ attempts: 0 });
  turn.enter("offline");
}

/** For good. */
export function close(turn: Turn, code: SessionErrorCode): void {
  leave(turn);
  turn.cancelTimers("retry");
  turn.update({ closedBy: code });
  turn.enter("closed", code);
}

/** Full jitter, so that those who lost their connections together do not come back together. */
export function backOff(turn: Turn, minimumMs: number): void {
  leave(turn);
  const { attempts, config } = turn.state;
  const ceiling = Math.min(RECONNECT_MIN_MS * 2 ** attempts, RECONNECT_MAX_MS);
  turn.update({ attempts: attempts + 1 });
  turn.enter("backing_off");
  turn.startTimer("reconnect", minimumMs + Math.floor(config.random() * ceiling));
}

export function connectTimedOut(turn: Turn): void {
  const { phase } = turn.state;
  if (phase === "connecting" || phase === "greeting") backOff(turn, 0);
}

export function reconnectDue(turn: Turn): void {
  if (turn.state.phase === "backing_off") connect(turn);
}

export function provedStable(turn: Turn): void {
  if (turn.isWelcome) turn.update({ attempts: 0 });
}

/** Two intervals without a sound: the socket is dead, though nobody has closed it. */
export function pingDue(turn: Turn): void {
  if (!turn.isConnected) return;
  if (turn.now - turn.state.heardAt >= 2 * PING_INTERVAL_MS) backOff(turn, 0);
  else ping(turn);
}

function ping(turn: Turn): void {
  turn.update({ pingedAt: turn.now });
  turn.effects.push({ type: "ping" });
  turn.startTimer("ping", PING_INTERVAL_MS);
}

/** What went up before the ping has arrived. */
export function receivePong(turn: Turn): void {
  heard(turn);
  confirmReads(turn, turn.state.pingedAt);
}

export function heard(turn: Turn): void {
  turn.update({ heardAt: turn.now });
}

const reasons: ReadonlyMap<number, ErrorCode> = new Map(
  Object.entries(closeCodes).map(([reason, code]) => [code, reason as keyof typeof closeCodes]),
);

function leave(turn: Turn): void {
  const { connection, phase } = turn.state;
  if (phase === "connecting" || turn.isConnected) turn.effects.push({ type: "closeSocket", connection });
  turn.cancelTimers("connect", "reconnect", "stable", "ping", "gap");
  turn.update({ caughtUp: false });
  recallInFlight(turn);
  recallReads(turn);
  endRepair(turn);
}
