import { Account, type AccountOptions } from "./account.ts";
import type { LinkedHistory } from "./chat/devices.ts";
import { readHandover } from "./history/handover.ts";
import { Http } from "./http.ts";
import type { AccountKey } from "./identity/account-key.ts";
import { type OpenedLink, openLink } from "./linking.ts";

export interface SignInByLinkOptions extends AccountOptions {
  /** How the person's other devices call this one. */
  readonly deviceName: string;
  /** Ends the waiting, with code `closed`. */
  readonly signal?: AbortSignal;
}

export interface PendingLink extends Omit<OpenedLink, "session"> {
  /** Waits until a device of the person's has linked this one. To be called once. @throws ChatError tampered, not_found */
  linked(): Promise<LinkedAccount>;
}

export interface LinkedAccount {
  readonly account: Account;
  /** For `Chat.open`. */
  readonly accountKey: AccountKey;
  /** For `chat.devices.receiveHistory`, once the chat is open. */
  readonly history: LinkedHistory;
}

/**
 * Signs this device in without a phone: it shows a QR code, and a device that is signed in scans it (`chat.devices.link`).
 *
 *     const link = await signInByLink({ url, store, deviceName: "Laptop" });
 *     show(link.qr);
 *     const { account, accountKey, history } = await link.linked();
 *     const chat = await Chat.open({ account, accountKey, store, client });
 *     chat.connection.open();
 *     await chat.devices.receiveHistory(history);
 *
 * @throws ChatError
 */
export async function signInByLink({
  deviceName,
  store,
  signal,
  ...options
}: SignInByLinkOptions): Promise<PendingLink> {
  const http = new Http(options.url, options);
  const { session, ...shown } = await openLink({ http, deviceName, ...(signal && { signal }) });
  return {
    ...shown,
    async linked() {
      const { session: signedIn, payload, channel } = await session();
      // The server could have signed this device in to anybody's account: the other device names its own.
      const { accountKey, backupKey, history } = await readHandover(payload, signedIn.user);
      const account = await Account.begin(signedIn, http, store);
      return { account, accountKey, history: { backupKey, history, channel } };
    },
  };
}
