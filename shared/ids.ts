import { decodeTime } from "ulid";
import * as v from "valibot";

/**
 * Identifiers on the wire. A ULID is 26 characters of Crockford's base 32, upper case; its first ten are a time in ms.
 * The first character is at most 7: a ULID holds 128 bits.
 */
const ULID = "[0-7][0-9A-HJKMNP-TV-Z]{25}";
const ulidPattern = new RegExp(`^${ULID}$`);
const conversationPattern = new RegExp(`^${ULID}(?:\\.${ULID})?$`);

const ulid = v.pipe(v.string(), v.regex(ulidPattern));

/** A person. */
export const UserId = ulid;
export type UserId = v.InferOutput<typeof UserId>;
/** A person's device. */
export const DeviceId = ulid;
export type DeviceId = v.InferOutput<typeof DeviceId>;
/** Made by the sending device, rising per device; the idempotency key of a message. */
export const MessageId = ulid;
export type MessageId = v.InferOutput<typeof MessageId>;
/** A group is a ULID; a 1:1 conversation is both user ids, the smaller first, joined by a dot. */
export const ConversationId = v.pipe(v.string(), v.regex(conversationPattern), v.check(isCanonical));
export type ConversationId = v.InferOutput<typeof ConversationId>;
/** Where a new device and the one that links it meet. */
export const DeviceLinkId = ulid;
export type DeviceLinkId = v.InferOutput<typeof DeviceLinkId>;
/** Place of a message in its conversation: 1, 2, 3 … */
export const Seq = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
export type Seq = v.InferOutput<typeof Seq>;
/** A position between messages: everything up to and including it is known. 0 is before the first. */
export const Cursor = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
export type Cursor = v.InferOutput<typeof Cursor>;
/** Milliseconds since 1970. */
export const Time = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** The conversation of two people (or of one with themself). There is nothing to create and nothing to race. */
export function directConversation(a: UserId, b: UserId): ConversationId {
  return a <= b ? `${a}.${b}` : `${b}.${a}`;
}

/** The members that a conversation's id names: one or two for a 1:1 conversation, none for a group. */
export function directMembers(conversation: ConversationId): UserId[] {
  const [a, b] = conversation.split(".");
  if (a === undefined || b === undefined) return [];
  return a === b ? [a] : [a, b];
}

/** The other person of a 1:1 conversation; undefined for a group or for a conversation with oneself. */
export function directPeer(conversation: ConversationId, self: UserId): UserId | undefined {
  return directMembers(conversation).find((member) => member !== self);
}

/** Whether the id alone shows that this person has no part in the conversation. */
export function isForeign(conversation: ConversationId, user: UserId): boolean {
  const members = directMembers(conversation);
  return members.length > 0 && !members.includes(user);
}

/** When the device says it made this message, ms since 1970. */
export function messageTime(id: MessageId): number {
  return decodeTime(id);
}

function isCanonical(id: string): boolean {
  const [a, b] = id.split(".");
  return b === undefined || (a !== undefined && a <= b);
}
