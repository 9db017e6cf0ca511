export type { DeviceListing } from "../shared/api/devices.ts";
export type { ErrorCode, RefusalDetails, Retry } from "../shared/errors.ts";
export {
  type ConversationId,
  type DeviceId,
  directConversation,
  directPeer,
  type MessageId,
  type UserId,
} from "../shared/ids.ts";
export type { Auth, RemovalReceipt } from "./account/auth.ts";
export type { Contacts, FoundPerson, Report } from "./account/contacts.ts";
export type { LinkOptions } from "./account/devices.ts";
export type { Privacy } from "./account/privacy.ts";
export type { Profile } from "./account/profile.ts";
export { Account, type AccountOptions } from "./account.ts";
export type { ArchiveService } from "./backup/archive-service.ts";
export type { UnlockKind } from "./backup/envelope.ts";
export { type CodeFault, MalformedCode } from "./backup/errors.ts";
export { makeRecoveryCode } from "./backup/recovery-code.ts";
export type { Progress, TransferOptions } from "./backup/transfer.ts";
export type { Backup, BackupSecrets, BackupStatus } from "./chat/backup.ts";
export type { ChatEvents } from "./chat/chat-events.ts";
export type { Connection } from "./chat/connection.ts";
export type { Conversations } from "./chat/conversations.ts";
export type { DeviceOptions, DeviceProgress, Devices, LinkDeviceOptions, LinkedHistory } from "./chat/devices.ts";
export type { EventOptions, Incoming } from "./chat/events.ts";
export type { Identity, IdentityStatus } from "./chat/identity.ts";
export type { LiveMessages } from "./chat/live-messages.ts";
export type { LiveQuery } from "./chat/live-query.ts";
export type { DeletedContent, Message, MessageRef, ShownContent } from "./chat/message.ts";
export type { Messages, Wording } from "./chat/messages.ts";
export type { ConversationOverview } from "./chat/overviews.ts";
export type { TimerSeconds } from "./chat/timers.ts";
export { Chat, type ChatOptions } from "./chat.ts";
export { ChatError, type ChatErrorCode } from "./chat-error.ts";
export type { ContentOf, KnownContent } from "./content/kinds.ts";
export type { GroupEvent, UnreadableContent, UnreadableReason } from "./content/local.ts";
export type { Tally } from "./content/poll.ts";
export type { ReactionCount } from "./content/reaction.ts";
export { type Content, isText, type TextContent, type UnknownContent } from "./content.ts";
export type { Credentials, TicketOptions } from "./credentials.ts";
export type { AccountEvents } from "./device-session.ts";
export type { DeliveryService } from "./encryption/delivery-service.ts";
export type { HistoryDifference } from "./encryption/write.ts";
export { type BackupSecret, type RestoreOptions, restoreBackup } from "./history/restore-backup.ts";
export type { AccountKey } from "./identity/account-key.ts";
export type { KeyChange } from "./identity/pins.ts";
export type { SafetyCheck } from "./identity/safety-number.ts";
export type { LinkChannel } from "./link-channel.ts";
export type { Authenticate, Mls } from "./mls/mls.ts";
export type { SentMessage } from "./outgoing.ts";
export type { SearchHit, SearchScope } from "./search/search-index.ts";
export type { Snippet } from "./search/snippet.ts";
export type { PeerWatermark, Phase, Stored } from "./session/contract.ts";
export type { SessionStore, StoredSession } from "./session-store.ts";
export {
  type CodeSent,
  type CompleteSignInOptions,
  completeSignIn,
  requestCode,
  type SignInOptions,
  signIn,
} from "./sign-in.ts";
export { type LinkedAccount, type PendingLink, type SignInByLinkOptions, signInByLink } from "./sign-in-by-link.ts";
export { MemoryStore } from "./store/memory.ts";
export type {
  ConversationSummary,
  MessagePage,
  Owner,
  PlacedMessage,
  Store,
  StoreChange,
  StoredMessage,
} from "./store/store.ts";
export type { MessageStatus, Ticks } from "./ticks.ts";
export {
  type Connection as TransportConnection,
  type Transport,
  type TransportListener,
  webSocketTransport,
} from "./transport.ts";
