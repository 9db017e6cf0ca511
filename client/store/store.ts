import type { ErrorCode } from "../../shared/errors.ts";
import type { ConversationId, DeviceId, MessageId, UserId } from "../../shared/ids.ts";
import type { Change, PeerWatermark, Stored } from "../session/contract.ts";

/** Where a device keeps what it must not lose. One device's alone, and in the hands of one session at a time. */
export interface Store {
  /** @throws if it holds somebody else's messages */
  load(owner: Owner): Promise<Stored>;
  /** All of it or nothing, in order; durable when the promise is fulfilled. A message that is there already stays as it is. */
  persist(changes: readonly Change[]): Promise<void>;
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
  /** Why the server refused it for good. */
  readonly failure: ErrorCode | undefined;
}

export interface ConversationSummary {
  readonly conversation: ConversationId;
  readonly have: number;
  readonly read: number;
  /** Messages of others above `read`. */
  readonly unread: number;
  readonly peers: readonly PeerWatermark[];
  readonly last: StoredMessage | undefined;
}

export class WrongOwner extends Error {
  override readonly name = "WrongOwner";
}
