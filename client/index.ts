export { directConversation, directPeer } from "../shared/ids.ts";
export type { RemovalReceipt } from "./account/auth.ts";
export type { FoundPerson, Report } from "./account/contacts.ts";
export type { LinkOptions } from "./account/devices.ts";
export { Account, type AccountOptions } from "./account.ts";
export { Chat, type ChatEvents, type ChatOptions, type ConversationOverview, type Message } from "./chat.ts";
export { ChatError, type ChatErrorCode } from "./chat-error.ts";
export { type Content, isText, type OtherContent, type TextContent } from "./content.ts";
export type { Credentials, TicketOptions } from "./credentials.ts";
export type { AccountEvents } from "./device-session.ts";
export type { LinkChannel } from "./link-channel.ts";
export type { SentMessage } from "./outgoing.ts";
export { plainSealer, type Sealer, type Sender } from "./sealing.ts";
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
export type { ConversationSummary, MessagePage, Owner, Store, StoredMessage } from "./store/store.ts";
export type { MessageStatus, Ticks } from "./ticks.ts";
export { type Connection, type Transport, type TransportListener, webSocketTransport } from "./transport.ts";
