import type { ErrorCode, Retry } from "../../shared/errors.ts";
import type { ConversationId, DeviceId, MessageId, UserId } from "../../shared/ids.ts";
import type { Framed } from "../../shared/protocol/codec.ts";
import type { Alert, DownFrame } from "../../shared/protocol/down.ts";
import type { UpFrame } from "../../shared/protocol/up.ts";

/**
 * What drives a session and what a session asks for. The session itself (`machine.ts`) is pure:
 *
 *     let state = initialState(config, await store.load(owner));
 *     ({ state, effects } = step(state, event, now));      // `now`: ms since 1970 by the device's clock
 *
 * Whoever drives it carries the effects out in order, and answers:
 *
 * | effect       | answer                                                                                          |
 * |--------------|-------------------------------------------------------------------------------------------------|
 * | obtainTicket | `ticket_obtained` or `ticket_failed`, with the same `connection`                                |
 * | openSocket   | `socket_opened`, then `frame` and `pong` …, at the end `socket_closed`, with the same number    |
 * | closeSocket  | nothing is needed; what still comes of that connection is ignored                               |
 * | transmit     | none; dropped if the socket is gone                                                             |
 * | ping         | `pong` when the text "pong" arrives                                                             |
 * | persist      | `persisted` or `persist_failed` with the same number; at most one is under way                  |
 * | startTimer   | `timer` after `ms`; replaces a running timer of the same name                                   |
 * | cancelTimer  | the timer must not fire any more                                                                |
 * | emit         | none; tells the app                                                                             |
 *
 * A crash is: throw the state away, load the store again. Nothing but the store needs to survive.
 * A `persist` that is under way at a crash may or may not have happened, but never in part.
 */

// ── events ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export type SessionEvent =
  /** The app wants to be connected; while backing off: now rather than later. */
  | { readonly type: "connect" }
  | { readonly type: "disconnect" }
  | { readonly type: "ticket_obtained"; readonly connection: number; readonly ticket: string }
  | {
      readonly type: "ticket_failed";
      readonly connection: number;
      readonly code: SessionErrorCode;
      readonly retry: Retry;
    }
  | { readonly type: "socket_opened"; readonly connection: number }
  | { readonly type: "socket_closed"; readonly connection: number; readonly code: number }
  | { readonly type: "frame"; readonly connection: number; readonly framed: Framed<DownFrame> }
  | { readonly type: "pong"; readonly connection: number }
  | { readonly type: "timer"; readonly name: TimerName }
  | SendEvent
  | { readonly type: "read"; readonly conversation: ConversationId; readonly seq: number }
  | { readonly type: "typing"; readonly conversation: ConversationId }
  | { readonly type: "persisted"; readonly batch: number }
  | { readonly type: "persist_failed"; readonly batch: number };

/** `ref` returns in `queued` or `refused`; `body` is what is transmitted, `content` what the store keeps for reading. */
export interface SendEvent {
  readonly type: "send";
  readonly ref: number;
  readonly conversation: ConversationId;
  readonly body: Uint8Array;
  readonly content: Uint8Array;
}

export type EventType = SessionEvent["type"];
export type EventOf<T extends EventType> = Extract<SessionEvent, { type: T }>;

// ── effects ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export type Effect =
  | { readonly type: "obtainTicket"; readonly connection: number }
  | { readonly type: "openSocket"; readonly connection: number; readonly ticket: string }
  | { readonly type: "closeSocket"; readonly connection: number }
  | { readonly type: "transmit"; readonly frame: UpFrame; readonly body?: Uint8Array }
  | { readonly type: "ping" }
  | { readonly type: "persist"; readonly batch: number; readonly changes: readonly Change[] }
  | { readonly type: "startTimer"; readonly name: TimerName; readonly ms: number }
  | { readonly type: "cancelTimer"; readonly name: TimerName }
  | { readonly type: "emit"; readonly event: AppEvent };

export type TimerName =
  /** The socket must be open and greeted by then. */
  | "connect"
  | "reconnect"
  /** The connection has lasted: the back-off starts over. */
  | "stable"
  | "ping"
  /** Missing entries are fetched. */
  | "gap"
  /** A conversation whose send was refused for a while goes on. */
  | "retry"
  /** Somebody has stopped typing. */
  | "typing";

// ── what is persisted ───────────────────────────────────────────────────────────────────────────────────────────────

/** A message as it arrived. */
export interface ReceivedMessage {
  readonly conversation: ConversationId;
  readonly seq: number;
  readonly id: MessageId;
  readonly user: UserId;
  readonly device: DeviceId;
  readonly at: number;
  readonly body: Uint8Array;
}

/** The parts of one atomic, durable write, to be applied in order. */
export type Change =
  /** Joins the end of its conversation's outbox; `id` is also the last one minted. */
  | {
      readonly type: "queue";
      readonly conversation: ConversationId;
      readonly id: MessageId;
      readonly at: number;
      readonly body: Uint8Array;
      readonly content: Uint8Array;
    }
  /** Keeps its place in the outbox under a new id. */
  | {
      readonly type: "rename";
      readonly conversation: ConversationId;
      readonly id: MessageId;
      readonly newId: MessageId;
      readonly at: number;
    }
  /** Leaves the outbox. */
  | {
      readonly type: "sent";
      readonly conversation: ConversationId;
      readonly id: MessageId;
      readonly seq: number;
      readonly at: number;
    }
  /** Leaves the outbox, and is kept. */
  | {
      readonly type: "failed";
      readonly conversation: ConversationId;
      readonly id: MessageId;
      readonly code: ErrorCode;
    }
  /** `body` is as it came; who carries out the `persist` may put the opened content in its place. */
  | ({ readonly type: "message" } & ReceivedMessage)
  /** Everything up to `have` is there, or is gone for good. */
  | { readonly type: "cursor"; readonly conversation: ConversationId; readonly have: number }
  | { readonly type: "read"; readonly conversation: ConversationId; readonly seq: number }
  /** The server knows of the read mark. */
  | { readonly type: "read_confirmed"; readonly conversation: ConversationId; readonly seq: number }
  | ({ readonly type: "receipt"; readonly conversation: ConversationId } & PeerWatermark);

export type ChangeType = Change["type"];

export interface PeerWatermark {
  /** Undefined: how far every other member of the group has got. */
  readonly user: UserId | undefined;
  readonly delivered: number;
  readonly read: number;
}

/** What a session starts from: everything a store knows, without the messages. */
export interface Stored {
  readonly lastMinted: MessageId | undefined;
  readonly conversations: readonly StoredConversation[];
  /** In the order in which they were queued. */
  readonly outbox: readonly {
    readonly conversation: ConversationId;
    readonly id: MessageId;
    readonly body: Uint8Array;
  }[];
}

export interface StoredConversation {
  readonly conversation: ConversationId;
  readonly have: number;
  readonly read: number;
  readonly readConfirmed: number;
  readonly peers: readonly PeerWatermark[];
  /** Places above `have` that own sent messages have taken. */
  readonly ahead: readonly number[];
}

export interface SessionConfig {
  readonly user: UserId;
  readonly device: DeviceId;
  /** Name and version of the app, for the server's logs. */
  readonly client: string;
  /** In [0, 1): for ids and for jitter. The only thing that is not a function of the arguments of `step`. */
  readonly random: () => number;
}

// ── what the app hears ──────────────────────────────────────────────────────────────────────────────────────────────

export type Phase =
  | "offline"
  /** Waiting for a ticket, then for the socket. */
  | "connecting"
  /** Said hello. */
  | "greeting"
  /** The server compares what this device has with what there is. */
  | "comparing"
  | "catching_up"
  | "live"
  | "backing_off"
  /** For good. */
  | "closed";

/**
 * Codes of the wire, and those that arise on the device itself; of these, a text that is no link's code (`link_invalid`) and
 * bytes that the linked device did not send (`tampered`) never reach a session.
 */
export type SessionErrorCode =
  | ErrorCode
  | "outbox_full"
  | "closed"
  | "store_failed"
  | "wrong_account"
  | "link_invalid"
  | "tampered";

export type AppEvent =
  | { readonly type: "state"; readonly state: Phase; readonly code?: SessionErrorCode }
  /** Everything there was at the time of connecting is persisted. Once a connection. */
  | { readonly type: "caught_up" }
  /** The message is durable in the outbox. 🕓 */
  | {
      readonly type: "queued";
      readonly ref: number;
      readonly conversation: ConversationId;
      readonly id: MessageId;
      readonly at: number;
    }
  | { readonly type: "refused"; readonly ref: number; readonly code: SessionErrorCode }
  /** The id was of a wrong clock; the server never took it. */
  | {
      readonly type: "renamed";
      readonly conversation: ConversationId;
      readonly id: MessageId;
      readonly newId: MessageId;
    }
  /** ✓ */
  | {
      readonly type: "sent";
      readonly conversation: ConversationId;
      readonly id: MessageId;
      readonly seq: number;
      readonly at: number;
    }
  | { readonly type: "failed"; readonly conversation: ConversationId; readonly id: MessageId; readonly code: ErrorCode }
  | ({ readonly type: "message" } & ReceivedMessage)
  /** A member has got this far; every message of mine up to `delivered` is ✓✓, up to `read` is read. */
  | ({ readonly type: "receipt"; readonly conversation: ConversationId } & PeerWatermark)
  /** I have read this far, here or on another device of mine. */
  | { readonly type: "read"; readonly conversation: ConversationId; readonly seq: number }
  | {
      readonly type: "typing";
      readonly conversation: ConversationId;
      readonly user: UserId;
      readonly active: boolean;
    }
  /** Something about the account that its owner should see. Comes once, unless the app ends before the server knows that. */
  | Alert
  /** The server refused something that nobody waits for. */
  | { readonly type: "problem"; readonly code: ErrorCode; readonly conversation?: ConversationId };

export type AppEventType = AppEvent["type"];
