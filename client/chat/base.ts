import type { ConversationId, UserId } from "../../shared/ids.ts";
import type { Content } from "../content.ts";
import type { Wish } from "../encryption/membership.ts";
import type { Identity, Pin } from "../identity/pins.ts";
import type { SafetyCheck } from "../identity/safety-number.ts";
import type { Listeners } from "../listeners.ts";
import type { SentMessage } from "../outgoing.ts";
import type { Phase, SessionEvent } from "../session/contract.ts";
import type { ConversationState, QueuedMessage } from "../session/state.ts";
import type { Owner, Store } from "../store/store.ts";
import type { ChatEvents } from "./chat-events.ts";
import type { MessageRef } from "./message.ts";

/**
 * What the namespaces of a chat are built on: what this device has, what it hears, and what it can be asked to do. That is the
 * `Engine` itself; in a browser's tabs it is what passes everything but reading on to the tab that has the engine.
 */
export interface Base {
  readonly account: Owner;
  readonly store: Pick<Store, "record" | "records" | "scan" | "find" | "messages" | "conversations">;
  readonly listeners: Listeners<ChatEvents>;
  readonly state: BaseState;
  /** The server's clock, as well as it is known: ms since 1970. */
  readonly now: number;
  /** Whom this device takes people for. */
  readonly authenticator: People;
  /** By whose keys what is written there is held back, where it is. */
  readonly held: ReadonlyMap<ConversationId, readonly UserId[]>;
  dispatch(command: Command): void;
  /**
   * With the conversation's timer. Fulfilled when the message is in the outbox: it will not be lost any more.
   * @throws ChatError, ContentError
   */
  send(conversation: ConversationId, content: Content): Promise<SentMessage>;
  /** Nothing of it stays on this device; told as `hidden`. */
  hide(message: MessageRef): Promise<void>;
  /** The people in it, as its group has them. */
  members(conversation: ConversationId): Promise<UserId[]>;
  /** @throws ChatError when it cannot be had. Resolves once it holds. */
  want(conversation: ConversationId, wish: Wish): Promise<void>;
  /** The two have compared this identity: it is verified, unless it has become another one meanwhile. */
  markVerified(compared: Identity): Promise<SafetyCheck>;
  /** Their key is taken for theirs though the two have not compared it. @throws ChatError not_found */
  acceptKey(user: UserId): Promise<void>;
  /** @throws ChatError */
  throwIfClosed(): void;
}

interface People {
  readonly own: Identity;
  /** Undefined for somebody whom it has not met. */
  pin(user: UserId): Pin | undefined;
}

export interface BaseState {
  readonly phase: Phase;
  /** Everything there was at the time of connecting is here. */
  readonly caughtUp: boolean;
  readonly conversations: Positions;
}

interface Positions extends Iterable<readonly [ConversationId, Position]> {
  get(conversation: ConversationId): Position | undefined;
}

/** How far this device and the others have got in a conversation, and what of this device's is still on its way. */
export interface Position extends Pick<ConversationState, "have" | "read" | "peers"> {
  readonly queue: readonly Pick<QueuedMessage, "id" | "content">[];
}

/** What needs no answer. */
export type Command = Extract<SessionEvent, { type: "connect" | "disconnect" | "read" | "typing" }>;
