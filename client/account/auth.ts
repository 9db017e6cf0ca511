import { removePin, setPin } from "../../shared/api/people.ts";
import { deleteAccount, exportAccount, type Removal } from "../../shared/api/rights.ts";
import { signOut } from "../../shared/api/session.ts";
import { HTTP_TIMEOUT_MS, REMOVAL_ANSWER_MS } from "../../shared/limits.ts";
import { hasCode } from "../chat-error.ts";
import type { DeviceSession } from "../device-session.ts";

/** What was removed, and the same signed by the server (JWS, compact). */
export interface RemovalReceipt {
  readonly removal: Removal;
  readonly receipt: string;
}

/** Who may act as this person, and what is kept about them. Everything here rejects with a `ChatError`. */
export class Auth {
  readonly #session: Pick<DeviceSession, "call" | "download" | "refresh" | "forget">;

  constructor(session: Pick<DeviceSession, "call" | "download" | "refresh" | "forget">) {
    this.#session = session;
  }

  /** Renews the tokens now; they are renewed by themselves whenever they have to be. */
  refresh(): Promise<void> {
    return this.#session.refresh();
  }

  /** Removes this device from the account. Its store is of no use any more. */
  async signOut(): Promise<void> {
    try {
      await this.#session.call(signOut);
    } catch (error) {
      if (!hasCode(error, "signed_out")) throw error;
    }
    await this.#session.forget();
  }

  /**
   * Signing in with this number asks for it from now on.
   * @param pin digits
   * @param current the one before, if the account has one
   */
  setPin(pin: string, current?: string): Promise<void> {
    return this.#session.call(setPin, { body: { pin, ...(current !== undefined && { current }) } });
  }

  removePin(current?: string): Promise<void> {
    return this.#session.call(removePin, { body: { ...(current !== undefined && { current }) } });
  }

  /** All that is kept about this person: a ZIP archive with account.json and account.html. */
  export(): Promise<Uint8Array> {
    return this.#session.download(exportAccount);
  }

  /**
   * Removes the account and everything of it, everywhere, for good.
   * @param confirm says that it is meant
   * @param pin if the account has one
   */
  async remove(confirm: "remove my account", pin?: string): Promise<RemovalReceipt> {
    const body = { confirm, ...(pin !== undefined && { pin }) };
    const receipt = await this.#session.call(deleteAccount, { body, timeoutMs: HTTP_TIMEOUT_MS + REMOVAL_ANSWER_MS });
    await this.#session.forget();
    return receipt;
  }
}
