import * as v from "valibot";
import { ErrorCode, Retry } from "./errors.ts";
import { ConversationId, Cursor, DeviceId, MessageId, Seq, Time, UserId } from "./ids.ts";
import {
  MAX_APPEND_MESSAGES,
  MAX_BODY_BYTES,
  MAX_DEVICE_NAME_CHARS,
  MAX_MEMBERS_PER_CONVERSATION,
  MAX_PAGE_ENTRIES,
} from "./limits.ts";

/**
 * What the objects may ask of each other: the only place where `user/` and `conversation/` meet.
 * Every argument is decoded by its schema on arrival. Calls run at most once and may fail after they took effect;
 * each may therefore be repeated: `append` by message id, the others because they only raise watermarks.
 */

const body = v.custom<Uint8Array>(
  (bytes) => bytes instanceof Uint8Array && bytes.byteLength >= 1 && bytes.byteLength <= MAX_BODY_BYTES,
);
/** Carried through every log line of the work that one frame or HTTP request caused. */
const requestId = v.string();

/** A message as the log holds it. */
export const Entry = v.object({
  seq: Seq,
  id: MessageId,
  user: UserId,
  device: DeviceId,
  at: Time,
  body,
});
export type Entry = v.InferOutput<typeof Entry>;

/** How far a person has got in a conversation. Every part only rises. */
export const Watermark = v.object({
  /** At least one device has it: ✓✓. */
  delivered: Cursor,
  read: Cursor,
  /** Every device has it; what all members have kept may leave the log. */
  kept: Cursor,
});
export type Watermark = v.InferOutput<typeof Watermark>;

// ── asked of a conversation ─────────────────────────────────────────────────────────────────────────────────────────

export const Append = v.object({
  user: UserId,
  messages: v.pipe(
    v.array(v.object({ id: MessageId, device: DeviceId, body })),
    v.minLength(1),
    v.maxLength(MAX_APPEND_MESSAGES),
  ),
  /** The sender's own watermark rides along, so that no call of its own is needed for it. */
  watermark: Watermark,
  requestId,
});
export type Append = v.InferOutput<typeof Append>;

/** One result a message, in the order asked. `at` and `seq` of a repeated message are the original ones. */
export const Appended = v.variant("ok", [
  v.object({ ok: v.literal(true), id: MessageId, seq: Seq, at: Time }),
  v.object({ ok: v.literal(false), id: MessageId, code: ErrorCode, retry: Retry }),
]);
export type Appended = v.InferOutput<typeof Appended>;
export type AppendReply = { results: Appended[] };

/** Reads above `after` for one device, and wakes the member: from now on the conversation calls this user again. */
export const ReadLog = v.object({
  user: UserId,
  /** The user's connection epoch; a `dormant` answer older than it is ignored from now on. */
  epoch: Seq,
  after: Cursor,
  watermark: Watermark,
  /** The watermark is what a device asserts after a crash: whom it concerns may never have been told. */
  notify: v.boolean(),
  requestId,
});
export type ReadLog = v.InferOutput<typeof ReadLog>;

export type ReadLogReply =
  | { ok: false; code: ErrorCode }
  | {
      ok: true;
      /** Complete in (after, through]; what is not listed there is gone. */
      entries: Entry[];
      through: Cursor;
      /** The last place taken when this was read. */
      head: Cursor;
      /** Of all members, the asking one included. */
      watermarks: { user: UserId; delivered: Cursor; read: Cursor }[];
    };

/** A watermark that could not ride along with something else, or that the peer must find when they come back. */
export const PutWatermark = v.object({
  user: UserId,
  watermark: Watermark,
  /** The conversation passes it on to the members it concerns; otherwise it only remembers. */
  notify: v.boolean(),
  requestId,
});
export type PutWatermark = v.InferOutput<typeof PutWatermark>;
export type PutWatermarkReply = { ok: false; code: ErrorCode } | { ok: true; head: Cursor; watermark: Watermark };

export const SignalTyping = v.object({ user: UserId, requestId });
export type SignalTyping = v.InferOutput<typeof SignalTyping>;

/** Makes a group with these members; the same call again changes nothing. */
export const CreateGroup = v.object({
  members: v.pipe(v.array(UserId), v.minLength(1), v.maxLength(MAX_MEMBERS_PER_CONVERSATION)),
  requestId,
});
export type CreateGroup = v.InferOutput<typeof CreateGroup>;

export interface ConversationRpc {
  append(call: Append): Promise<AppendReply>;
  readLog(call: ReadLog): Promise<ReadLogReply>;
  putWatermark(call: PutWatermark): Promise<PutWatermarkReply>;
  signalTyping(call: SignalTyping): Promise<void>;
  createGroup(call: CreateGroup): Promise<void>;
}

// ── asked of a person ───────────────────────────────────────────────────────────────────────────────────────────────

export const Deliver = v.object({
  conversation: ConversationId,
  entries: v.pipe(v.array(Entry), v.minLength(1), v.maxLength(MAX_PAGE_ENTRIES)),
  requestId,
});
export type Deliver = v.InferOutput<typeof Deliver>;

export type DeliverReply = {
  /** `dormant`: no device is connected, every device is marked; no need to call again until the next read. */
  state: "live" | "dormant";
  epoch: Cursor;
  watermark: Watermark;
};

/** Tells a person's devices how far a member has got; without `user`, how far every other member has got. */
export const NotifyReceipt = v.object({
  conversation: ConversationId,
  user: v.optional(UserId),
  delivered: Cursor,
  read: Cursor,
  requestId,
});
export type NotifyReceipt = v.InferOutput<typeof NotifyReceipt>;
/** `everyDevice` false: a device was away and will ask the conversation, which must therefore know. */
export type NotifyReceiptReply = { everyDevice: boolean };

export const NotifyTyping = v.object({ conversation: ConversationId, user: UserId });
export type NotifyTyping = v.InferOutput<typeof NotifyTyping>;

/** A person's watermark, and the position above which one of their devices may miss something (as far as is known now). */
export type AskWatermarkReply = Watermark & { missingAbove: Cursor };
export const AskWatermark = v.object({ conversation: ConversationId });
export type AskWatermark = v.InferOutput<typeof AskWatermark>;

export const RegisterDevice = v.object({
  device: DeviceId,
  name: v.pipe(v.string(), v.maxLength(MAX_DEVICE_NAME_CHARS)),
  requestId,
});
export type RegisterDevice = v.InferOutput<typeof RegisterDevice>;
export type RegisterDeviceReply = { ok: true } | { ok: false; code: ErrorCode };

export const RevokeDevice = v.object({ device: DeviceId, requestId });
export type RevokeDevice = v.InferOutput<typeof RevokeDevice>;

/**
 * The upgrade request's own header, set by the gateway after it has checked origin and ticket (whatever a client sends
 * under this name is replaced). The user object uses the ticket up: a second connection with it is refused.
 */
export const CONNECT_HEADER = "sandpiper-connect";
export const Connect = v.object({
  user: UserId,
  device: DeviceId,
  ticket: v.string(),
  ticketExpiresAt: Time,
  /** Where conversations that this person starts should live. */
  locationHint: v.optional(v.string()),
  requestId,
});
export type Connect = v.InferOutput<typeof Connect>;

/** Beside these a user object answers `fetch` with a WebSocket upgrade that carries {@link CONNECT_HEADER}. */
export interface UserRpc {
  deliver(call: Deliver): Promise<DeliverReply>;
  notifyReceipt(call: NotifyReceipt): Promise<NotifyReceiptReply>;
  notifyTyping(call: NotifyTyping): Promise<void>;
  askWatermark(call: AskWatermark): Promise<AskWatermarkReply>;
  /** Whether this person exists: asked once, before the first message to them. */
  isRegistered(): Promise<boolean>;
  registerDevice(call: RegisterDevice): Promise<RegisterDeviceReply>;
  revokeDevice(call: RevokeDevice): Promise<void>;
}
