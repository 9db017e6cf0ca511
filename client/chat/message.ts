import type { ConversationId, DeviceId, MessageId, UserId } from "../../shared/ids.ts";
import type { ChatErrorCode } from "../chat-error.ts";
import { expiresAt } from "../content/expiry.ts";
import {
  type GroupEvent,
  isLocalKind,
  type LocalContent,
  readLocal,
  type UnreadableContent,
} from "../content/local.ts";
import { type Entry, isEvent, type MessageState, untouched } from "../content/message-state.ts";
import { type Tally, tallyPoll } from "../content/poll.ts";
import { countReactions, type ReactionCount } from "../content/reaction.ts";
import { type Content, decodeContent } from "../content.ts";
import type { OpenedEntry } from "../encryption/device-writer.ts";
import type { ReceivedMessage } from "../session/contract.ts";
import type { StoredMessage } from "../store/store.ts";
import { type MessageStatus, statusOf, type Ticks } from "../ticks.ts";

/** What there is to be shown at one place of a conversation, with all that has become of it. */
export interface Message {
  readonly conversation: ConversationId;
  readonly id: MessageId;
  /** Its place; undefined as long as the server has not given it one. */
  readonly seq: number | undefined;
  readonly user: UserId;
  readonly device: DeviceId;
  /** When the server stored it, ms since 1970; before that, when it was written. */
  readonly at: number;
  /** What it says now. */
  readonly content: ShownContent;
  /** It changes something that is there, or says what became of the group: no message to be answered. */
  readonly isEvent: boolean;
  readonly status: MessageStatus;
  readonly failure: ChatErrorCode | undefined;
  /** When it was given other words, last; undefined if it never was. */
  readonly editedAt: number | undefined;
  /** Most frequent first. */
  readonly reactions: readonly ReactionCount[];
  /** Of a poll: who has voted for what, option by option. */
  readonly tally: readonly Tally[] | undefined;
  readonly isPinned: boolean;
  /** When it disappears, ms since 1970; undefined if it stays. */
  readonly expiresAt: number | undefined;
}

export type ShownContent = Content | GroupEvent | UnreadableContent | DeletedContent;

/** Stands for a message that was deleted for everyone. */
export interface DeletedContent {
  readonly kind: "deleted";
  readonly by: UserId;
}

/** Where a message is found. A {@link Message} is such, and so is what `send` returns. */
export type MessageRef = Pick<Message, "conversation" | "id">;

/** A row of the store, as it was written and as it is now. */
export interface FoldedRow {
  readonly row: StoredMessage;
  readonly entry: Entry;
  readonly state: MessageState;
}

/** @param isHeld what waits there is held back */
export function shownMessage({ row, entry, state }: FoldedRow, ticks: Ticks, self: UserId, isHeld: boolean): Message {
  const { conversation, id, seq, user, device, at, failure } = row;
  const { editedAt, isPinned, reactions, votes } = state;
  const deleted = { kind: "deleted", by: state.deletedBy ?? user } as const;
  const content = state.content && state.content.kind !== "erased" ? state.content : deleted;
  return {
    ...{ conversation, id, seq, user, device, at, content, failure, editedAt, isPinned },
    // What this device wrote itself is not marked in its store.
    isEvent: row.isEvent || isEvent(entry.content),
    status: statusOf(row, ticks, self, isHeld),
    reactions: countReactions(reactions),
    tally: content.kind === "poll" ? tallyPoll(content, votes) : undefined,
    expiresAt: expiresAt(entry.content, at),
  };
}

export function receivedMessage(received: ReceivedMessage, opened: OpenedEntry, self: UserId): Message {
  return writtenMessage({ ...received, ...opened, failure: undefined }, self);
}

/** As it was written, before anything has become of it. */
export function writtenMessage(row: StoredMessage, self: UserId): Message {
  const entry = entryOf(row);
  return shownMessage({ row, entry, state: untouched(entry) }, { delivered: 0, read: 0 }, self, false);
}

/** What the rules of reactions, edits and so on are about. */
export function entryOf({ id, seq, user, at, content }: StoredMessage): Entry {
  return { id, seq, user, at, content: readContent(content) };
}

/** As a store has it: what was sent, or what this device put in its place. */
export function readContent(bytes: Uint8Array): Content | LocalContent {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    const kind = typeof value === "object" && value !== null && "kind" in value ? value.kind : undefined;
    if (typeof kind === "string" && isLocalKind(kind)) return readLocal(value) ?? malformed;
    return decodeContent(bytes);
  } catch {
    return malformed;
  }
}

const malformed: LocalContent = { kind: "unreadable", reason: "malformed" };
