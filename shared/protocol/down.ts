import * as v from "valibot";
import { ErrorCode, Retry } from "../errors.ts";
import { ConversationId, Cursor, DeviceId, MessageId, Seq, Time, UserId } from "../ids.ts";

/** Frames from a user object to one device. */

/** Answer to `hello`. */
const Welcome = v.object({
  type: v.literal("welcome"),
  user: UserId,
  device: DeviceId,
  /** Counts the person's connection changes; rises with every connection. */
  epoch: Seq,
  /** The server's clock, ms since 1970: the device makes its message ids from it. */
  time: Time,
  /** The server is not sure what this device has: it must send `sync` with scope "all" and all its cursors. */
  compare: v.boolean(),
});

/** ✓ — these messages are durable, at these places. */
const Sent = v.object({
  type: v.literal("sent"),
  conversation: ConversationId,
  messages: v.array(v.object({ id: MessageId, seq: Seq, at: Time })),
  /** Leaves of people who were removed are still in the group: the device should take them out (`GET …/group` names them). */
  hasOrphans: v.optional(v.boolean()),
});

const meta = {
  seq: Seq,
  id: MessageId,
  /** Who sent it, from which device. */
  user: UserId,
  device: DeviceId,
  /** When the conversation stored it, ms since 1970. */
  at: Time,
};

/** One message, live. Binary: the sealed body follows the header. */
export const Message = v.object({ type: v.literal("message"), conversation: ConversationId, ...meta });

/**
 * Several messages. Binary: the bodies follow the header in order, each `length` bytes.
 * The page is complete: what lies in (after, through] and is not listed is gone (expired, or not this member's to see).
 */
export const Entries = v.object({
  type: v.literal("entries"),
  conversation: ConversationId,
  after: Cursor,
  through: Cursor,
  entries: v.array(v.object({ ...meta, length: Seq })),
});

/**
 * How far a member has got. `user` may be the receiver: then another of the person's own devices has read. Without
 * `user` it is how far every other member has got (groups).
 */
const Receipt = v.object({
  type: v.literal("receipt"),
  conversation: ConversationId,
  user: v.optional(UserId),
  delivered: Cursor,
  read: Cursor,
});

/** Everything that the request asked for has been sent. Request 0 is the catch-up that follows `hello`. */
const Drained = v.object({ type: v.literal("drained"), request: Cursor });

/** Another member is typing. */
const Typing = v.object({ type: v.literal("typing"), conversation: ConversationId, user: UserId });

/**
 * Something about the account that its owner should see on every device: somebody asks for a code for their number, a
 * device was added or removed, the account has been idle for so long that it will be removed. Sent on every connection
 * until it is `noted`.
 */
export const Alert = v.object({
  type: v.literal("alert"),
  /** Counts the alerts of this device. */
  alert: Seq,
  kind: v.picklist(["code_requested", "device_added", "device_removed", "account_idle", "identity_reset"]),
  at: Time,
  /** Which device, for those that are about one; its name and whereabouts. */
  device: v.optional(DeviceId),
  name: v.optional(v.string()),
  place: v.optional(v.string()),
});
export type Alert = v.InferOutput<typeof Alert>;

/** Few one-time key packages of this device are left: it should upload more (`PUT /v1/keys`). */
const Refill = v.object({ type: v.literal("refill") });

/** A frame was refused. It names what it answers as far as that is known. */
export const ErrorFrame = v.object({
  type: v.literal("error"),
  code: ErrorCode,
  retry: Retry,
  conversation: v.optional(ConversationId),
  /** The message refused. */
  id: v.optional(MessageId),
  /** The sync request refused. */
  request: v.optional(Seq),
});

/** The server closes the connection, and says why. */
const Bye = v.object({ type: v.literal("bye"), code: ErrorCode, retry: Retry });

export const DownFrame = v.variant("type", [
  Welcome,
  Sent,
  Message,
  Entries,
  Receipt,
  Drained,
  Typing,
  Alert,
  Refill,
  ErrorFrame,
  Bye,
]);
export type DownFrame = v.InferOutput<typeof DownFrame>;
export type DownType = DownFrame["type"];
export type Entries = v.InferOutput<typeof Entries>;
export type Message = v.InferOutput<typeof Message>;
export type ErrorFrame = v.InferOutput<typeof ErrorFrame>;
