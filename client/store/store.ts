import type { ConversationId, DeviceId, MessageId, UserId } from "../../shared/ids.ts";
import type { Change, PeerWatermark, SealedMessage, SessionErrorCode, Stored } from "../session/contract.ts";

/**
 * The parts of one atomic write: what the session asks for, with its messages sealed and opened, and the records (keys,
 * ratchets …) that hold from then on.
 */
export type StoreChange =
  | Exclude<Change, { type: "seal" | "message" | "placed" }>
  /** Of a message in the outbox; in place of what it was sealed to before. */
  | ({ readonly type: "sealed" } & SealedMessage)
  /** A place of the conversation. One that is there already stays as it is. */
  | ({ readonly type: "message" } & PlacedMessage)
  /** Other content for a place that is there, and what counts as an event of the group or as a message from now on. */
  | {
      readonly type: "replace";
      readonly conversation: ConversationId;
      readonly seq: number;
      readonly content: Uint8Array;
      readonly isEvent: boolean;
    }
  /** A message that could not be sent goes. */
  | { readonly type: "drop"; readonly conversation: ConversationId; readonly id: MessageId }
  /** Undefined removes it. Keys are ASCII. */
  | { readonly type: "record"; readonly key: string; readonly value: Uint8Array | undefined };

export interface PlacedMessage {
  readonly conversation: ConversationId;
  readonly seq: number;
  readonly id: MessageId;
  readonly user: UserId;
  readonly device: DeviceId;
  readonly at: number;
  readonly content: Uint8Array;
  /** Nobody wrote it to be read: it does not count as unread. */
  readonly isEvent: boolean;
}

/** Where a device keeps what it must not lose. One device's alone, and in the hands of one session at a time. */
export interface Store {
  /** @throws if it holds somebody else's messages */
  load(owner: Owner): Promise<Stored>;
  /** All of it or nothing, in order; durable when the promise is fulfilled. */
  persist(changes: readonly StoreChange[]): Promise<void>;
  record(key: string): Promise<Uint8Array | undefined>;
  /** All whose key begins with `prefix`, in the order of their keys. */
  records(prefix: string): Promise<readonly (readonly [key: string, value: Uint8Array])[]>;
  /** Places above `after`, in their order: for whoever goes through a whole conversation. */
  scan(conversation: ConversationId, after: number, limit: number): Promise<StoredMessage[]>;
  /** A message by its id, wherever it stands; undefined if it is not here. */
  find(conversation: ConversationId, id: MessageId): Promise<StoredMessage | undefined>;
  /** The last `limit` messages, oldest first; those without a place (pending, failed) come last and only without `before`. */
  messages(conversation: ConversationId, page: MessagePage): Promise<StoredMessage[]>;
  conversations(): Promise<ConversationSummary[]>;
  close(): Promise<void>;
}

export interface Owner {
  readonly user: UserId;
  readonly device: DeviceId;
}

export interface MessagePage {
  /** Only messages whose place is below this one. */
  readonly before?: number;
  readonly limit: number;
}

export interface StoredMessage {
  readonly conversation: ConversationId;
  readonly id: MessageId;
  /** Undefined until the server has given it a place. */
  readonly seq: number | undefined;
  readonly user: UserId;
  readonly device: DeviceId;
  readonly at: number;
  readonly content: Uint8Array;
  readonly isEvent: boolean;
  /** Why it could not be sent. */
  readonly failure: SessionErrorCode | undefined;
}

export interface ConversationSummary {
  readonly conversation: ConversationId;
  readonly have: number;
  readonly read: number;
  /** Messages of others above `read`, events left out. */
  readonly unread: number;
  readonly peers: readonly PeerWatermark[];
  readonly last: StoredMessage | undefined;
}

export class WrongOwner extends Error {
  override readonly name = "WrongOwner";
}
