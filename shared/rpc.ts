import * as v from "valibot";
import type { LinkState } from "./api/devices.ts";
import { ErrorCode, Retry } from "./errors.ts";
import { ConversationId, Cursor, DeviceId, MessageId, Seq, Time, UserId } from "./ids.ts";
import {
  MAX_ADDS_PER_COMMIT,
  MAX_APPEND_MESSAGES,
  MAX_BODY_BYTES,
  MAX_DEVICE_NAME_CHARS,
  MAX_KEY_PACKAGES_PER_UPLOAD,
  MAX_PAGE_ENTRIES,
  MAX_REMOVES_PER_COMMIT,
  type PersonBucket,
  type PublicBucket,
  personBuckets,
  publicBuckets,
} from "./limits.ts";
import type { Alert } from "./protocol/down.ts";

/**
 * What the objects may ask of each other: the only place where `user/` and `conversation/` meet.
 * Every argument is decoded by its schema on arrival. Calls run at most once and may fail after they took effect;
 * each may therefore be repeated: `append` by message id, a block by its version, a sign-in by its request, a refresh by its
 * attempt, the others because they only raise watermarks or say the same twice.
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
/** `hasOrphans`: leaves of people who were erased are still in the group. */
export type AppendReply = { results: Appended[]; hasOrphans?: true };

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

/** In a 1:1 conversation: what the other one writes from now on is placed, but is not for this member. */
export const SetBlock = v.object({
  user: UserId,
  blocked: v.boolean(),
  /** Rises with every change of mind: what was overtaken by a later one is ignored. */
  version: Seq,
  requestId,
});
export type SetBlock = v.InferOutput<typeof SetBlock>;

/**
 * Everything of this person leaves the conversation: a 1:1 conversation altogether, from a group what they wrote and their
 * membership. Nothing that comes late brings it back.
 */
export const EraseMember = v.object({ user: UserId, devices: v.array(DeviceId), requestId });
export type EraseMember = v.InferOutput<typeof EraseMember>;
/** False: there was nothing of them. */
export type EraseMemberReply = { found: boolean };

export const SignalTyping = v.object({ user: UserId, requestId });
export type SignalTyping = v.InferOutput<typeof SignalTyping>;

/** What stands in the object itself, or, larger than `MAX_INLINE_GROUP_BYTES`, under this name in the file store. */
const Stored = v.union([v.instance(Uint8Array), v.string()]);
export type Stored = v.InferOutput<typeof Stored>;

/** MLS cipher suites (RFC 9420 §17.1; 83 is the X-Wing hybrid). */
export const Suite = v.picklist([1, 83]);
export type Suite = v.InferOutput<typeof Suite>;

/** A device as a member of an MLS group, as its certificate names it. */
export const LeafOwner = v.object({ user: UserId, device: DeviceId });
export type LeafOwner = v.InferOutput<typeof LeafOwner>;

/**
 * A commit (RFC 9420 §12.4), read by the gateway. It is taken if its epoch is the conversation's and its changes are the
 * caller's to make; the first one, of epoch 0, begins the group. The same id again is answered as before.
 */
export const SubmitCommit = v.object({
  user: UserId,
  device: DeviceId,
  id: MessageId,
  /** In which it was made. */
  epoch: Cursor,
  /** The committer's leaf; null: the device joins by it (an external commit, RFC 9420 §12.4.3.2). */
  leaf: v.nullable(Cursor),
  adds: v.pipe(v.array(LeafOwner), v.maxLength(MAX_ADDS_PER_COMMIT)),
  /** Leaves. */
  removes: v.pipe(v.array(Cursor), v.maxLength(MAX_REMOVES_PER_COMMIT)),
  /** What the log gets: the commit, or a reference to it where it is too large for a frame. */
  body,
  /** The commit itself, where the log has a reference. */
  commit: v.optional(Stored),
  /** Of the next epoch. Absent where the gateway found the conversation in another one, so that the commit cannot hold. */
  groupInfo: v.optional(Stored),
  tree: v.optional(Stored),
  /** For those who are added. */
  welcome: v.optional(Stored),
  /** What the device has: a refusal brings what it has missed. */
  after: Cursor,
  requestId,
});
export type SubmitCommit = v.InferOutput<typeof SubmitCommit>;
export type SubmitCommitReply =
  | { ok: true; seq: Seq; at: number }
  /** Of another epoch (null: there is no group yet): a page of the log above `after`, complete up to `through`. */
  | { ok: false; code: "epoch_stale"; epoch: number | null; entries: Entry[]; through: Cursor }
  | { ok: false; code: Exclude<ErrorCode, "epoch_stale">; retry: Retry };

/** Files that are about to be stored for a commit: if that is not handed in before long, they are deleted. */
export const ExpectFiles = v.object({ names: v.array(v.string()), requestId });
export type ExpectFiles = v.InferOutput<typeof ExpectFiles>;

export const ReadGroup = v.object({ user: UserId });
export type ReadGroup = v.InferOutput<typeof ReadGroup>;
/** The group as it stands: with group info and tree whoever is a member can join it. */
export type ReadGroupReply =
  | { ok: false; code: ErrorCode }
  | {
      ok: true;
      epoch: number;
      /** Where the commit that began this epoch stands. */
      seq: Seq;
      groupInfo: Stored;
      tree: Stored;
      /** By leaf; null where one is blank, or nobody's. */
      leaves: (LeafOwner | null)[];
      /** Leaves of people who were erased. */
      orphans: number[];
    };

export const ReadEpoch = v.object({ user: UserId, seq: Seq });
export type ReadEpoch = v.InferOutput<typeof ReadEpoch>;
/** What belongs to the commit at this place and does not stand in the log. */
export type ReadEpochReply =
  | { ok: false; code: ErrorCode }
  | { ok: true; commit?: Stored; welcome?: Stored; tree?: Stored };

export interface ConversationRpc {
  append(call: Append): Promise<AppendReply>;
  readLog(call: ReadLog): Promise<ReadLogReply>;
  putWatermark(call: PutWatermark): Promise<PutWatermarkReply>;
  signalTyping(call: SignalTyping): Promise<void>;
  expectFiles(call: ExpectFiles): Promise<void>;
  submitCommit(call: SubmitCommit): Promise<SubmitCommitReply>;
  readGroup(call: ReadGroup): Promise<ReadGroupReply>;
  readEpoch(call: ReadEpoch): Promise<ReadEpochReply>;
  setBlock(call: SetBlock): Promise<void>;
  eraseMember(call: EraseMember): Promise<EraseMemberReply>;
}

// ── asked of a person ───────────────────────────────────────────────────────────────────────────────────────────────

export const Deliver = v.object({
  conversation: ConversationId,
  entries: v.pipe(v.array(Entry), v.minLength(1), v.maxLength(MAX_PAGE_ENTRIES)),
  requestId,
});
export type Deliver = v.InferOutput<typeof Deliver>;

export type DeliverReply = {
  /**
   * `dormant`: no device is connected, every device is marked; no need to call again until the next read. `gone`: there is no
   * such person, and nobody who could know that something of them is there.
   */
  state: "live" | "dormant" | "gone";
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

/** Somebody brings this person into a conversation's group: whether they exist, and whether that is not too often. */
export const AskAddition = v.object({
  by: UserId,
  /** The same one asked about again costs nothing. */
  commit: MessageId,
});
export type AskAddition = v.InferOutput<typeof AskAddition>;
export type AskAdditionReply = { ok: true } | { ok: false; code: "not_found" | "rate_limited"; retry: Retry };

/** Where a device's refresh tokens have got: each is one generation of its family, and only the newest is good. */
export const SessionRef = v.object({ family: v.string(), generation: Seq });
export type SessionRef = v.InferOutput<typeof SessionRef>;

/** Adds a device, or signs one in again that is known; either way it gets a new family. */
export const RegisterDevice = v.object({
  device: DeviceId,
  name: v.pipe(v.string(), v.maxLength(MAX_DEVICE_NAME_CHARS)),
  /** Where it is, as far as the network tells. */
  place: v.optional(v.string()),
  /** Removes all other devices first. */
  revokeOthers: v.optional(v.boolean()),
  /** Refused with `not_found` if there is no such person (any more): nobody is brought back by a late sign-in. */
  mustExist: v.optional(v.boolean()),
  requestId,
});
export type RegisterDevice = v.InferOutput<typeof RegisterDevice>;
export type RegisterDeviceReply = { ok: true; session: SessionRef } | { ok: false; code: ErrorCode };

export const RevokeDevice = v.object({ device: DeviceId, requestId });
export type RevokeDevice = v.InferOutput<typeof RevokeDevice>;
/** False: there is no such device. */
export type RevokeDeviceReply = { found: boolean };

export const RenameDevice = v.object({ device: DeviceId, name: v.string() });
export type RenameDevice = v.InferOutput<typeof RenameDevice>;

export type DeviceListed = {
  device: DeviceId;
  name: string;
  addedAt: number;
  lastSeenAt: number | undefined;
  isOnline: boolean;
  place: string | undefined;
};

/**
 * Key packages of one device, checked by the gateway. The first upload decides the person's account key; with another one it
 * is refused, unless the person begins anew: then the key packages of all other devices go.
 */
export const PutKeys = v.object({
  device: DeviceId,
  /** Ed25519, base64url. */
  accountKey: v.string(),
  isReset: v.boolean(),
  packages: v.pipe(
    v.array(
      v.object({
        suite: Suite,
        /** KeyPackageRef, hex: the same one again changes nothing. */
        ref: v.string(),
        isLastResort: v.boolean(),
        notAfter: Time,
        keyPackage: v.instance(Uint8Array),
      }),
    ),
    v.maxLength(MAX_KEY_PACKAGES_PER_UPLOAD),
  ),
});
export type PutKeys = v.InferOutput<typeof PutKeys>;
export type PutKeysReply = { ok: true; left: KeysLeft[] } | { ok: false; code: "not_found" | "taken" | "too_many" };
/** One-time key packages that a device has left. */
export type KeysLeft = { suite: Suite; oneTime: number; hasLastResort: boolean };

export const AskKeys = v.object({ device: DeviceId });
export type AskKeys = v.InferOutput<typeof AskKeys>;
export type AskKeysReply = { accountKey: string | undefined; left: KeysLeft[] };

/** One key package of each device of this person, used up by it; the last resort where there is no other. */
export const ClaimKeyPackages = v.object({
  requester: UserId,
  suite: Suite,
  /** Devices that need none. */
  except: v.array(DeviceId),
});
export type ClaimKeyPackages = v.InferOutput<typeof ClaimKeyPackages>;
export type ClaimKeyPackagesReply =
  | {
      ok: true;
      accountKey: string;
      packages: { device: DeviceId; keyPackage: Uint8Array }[];
      /** Devices that have none of this suite. */
      missing: DeviceId[];
    }
  | { ok: false; code: "not_found" | "rate_limited"; retry: Retry };

/** Whether this device may ask for something over HTTP, and takes the cost from a bucket of its person. */
export const Admit = v.object({
  device: DeviceId,
  /** Of the session that the access token belongs to: one that has ended admits nobody. */
  family: v.string(),
  bucket: v.picklist(Object.keys(personBuckets) as PersonBucket[]),
  cost: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
});
export type Admit = v.InferOutput<typeof Admit>;
export type AdmitReply = { ok: true } | { ok: false; code: "unauthenticated" | "rate_limited"; retry: Retry };

/**
 * Uses a refresh token up. An older generation ends the family, unless it is the last one and the answer to it may have
 * been lost a moment ago.
 */
export const Refresh = v.object({
  device: DeviceId,
  session: SessionRef,
  /** The device connects at once: the rotation is written in the row which that costs anyway. */
  connects: v.boolean(),
  /** The device's own name for this attempt: the same one again gets the same answer, however late. */
  attempt: v.optional(v.string()),
});
export type Refresh = v.InferOutput<typeof Refresh>;
export type RefreshReply =
  | { ok: true; session: SessionRef }
  | { ok: false; code: "unauthenticated" | "rate_limited"; retry: Retry };

/** A PIN is compared by its verifier: the gateway stretches it, the object never sees it. */
export const SetPin = v.object({ verifier: v.nullable(v.string()) });
export type SetPin = v.InferOutput<typeof SetPin>;

/** Whether a sign-in with a right code may go on. Wrong PINs are counted. */
export const AssessSignIn = v.object({
  verifier: v.optional(v.string()),
  device: v.optional(DeviceId),
  revokeOthers: v.boolean(),
});
export type AssessSignIn = v.InferOutput<typeof AssessSignIn>;
export type AssessSignInReply =
  | { ok: true }
  /** `canReset`: nobody was seen here for so long that the number may have a new owner. */
  | {
      ok: false;
      code: "pin_required" | "pin_wrong" | "too_many_devices" | "rate_limited";
      retry: Retry;
      canReset: boolean;
    };

/** Something that the person should see on all of their devices. */
export const RaiseAlert = v.object({ kind: v.literal("code_requested"), requestId });
export type RaiseAlert = v.InferOutput<typeof RaiseAlert>;

/** How this person stands to another: `accepted` what they write is no request; `blocked` it does not arrive. */
export const SetPeer = v.object({
  peer: UserId,
  change: v.picklist(["accept", "block", "unblock"]),
  requestId,
});
export type SetPeer = v.InferOutput<typeof SetPeer>;
export type SetPeerReply = { ok: true } | { ok: false; code: "too_many" };

export type PersonOverview = {
  hasPin: boolean;
  blocked: UserId[];
  /** Strangers who have written and were not accepted. */
  requests: UserId[];
  accepted: UserId[];
  conversations: ConversationId[];
  /** What devices have still to show. */
  alerts: (Omit<Alert, "type"> & { on: DeviceId })[];
  /** ms since 1970; undefined if never. */
  lastSeenAt: number | undefined;
  /** When they were told that the account will be removed. */
  warnedAt: number | undefined;
};

export const AskPresence = v.object({ viewer: UserId });
export type AskPresence = v.InferOutput<typeof AskPresence>;
/** Hidden: the viewer is blocked, or was not accepted after they wrote. */
export type PresenceReply = { isHidden: true } | { isHidden: false; isOnline: boolean; lastSeenAt: number | undefined };

/** Another person keeps something about this one, who has to be told should that one be removed. */
export const NotePeer = v.object({ peer: UserId });
export type NotePeer = v.InferOutput<typeof NotePeer>;
/** False: there is no such person (any more), so nothing about them may be kept. */
export type NotePeerReply = { isHere: boolean };

/** The other person of a 1:1 conversation is gone: nothing of it stays in the inbox. */
export const ForgetPeer = v.object({ peer: UserId, requestId });
export type ForgetPeer = v.InferOutput<typeof ForgetPeer>;

export const RemovePerson = v.object({ requestId });
export type RemovePerson = v.InferOutput<typeof RemovePerson>;
/** What was removed so far. */
export type RemovePersonReply = {
  isComplete: boolean;
  devices: number;
  conversations: number;
  databaseRows: number;
  files: number;
};

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
  /** Of the session that the ticket belongs to. */
  family: v.optional(v.string()),
  /** Where the device is, for its owner to see. */
  place: v.optional(v.string()),
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
  askAddition(call: AskAddition): Promise<AskAdditionReply>;
  registerDevice(call: RegisterDevice): Promise<RegisterDeviceReply>;
  revokeDevice(call: RevokeDevice): Promise<RevokeDeviceReply>;
  renameDevice(call: RenameDevice): Promise<{ found: boolean }>;
  listDevices(): Promise<DeviceListed[]>;
  admit(call: Admit): Promise<AdmitReply>;
  refresh(call: Refresh): Promise<RefreshReply>;
  putKeys(call: PutKeys): Promise<PutKeysReply>;
  askKeys(call: AskKeys): Promise<AskKeysReply>;
  /** Ed25519, base64url; undefined if there is none, or nobody. */
  accountKey(): Promise<string | undefined>;
  claimKeyPackages(call: ClaimKeyPackages): Promise<ClaimKeyPackagesReply>;
  setPin(call: SetPin): Promise<void>;
  assessSignIn(call: AssessSignIn): Promise<AssessSignInReply>;
  raiseAlert(call: RaiseAlert): Promise<void>;
  setPeer(call: SetPeer): Promise<SetPeerReply>;
  overview(): Promise<PersonOverview>;
  askPresence(call: AskPresence): Promise<PresenceReply>;
  notePeer(call: NotePeer): Promise<NotePeerReply>;
  forgetPeer(call: ForgetPeer): Promise<void>;
  removePerson(call: RemovePerson): Promise<RemovePersonReply>;
}

// ── asked of a phone number's verification object ───────────────────────────────────────────────────────────────────

/** Also what it says of a number that never asked. Times are ms since 1970. */
export type CodeReply =
  | { ok: true; code: string; expiresAt: number; nextSendAt: number; triesLeft: number }
  | { ok: false; nextSendAt: number };
export type GuessReply = { ok: true; proof: string; expiresAt: number } | { ok: false; triesLeft: number };

/**
 * A number's sign-in attempts, named by the number's keyed hash. It is reached through itty-durable's stub, which passes
 * arguments as JSON; the gateway decodes everything before. Codes are stored hashed; a code and a proof are good once.
 */
export interface VerificationRpc {
  /** A new code, to be sent; or when the next one may be asked for. */
  issueCode(): Promise<CodeReply>;
  /** The last code could not be sent: another may be asked for at once. */
  withdrawCode(): Promise<void>;
  guess(code: string): Promise<GuessReply>;
  /** Uses the proof up. */
  redeem(proof: string): Promise<{ ok: boolean }>;
}

// ── asked of the place where two devices meet ───────────────────────────────────────────────────────────────────────

export type LinkSide = "new" | "old";
export type LinkView = { deviceName: string; place: string | undefined; expiresAt: number; state: LinkState };
export type LinkRefusal = { ok: false; code: "not_found" | "taken" | "too_many" };

const linkSide = v.picklist(["new", "old"]);
export const OpenLink = v.object({ deviceName: v.string(), place: v.optional(v.string()) });
export type OpenLink = v.InferOutput<typeof OpenLink>;
export const ApproveLink = v.object({ user: UserId, device: DeviceId, sealed: v.string() });
export type ApproveLink = v.InferOutput<typeof ApproveLink>;
/** `user`, `device`: the caller, on the side of the device that approved. */
export const SendOverLink = v.object({
  side: linkSide,
  user: v.optional(UserId),
  device: v.optional(DeviceId),
  sealed: v.string(),
});
export type SendOverLink = v.InferOutput<typeof SendOverLink>;
export const PollLink = v.object({
  side: linkSide,
  user: v.optional(UserId),
  device: v.optional(DeviceId),
  after: Cursor,
});
export type PollLink = v.InferOutput<typeof PollLink>;

/** It forgets everything ten minutes after it was opened. */
export interface RendezvousRpc {
  open(call: OpenLink): Promise<{ expiresAt: number }>;
  view(): Promise<{ ok: true; view: LinkView } | LinkRefusal>;
  approve(call: ApproveLink): Promise<{ ok: true } | LinkRefusal>;
  send(call: SendOverLink): Promise<{ ok: true } | LinkRefusal>;
  poll(
    call: PollLink,
  ): Promise<{ ok: true; state: LinkState; messages: { number: number; sealed: string }[] } | LinkRefusal>;
  /** Once: which device of whom has approved, and what the new device is called. */
  complete(): Promise<
    { ok: true; user: UserId; device: DeviceId; deviceName: string; place: string | undefined } | LinkRefusal
  >;
}

// ── asked of a limiter ──────────────────────────────────────────────────────────────────────────────────────────────

export const TakeFromBucket = v.object({
  bucket: v.picklist(Object.keys(publicBuckets) as PublicBucket[]),
  cost: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
});
export type TakeFromBucket = v.InferOutput<typeof TakeFromBucket>;
export type TakeReply = { ok: true } | { ok: false; retryMs: number };

/** One object for each bucket and whoever is limited, named `<bucket>:<keyed hash>`. */
export interface LimiterRpc {
  take(call: TakeFromBucket): Promise<TakeReply>;
}
