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
  /** `sealed`: of the messages that the batch asked to seal, those that could be. */
  | { readonly type: "persisted"; readonly batch: number; readonly sealed: readonly SealedMessage[] }
  | { readonly type: "persist_failed"; readonly batch: number }
  /** What could not be sealed there before may be sealed now: this device is a member, or whom it waited for is confirmed. */
  | { readonly type: "sealable"; readonly conversation: ConversationId }
  /** What could not be sealed there never can: it fails. */
  | { readonly type: "unsendable"; readonly conversation: ConversationId; readonly code: SessionErrorCode };

/**
 * `ref` returns in `queued` or `refused`; `content` is what the store keeps for reading, and what is sealed when it goes.
 * `request` names the wish to send it, and returns in the change that queues it.
 */
export interface SendEvent {
  readonly type: "send";
  readonly ref: number;
  readonly conversation: ConversationId;
  readonly content: Uint8Array;
  readonly request?: string;
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

/** A message of the outbox as it is transmitted. */
export interface SealedMessage {
  readonly conversation: ConversationId;
  readonly id: MessageId;
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
      readonly content: Uint8Array;
      readonly request?: string;
    }
  /** To be sealed in this write, with what the ratchet says by then; in place of what it was sealed to before. */
  | {
      readonly type: "seal";
      readonly conversation: ConversationId;
      readonly id: MessageId;
      readonly content: Uint8Array;
    }
  /** Keeps its place in the outbox under a new id, not sealed any more: what is sealed names the id. */
  | {
      readonly type: "rename";
      readonly conversation: ConversationId;
      readonly id: MessageId;
      readonly newId: MessageId;
      readonly at: number;
    }
  /** Stands in the log, as it came, and in the outbox until `sent` comes: the store has nothing to do. */
  | {
      readonly type: "placed";
      readonly conversation: ConversationId;
      readonly id: MessageId;
      readonly seq: number;
      readonly body: Uint8Array;
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
      readonly code: SessionErrorCode;
    }
  /** `body` is as it came; who carries out the `persist` opens it. */
  | ({ readonly type: "message" } & ReceivedMessage)
  /** Everything up to `have` is there, or is gone for good. */
  | { readonly type: "cursor"; readonly conversation: ConversationId; readonly have: number }
  | { readonly type: "read"; readonly conversation: ConversationId; readonly seq: number }
  /** The server knows of the read mark. */
  | { readonly type: "read_confirmed"; readonly conversation: ConversationId; readonly seq: number }
  | ({ readonly type: "receipt"; readonly conversation: ConversationId } & PeerWatermark);

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
  readonly outbox: readonly QueuedForSending[];
}

export interface QueuedForSending {
  readonly conversation: ConversationId;
  readonly id: MessageId;
  readonly content: Uint8Array;
  /** Absent: not sealed yet. */
  readonly body?: Uint8Array;
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
 * Codes of the wire, and those that arise on the device itself. Of these some never reach a session: a text that is no
 * link's code (`link_invalid`), an account key that this device was never given (`identity_locked`), what can be wrong
 * with a backup (`wrong_code`, `backup_unsigned`, `code_malformed`), what nobody could read if it was sent (`malformed`), and
 * a change of a message that has no place yet (`not_sent`). `tampered`: somebody has made up what only another device
 * could have sent.
 */
export type SessionErrorCode =
  | ErrorCode
  | "outbox_full"
  | "closed"
  | "store_failed"
  | "wrong_account"
  | "link_invalid"
  | "tampered"
  | "identity_locked"
  | "wrong_code"
  | "backup_unsigned"
  | "code_malformed"
  | "malformed"
  | "not_sent";

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
  | {
      readonly type: "failed";
      readonly conversation: ConversationId;
      readonly id: MessageId;
      readonly code: SessionErrorCode;
    }
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
  /** Few of this device's key packages are left on the server. */
  | { readonly type: "keys_low" }
  /** What was sealed anew there was of an epoch that is over, once more: the log may lack what leads to the one that holds. */
  | { readonly type: "behind"; readonly conversation: ConversationId }
  /** Devices of people whose account is gone are still in the group. */
  | { readonly type: "orphans"; readonly conversation: ConversationId }
  /** Something about the account that its owner should see. Comes once, unless the app ends before the server knows that. */
  | Alert
  /** The server refused something that nobody waits for. */
  | { readonly type: "problem"; readonly code: ErrorCode; readonly conversation?: ConversationId };

export type AppEventType = AppEvent["type"];
