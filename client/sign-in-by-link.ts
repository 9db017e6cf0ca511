import { Account, type AccountOptions } from "./account.ts";
import { Http } from "./http.ts";
import { type LinkedDevice, type OpenedLink, openLink } from "./linking.ts";

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

export interface LinkedAccount extends Omit<LinkedDevice, "session"> {
  readonly account: Account;
}

/**
 * Signs this device in without a phone: it shows a QR code, and a device that is signed in scans it (`devices.link`).
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
      const { session: signedIn, ...passed } = await session();
      return { account: await Account.begin(signedIn, http, store), ...passed };
    },
  };
}
