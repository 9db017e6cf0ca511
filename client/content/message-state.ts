import type { MessageId, UserId } from "../../shared/ids.ts";
import type { Content } from "../content.ts";
import { applyDeletion } from "./deletion.ts";
import { applyEdit } from "./edit.ts";
import type { ContentOf } from "./kinds.ts";
import type { GroupEvent, LocalContent } from "./local.ts";
import { applyVote } from "./poll.ts";
import { applyReaction } from "./reaction.ts";

/** Where, when and by whom something was written. */
export interface Origin {
  readonly id: MessageId;
  /** Its place; undefined as long as the server has not given it one, which is then behind all others. */
  readonly seq: number | undefined;
  readonly user: UserId;
  /** When the server stored it, ms since 1970. */
  readonly at: number;
}

export interface Entry extends Origin {
  readonly content: Content | LocalContent;
}

/** A message with all that has become of it. */
export interface MessageState extends Origin {
  /** Undefined once it is deleted. */
  readonly content: Entry["content"] | undefined;
  /** How often it was edited, and when last. */
  readonly edits: number;
  readonly editedAt: number | undefined;
  readonly deletedBy: UserId | undefined;
  /** By person, in the order in which they came. */
  readonly reactions: ReadonlyMap<UserId, string>;
  readonly votes: ReadonlyMap<UserId, readonly number[]>;
  readonly isPinned: boolean;
}

/** Whether this person, when they wrote that, was an admin of the group; nobody is in a conversation of two. */
export type WasAdmin = (origin: Origin) => boolean;

/** What changes a message that is there. */
export type MessageChange = ContentOf<"reaction" | "edit" | "deletion" | "vote" | "pin">;

const changeKinds: ReadonlySet<string> = new Set<MessageChange["kind"]>([
  "reaction",
  "edit",
  "deletion",
  "vote",
  "pin",
]);

export function isChange(content: Entry["content"]): content is MessageChange {
  return changeKinds.has(content.kind);
}

/** Whether nobody wrote it to be read: it does not count as unread, and is no message to reply to. */
export function isEvent(
  content: Entry["content"],
): content is MessageChange | ContentOf<"timer" | "ask" | "again"> | GroupEvent {
  return content.kind === "timer" || content.kind === "group" || isBetweenDevices(content) || isChange(content);
}

/** Whether devices say it to each other, and nobody is to see it. */
export function isBetweenDevices(content: { readonly kind: string }): content is ContentOf<"ask" | "again"> {
  return content.kind === "ask" || content.kind === "again";
}

/**
 * The message after all these entries, in whatever order and how often they came: their places decide. Those that are not
 * about it, or that the rules do not allow, change nothing.
 */
export function foldMessage(message: Entry, entries: readonly Entry[], wasAdmin: WasAdmin): MessageState {
  return inOrder(entries).reduce((state, entry) => applyChange(state, entry, wasAdmin), untouched(message));
}

export function untouched({ id, seq, user, at, content }: Entry): MessageState {
  const nothing = { edits: 0, editedAt: undefined, deletedBy: undefined, isPinned: false };
  return { id, seq, user, at, content, ...nothing, reactions: new Map(), votes: new Map() };
}

/** One step of {@link foldMessage}, for whoever applies entries once each and in the order of their places. */
export function applyChange(state: MessageState, entry: Entry, wasAdmin: WasAdmin): MessageState {
  const change = entry.content;
  if (state.content === undefined || isEvent(state.content)) return state;
  if (!isChange(change) || change.target !== state.id || placeOf(entry) < placeOf(state)) return state;
  switch (change.kind) {
    case "edit":
      return applyEdit(state, change, entry);
    case "deletion":
      return applyDeletion(state, entry, wasAdmin);
    case "reaction":
      return applyReaction(state, change, entry);
    case "vote":
      return applyVote(state, change, entry);
    case "pin":
      return { ...state, isPinned: change.pinned };
  }
}

/** By place, each once; what has none yet comes last, in the order in which its device made it. */
function inOrder(entries: readonly Entry[]): Entry[] {
  const sorted = entries.toSorted((a, b) => placeOf(a) - placeOf(b) || (a.id < b.id ? -1 : 1));
  const first = new Map<MessageId, Entry>();
  for (const entry of sorted) if (!first.has(entry.id)) first.set(entry.id, entry);
  return [...first.values()];
}

function placeOf({ seq }: Origin): number {
  return seq ?? Number.MAX_SAFE_INTEGER;
}
