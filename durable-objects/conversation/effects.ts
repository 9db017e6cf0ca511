import type { UserId } from "../../shared/ids.ts";
import type {
  Append,
  AskAddition,
  AskAdditionReply,
  AskWatermarkReply,
  Deliver,
  DeliverReply,
  EraseMember,
  ExpectFiles,
  ForgetPeer,
  NotifyReceipt,
  NotifyTyping,
  PutWatermark,
  ReadEpoch,
  ReadGroup,
  ReadLog,
  SetBlock,
  SignalTyping,
  SubmitCommit,
} from "../../shared/rpc.ts";

/** Names an incoming call until it is answered. */
export type CallId = number;

/** What can happen to a conversation. Each event is handled in one transaction. */
export type ConversationEvent =
  | { type: "append"; call: CallId; args: Append }
  | { type: "readLog"; call: CallId; args: ReadLog }
  | { type: "putWatermark"; call: CallId; args: PutWatermark }
  | { type: "signalTyping"; call: CallId; args: SignalTyping }
  | { type: "expectFiles"; call: CallId; args: ExpectFiles }
  | { type: "submitCommit"; call: CallId; args: SubmitCommit }
  | { type: "readGroup"; call: CallId; args: ReadGroup }
  | { type: "readEpoch"; call: CallId; args: ReadEpoch }
  | { type: "setBlock"; call: CallId; args: SetBlock }
  | { type: "eraseMember"; call: CallId; args: EraseMember }
  /** A `deliver` effect came back; no reply: it failed, or nobody knows. */
  | { type: "delivered"; user: UserId; reply: DeliverReply | undefined }
  /** An `askAddition` effect came back; undefined: nobody knows. */
  | { type: "additionTold"; call: CallId; user: UserId; reply: AskAdditionReply | undefined }
  | { type: "watermarkTold"; user: UserId; watermark: AskWatermarkReply | undefined }
  /** A `forgetPeer` effect has succeeded. */
  | { type: "peerForgotten"; user: UserId }
  /** A `deleteFiles` effect has succeeded, for these. */
  | { type: "filesDeleted"; names: string[] }
  /** A `sync` effect came back: what was committed before it is on disk. */
  | { type: "synced" }
  | { type: "timer"; name: TimerName }
  | { type: "alarm" };

/** What a conversation wants done; the shell does it after the commit, in order. */
export type ConversationEffect =
  | { do: "reply"; call: CallId; value: unknown }
  | { do: "deliver"; user: UserId; args: Deliver }
  | { do: "notifyReceipt"; user: UserId; args: NotifyReceipt }
  | { do: "notifyTyping"; user: UserId; args: NotifyTyping }
  | { do: "askWatermark"; user: UserId }
  /** Whether this person may be brought in by the commit of that call. */
  | { do: "askAddition"; call: CallId; user: UserId; args: AskAddition }
  /** The other one of a 1:1 conversation is gone. */
  | { do: "forgetPeer"; user: UserId; args: ForgetPeer }
  /** Of the file store; what cannot be deleted now is tried again by alarm. */
  | { do: "deleteFiles"; names: string[] }
  | { do: "sync" }
  /** All that is stored goes, the alarm and the files too, and with it this core; what is answered after it waits for that. */
  | { do: "wipe" }
  | { do: "timer"; name: TimerName; afterMs: number };

/** `hold`: the sender has waited long enough; `commit`: appends that waited may go; `yield:…`: that member's turn. */
export type TimerName = "hold" | "commit" | `yield:${UserId}`;
