import type { ErrorCode } from "../../shared/errors.ts";
import type { ConversationId, MessageId, UserId } from "../../shared/ids.ts";
import type { Alert } from "../../shared/protocol/down.ts";
import type { ChatErrorCode } from "../chat-error.ts";
import type { HistoryDifference } from "../encryption/write.ts";
import type { KeyChange } from "../identity/pins.ts";
import type { PeerWatermark, Phase } from "../session/contract.ts";
import type { Ticks } from "../ticks.ts";
import type { Message } from "./message.ts";

interface InConversation {
  readonly conversation: ConversationId;
}

/** What an app can listen to. It is told after it is in the store. */
export interface ChatEvents {
  /** The connection has another state; `code` says why it is closed for good. */
  readonly state: { readonly state: Phase; readonly code?: ChatErrorCode };
  /** Everything there was at the time of connecting is here. Once a connection. */
  readonly caught_up: object;

  /** Something has come, as it was written: what changes other messages too, and what became of the group. */
  readonly message: Message;
  /** A message of this person's is in the outbox. 🕓 */
  readonly queued: InConversation & { readonly id: MessageId; readonly at: number };
  /** It goes under another id: the device's clock was wrong, and the server never took it. */
  readonly renamed: InConversation & { readonly id: MessageId; readonly newId: MessageId };
  /** The server has it. ✓ */
  readonly sent: InConversation & { readonly id: MessageId; readonly seq: number; readonly at: number };
  /** It was refused for good. */
  readonly failed: InConversation & { readonly id: MessageId; readonly code: ChatErrorCode };
  /** Every message of this person's up to `delivered` is ✓✓, up to `read` is read. */
  readonly ticks: InConversation & Ticks;
  /** One member has got this far; where `user` is undefined, all others of a group. */
  readonly receipt: InConversation & PeerWatermark;
  /** This person has read this far, on some device of theirs. */
  readonly read: InConversation & { readonly seq: number };
  readonly typing: InConversation & { readonly user: UserId; readonly active: boolean };
  /** From this place on something says something else now: it could not be opened before, or has come from another device. */
  readonly replaced: InConversation & { readonly seq: number };
  /** A message is not to be shown on this device any more. */
  readonly hidden: InConversation & { readonly id: MessageId };
  /** What it said is not in this device's store any more, and what an app keeps of it should go too. */
  readonly erased: InConversation & { readonly id: MessageId };

  /** The group of a conversation has changed, or this device's part in it. */
  readonly group_changed: InConversation;
  /** Who somebody is, as far as this device knows: it has met them, they were verified, or their key is another one. */
  readonly identity_changed: { readonly user: UserId };
  /** Somebody's account key is another one than before. */
  readonly key_changed: KeyChange;
  /**
   * What is written there is held back: the key of these people, of whom one was verified, is another one. It goes when each is
   * verified anew or accepted, or is in the group no more: then it is told once more, with nobody.
   */
  readonly held: InConversation & { readonly users: readonly UserId[] };
  /** The sender of this message has been shown another history than this device; `how` says what that can mean. */
  readonly history_differs: InConversation & { readonly seq: number; readonly how: HistoryDifference };
  /**
   * Something about the account that its owner should see: a code was asked for, a device came or went, the account is
   * idle, its identity was reset. Comes once.
   */
  readonly alert: Omit<Alert, "type">;
  /** The server has refused something that nobody waits for. */
  readonly problem: { readonly code: ErrorCode; readonly conversation?: ConversationId };
}
