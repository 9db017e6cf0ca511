import { Refusal } from "../../shared/errors.ts";
import { type MessageId, messageTime } from "../../shared/ids.ts";
import { MAX_ID_AHEAD_MS } from "../../shared/limits.ts";
import type { DownFrame, DownType, ErrorFrame } from "../../shared/protocol/down.ts";
import { receiveAlert } from "./alerts.ts";
import { backOff, close, endConnection, greeted, heard } from "./connection.ts";
import type { EventOf } from "./contract.ts";
import { abandonGap, endRepair, receiveEntries, receiveMessage, receiveSent } from "./inbox.ts";
import { sendRefused } from "./outbox.ts";
import { receiveReceipt } from "./read-marks.ts";
import { compareEverything } from "./sync.ts";
import type { Turn } from "./turn.ts";
import { receiveTyping, stopTyping } from "./typing.ts";

type FrameOf<T extends DownType> = Extract<DownFrame, { type: T }>;
type FrameHandlers = { readonly [T in DownType]: (turn: Turn, frame: FrameOf<T>, body: Uint8Array) => void };

/** Whatever tells of messages is heeded in every state: it may overtake `welcome`. */
const handlers: FrameHandlers = {
  welcome,
  drained,
  sent: receiveSent,
  message: (turn, frame, body) => {
    stopTyping(turn, frame.conversation, frame.user);
    receiveMessage(turn, frame, body);
  },
  entries,
  receipt: receiveReceipt,
  typing: (turn, { conversation, user }) => receiveTyping(turn, conversation, user),
  alert: receiveAlert,
  refill: (turn) => turn.emit({ type: "keys_low" }),
  error: refused,
  bye: (turn, { code, retry }) => endConnection(turn, code, retry),
};

export function receiveFrame(turn: Turn, { framed: { frame, body } }: EventOf<"frame">): void {
  heard(turn);
  const handle = handlers[frame.type] as (turn: Turn, frame: DownFrame, body: Uint8Array) => void;
  handle(turn, frame, body);
}

function entries(turn: Turn, page: FrameOf<"entries">, body: Uint8Array): void {
  try {
    receiveEntries(turn, page, body);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    backOff(turn, 0);
  }
}

function welcome(turn: Turn, frame: FrameOf<"welcome">): void {
  const { phase, config } = turn.state;
  if (phase !== "greeting") return;
  if (frame.user === config.user && frame.device === config.device) enterWelcome(turn, frame);
  else close(turn, "wrong_account");
}

function enterWelcome(turn: Turn, frame: FrameOf<"welcome">): void {
  greeted(turn);
  turn.update({ clockOffset: frame.time - turn.now });
  turn.update({ awaitedRequest: frame.compare ? compareEverything(turn) : 0 });
  turn.enter(frame.compare ? "comparing" : "catching_up");
}

function drained(turn: Turn, { request }: FrameOf<"drained">): void {
  const { phase, awaitedRequest, repair } = turn.state;
  if (request === repair) endRepair(turn);
  else if (request === awaitedRequest && (phase === "comparing" || phase === "catching_up")) turn.enter("live");
}

function refused(turn: Turn, frame: ErrorFrame): void {
  if (frame.id !== undefined) refusedSend(turn, frame, frame.id);
  else if (frame.request !== undefined) refusedSync(turn, frame);
  else {
    const { code, conversation } = frame;
    turn.emit({ type: "problem", code, ...(conversation !== undefined && { conversation }) });
  }
}

/** An id that is not ahead of the server's clock as we know it, and yet is refused: the clock has been moved. */
function refusedSend(turn: Turn, { code, retry }: ErrorFrame, id: MessageId): void {
  const isClockWrong = code === "id_from_future" && messageTime(id) <= turn.serverNow + MAX_ID_AHEAD_MS / 2;
  if (isClockWrong) backOff(turn, 0);
  else sendRefused(turn, id, code, retry);
}

function refusedSync(turn: Turn, { code, retry, request, conversation }: ErrorFrame): void {
  const { awaitedRequest, repair, phase, gaps } = turn.state;
  if (request === repair) {
    if (retry === "never") for (const id of conversation ? [conversation] : gaps) abandonGap(turn, id);
    endRepair(turn);
  } else if (request === awaitedRequest && phase === "comparing" && conversation === undefined) {
    endConnection(turn, code, retry);
  }
}
