import * as v from "valibot";
import { ConversationId, Cursor, MessageId, Seq } from "../ids.ts";
import { MAX_CLIENT_NAME_CHARS, MAX_CURSORS_PER_FRAME, MAX_MESSAGES_PER_FRAME } from "../limits.ts";

/** Frames from a device to its user object. */

/** First frame of a connection; answered by `welcome`. */
const Hello = v.object({
  type: v.literal("hello"),
  /** Name and version of the client, for the logs. */
  client: v.pipe(v.string(), v.maxLength(MAX_CLIENT_NAME_CHARS)),
});

/** A message, binary: the sealed body follows the header. Answered by `sent`, or by `error` with the same id. */
const Send = v.object({
  type: v.literal("send"),
  id: MessageId,
  conversation: ConversationId,
});

/** Several messages of one conversation, in order. Binary: the bodies follow, each `length` bytes. Each is answered as `send`. */
const Sends = v.object({
  type: v.literal("sends"),
  conversation: ConversationId,
  messages: v.pipe(
    v.array(v.object({ id: MessageId, length: Seq })),
    v.minLength(1),
    v.maxLength(MAX_MESSAGES_PER_FRAME),
  ),
});

/** The device has persisted everything up to and including `seq`. A watermark: it only rises. */
const Ack = v.object({
  type: v.literal("ack"),
  conversation: ConversationId,
  seq: Seq,
});

/** The person has read everything up to and including `seq`. Implies `ack`. */
const Read = v.object({
  type: v.literal("read"),
  conversation: ConversationId,
  seq: Seq,
});

/** What the device has of a conversation, and how far the person has read there as far as it knows. */
const Position = v.tuple([ConversationId, Cursor, Cursor]);

/** Asks for what lies above the given positions; answered by `entries` and at the end `drained` with the same number. */
export const Sync = v.object({
  type: v.literal("sync"),
  request: Seq,
  cursors: v.pipe(v.array(Position), v.maxLength(MAX_CURSORS_PER_FRAME)),
  /** "all": also every conversation not listed, from its start — the answer to a `welcome` that says `compare`. */
  scope: v.picklist(["listed", "all"]),
  /** Further cursors of the same request follow in another frame. */
  more: v.boolean(),
});

/** The person is typing. Nothing is stored; sent again every few seconds while it lasts. */
const Typing = v.object({
  type: v.literal("typing"),
  conversation: ConversationId,
});

/** The person has been shown this alert and all before it; they are not sent again. */
const Noted = v.object({ type: v.literal("noted"), alert: Seq });

export const UpFrame = v.variant("type", [Hello, Send, Sends, Ack, Read, Sync, Typing, Noted]);
export type UpFrame = v.InferOutput<typeof UpFrame>;
export type UpType = UpFrame["type"];
export type Sync = v.InferOutput<typeof Sync>;
export type Position = v.InferOutput<typeof Position>;
