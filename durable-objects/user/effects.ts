import type { CloseReason } from "../../shared/errors.ts";
import type { ConversationId, UserId } from "../../shared/ids.ts";
import type { Wire } from "../../shared/protocol/codec.ts";
import type { DownFrame } from "../../shared/protocol/down.ts";
import type { PushJob } from "../../shared/push-job.ts";
import type {
  Admit,
  AskAddition,
  AskKeys,
  AskPresence,
  AskWatermark,
  AssessSignIn,
  ClaimKeyPackages,
  Connect,
  ConversationRpc,
  Deliver,
  ForgetPeer,
  NotePeer,
  NotifyReceipt,
  NotifyTyping,
  PutKeys,
  RaiseAlert,
  Refresh,
  RegisterDevice,
  RemovePerson,
  RenameDevice,
  RevokeDevice,
  SetPeer,
  SetPin,
  UserRpc,
} from "../../shared/rpc.ts";
import type { Socket, SocketId } from "./socket.ts";

/** Names an incoming call until it is answered. */
export type CallId = number;
/** Names an outgoing call or a timer until it comes back. */
export type Token = number;

/** What can happen to a person's object. Each event is handled in one transaction. */
export type UserEvent =
  /** First of all: the object has just woken up. */
  | { type: "woken" }
  | { type: "connect"; call: CallId; args: Connect }
  | { type: "frame"; socket: SocketId; wire: Wire }
  | { type: "closed"; socket: SocketId }
  | { type: "deliver"; call: CallId; args: Deliver }
  | { type: "notifyReceipt"; call: CallId; args: NotifyReceipt }
  | { type: "notifyTyping"; call: CallId; args: NotifyTyping }
  | { type: "askWatermark"; call: CallId; args: AskWatermark }
  | { type: "isRegistered"; call: CallId }
  | { type: "askAddition"; call: CallId; args: AskAddition }
  | { type: "registerDevice"; call: CallId; args: RegisterDevice }
  | { type: "revokeDevice"; call: CallId; args: RevokeDevice }
  | { type: "renameDevice"; call: CallId; args: RenameDevice }
  | { type: "listDevices"; call: CallId }
  | { type: "admit"; call: CallId; args: Admit }
  | { type: "refresh"; call: CallId; args: Refresh }
  | { type: "putKeys"; call: CallId; args: PutKeys }
  | { type: "askKeys"; call: CallId; args: AskKeys }
  | { type: "accountKey"; call: CallId }
  | { type: "claimKeyPackages"; call: CallId; args: ClaimKeyPackages }
  | { type: "setPin"; call: CallId; args: SetPin }
  | { type: "assessSignIn"; call: CallId; args: AssessSignIn }
  | { type: "raiseAlert"; call: CallId; args: RaiseAlert }
  | { type: "setPeer"; call: CallId; args: SetPeer }
  | { type: "overview"; call: CallId }
  | { type: "askPresence"; call: CallId; args: AskPresence }
  | { type: "notePeer"; call: CallId; args: NotePeer }
  | { type: "forgetPeer"; call: CallId; args: ForgetPeer }
  | { type: "removePerson"; call: CallId; args: RemovePerson }
  /** A `request` effect came back; failed: nobody knows whether it took effect. */
  | { type: "result"; token: Token; result: Result }
  | { type: "timer"; token: Token }
  | { type: "alarm" };

export type Result = { ok: true; value: unknown } | { ok: false };

type RpcRequest<Kind extends string, Id, Rpc> = {
  [Method in keyof Rpc]: Rpc[Method] extends (args: infer Args) => Promise<unknown>
    ? { to: Kind; id: Id; method: Method; args: Args }
    : never;
}[keyof Rpc];

/** A call to another object or to the queue; or the removal of what the database and the file store have of this person. */
export type Request =
  | RpcRequest<"conversation", ConversationId, ConversationRpc>
  | RpcRequest<"user", UserId, UserRpc>
  | { to: "push"; job: PushJob }
  | { to: "records" };

/** What a person's object wants done; the shell does it after the commit, in order. */
export type UserEffect =
  | { do: "reply"; call: CallId; value: unknown }
  /** The call ends with an error: the caller tries again. */
  | { do: "fail"; call: CallId }
  | { do: "send"; socket: SocketId; frame: DownFrame; bodies: readonly Uint8Array[] }
  /**
   * The socket's state is to be kept with it, where hibernation does not reach. Comes last: the object cannot fall asleep
   * between two effects of one event.
   */
  | { do: "attach"; socket: Socket }
  | { do: "close"; socket: SocketId; reason: CloseReason }
  | { do: "request"; token: Token; request: Request }
  /** All that is stored goes, the alarm too, and with it this core. */
  | { do: "wipe" }
  | { do: "timer"; token: Token; afterMs: number };

/** Answer to `connect`. The socket is live from here on. */
export type ConnectReply =
  | { ok: true; socket: Socket }
  | { ok: false; code: "unauthenticated" | "revoked" | "signed_out" };
