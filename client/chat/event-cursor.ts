import { type ConversationId, directConversation, directMembers, directPeer, type UserId } from "../../shared/ids.ts";
import { MAX_AWAITED_MESSAGES, MAX_CURSOR_CHARS } from "../../shared/limits.ts";
import { ChatError } from "../chat-error.ts";
import { PersistentMap } from "../session/persistent-map.ts";

/** How far somebody has got in one conversation. */
export interface Position {
  /** Everything up to this place was told, or is not to be. */
  readonly seq: number;
  /** Places up to there that could not be opened when they were passed: they are told if they can be later. */
  readonly awaited: readonly number[];
}

/** How far in all of them. */
export type Positions = PersistentMap<Position>;

export const fromTheBeginning: Position = { seq: 0, awaited: [] };
export const nothingTold: Positions = PersistentMap.empty();

const VERSION = "1";
const RADIX = 36;
const PART = /^([dg])([0-7][0-9A-HJKMNP-TV-Z]{25})((?:-[0-9a-z]{1,11})+)$/;

/**
 * As a text that may stand in a file, a URL or a column: a part for each conversation, some 40 characters long, with whom or
 * which group it is, the place, and the places that are awaited.
 */
export function encodeCursor(positions: Positions, self: UserId): string {
  const parts = [...positions].map(([conversation, { seq, awaited }]) => {
    const isDirect = directMembers(conversation).length > 0;
    const name = isDirect ? `d${directPeer(conversation, self) ?? self}` : `g${conversation}`;
    return [name, ...[seq, ...awaited].map((place) => place.toString(RADIX))].join("-");
  });
  return [VERSION, ...parts].join(".");
}

/** @throws ChatError malformed, if it is no cursor of this version */
export function decodeCursor(cursor: string, self: UserId): Positions {
  const [version, ...parts] = cursor.length > MAX_CURSOR_CHARS ? [] : cursor.split(".");
  if (version !== VERSION) throw new ChatError("malformed");
  return parts.reduce((positions, part) => {
    const [conversation, position] = decodePart(part, self);
    return positions.set(conversation, position);
  }, nothingTold);
}

function decodePart(part: string, self: UserId): [ConversationId, Position] {
  const [, kind, name, places = ""] = PART.exec(part) ?? [];
  if (name === undefined) throw new ChatError("malformed");
  const numbers = places.slice(1).split("-");
  const [seq = 0, ...awaited] = numbers.map((place) => Number.parseInt(place, RADIX));
  const isPossible = [seq, ...awaited].every(Number.isSafeInteger) && awaited.length <= MAX_AWAITED_MESSAGES;
  if (!isPossible) throw new ChatError("malformed");
  return [kind === "d" ? directConversation(self, name) : name, { seq, awaited }];
}
