import type { Auth } from "../account/auth.ts";
import type { Privacy } from "../account/privacy.ts";
import type { Profile } from "../account/profile.ts";
import type { Backup } from "../chat/backup.ts";
import type { Devices } from "../chat/devices.ts";
import type { Chat, ChatOptions } from "../chat.ts";
import { Http } from "../http.ts";
import { createMls } from "../mls/ts-mls.ts";
import { webSocketTransport } from "../transport.ts";
import { Follower } from "./follower.ts";
import type { IndexedDbStore } from "./indexed-db-store.ts";
import { Leader } from "./leader.ts";
import { SharedChat } from "./shared-chat.ts";

export interface OpenChatOptions extends Omit<ChatOptions, "account" | "store"> {
  /** The server, as in "https://chat.example". */
  readonly url: string;
  /** With the session in it. Each tab opens it itself, under the same name; it stays open when the chat is disposed of. */
  readonly store: IndexedDbStore;
  /** As when this device was signed in: the browser keeps the refresh token, in a cookie that no script can read. */
  readonly cookie?: boolean;
}

/**
 * A chat that a tab shares with the others of its browser. What belongs to the account besides is here as well: the session is
 * shared too, and an `Account` beside it would end it.
 */
export interface TabChat extends Omit<Chat, "devices" | "backup"> {
  readonly devices: Omit<Devices, "stop">;
  readonly backup: Omit<Backup, "stop">;
  readonly auth: Auth;
  readonly profile: Profile;
  readonly privacy: Privacy;
}

/**
 * Opens the chat of the device that is signed in, in this tab and in any other that does the same: together they are one device,
 * with one connection. One tab leads, and when it is closed or crashes another one does; nobody who uses the chat needs to
 * know. A message is sent once, whoever leads in the end.
 * @throws ChatError `signed_out`, if no session is stored; as `Chat.open`
 */
export async function openChat({ url, store, cookie = false, ...options }: OpenChatOptions): Promise<TabChat> {
  const { transport = webSocketTransport, mls = (authenticate) => createMls({ authenticate }) } = options;
  const follower = await Follower.open({
    ...{ name: `sandpiper/${store.name}`, store },
    lead: (tell) => Leader.open({ ...options, url, store, cookie, transport, mls }, tell),
  });
  return new SharedChat(follower, new Http(url, { cookie }));
}
