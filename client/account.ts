import type { Session } from "../shared/api/sign-in.ts";
import type { DeviceId, UserId } from "../shared/ids.ts";
import { Auth } from "./account/auth.ts";
import { Contacts } from "./account/contacts.ts";
import { Devices } from "./account/devices.ts";
import { Privacy } from "./account/privacy.ts";
import { Profile } from "./account/profile.ts";
import { HttpArchiveService } from "./backup/http-archive-service.ts";
import { asChatErrors } from "./chat/failure.ts";
import type { Credentials, TicketOptions } from "./credentials.ts";
import { type AccountEvents, DeviceSession } from "./device-session.ts";
import { HttpDeliveryService } from "./encryption/http-delivery-service.ts";
import { Http } from "./http.ts";
import type { SessionStore } from "./session-store.ts";

export interface AccountOptions {
  /** The server, as in "https://chat.example". */
  readonly url: string;
  /** Keeps the session, and stays open: it belongs to whoever made it. */
  readonly store: SessionStore;
  /** For pages: the browser keeps the refresh token, in a cookie that no script can read, and the store has none. */
  readonly cookie?: boolean;
}

/** A person on a signed-in device: what they can do besides talking, for which there is `Chat`. */
export class Account implements Credentials {
  readonly url: string;
  readonly user: UserId;
  readonly device: DeviceId;
  /** This sign-in made the account: it has no name yet. */
  readonly isNew: boolean;
  readonly auth: Auth;
  readonly devices: Devices;
  readonly contacts: Contacts;
  readonly profile: Profile;
  readonly privacy: Privacy;
  readonly delivery: HttpDeliveryService;
  readonly archives: HttpArchiveService;
  readonly #session: DeviceSession;

  private constructor(session: DeviceSession, { url }: Http, isNew: boolean) {
    this.url = url;
    this.user = session.user;
    this.device = session.device;
    this.isNew = isNew;
    this.#session = session;
    this.auth = new Auth(session);
    this.devices = new Devices(session);
    this.contacts = new Contacts(session);
    this.profile = new Profile(session);
    this.privacy = new Privacy(session);
    this.delivery = new HttpDeliveryService(session);
    this.archives = new HttpArchiveService(session);
  }

  /**
   * The account that signed in here before, without asking the server; undefined if there is none, or it was signed out.
   * @throws ChatError store_failed
   */
  static async open({ url, store, cookie = false }: AccountOptions): Promise<Account | undefined> {
    const http = new Http(url, { cookie });
    const session = await asChatErrors(() => DeviceSession.open(http, store));
    return session && new Account(session, http, false);
  }

  /** What a sign-in has answered becomes an account, and is in the store. @throws ChatError store_failed */
  static async begin(signedIn: Session, http: Http, store: SessionStore): Promise<Account> {
    return new Account(await DeviceSession.begin(signedIn, http, store), http, signedIn.isNew);
  }

  /** A fresh ticket, good for one connection; `Chat` asks for it. @throws ChatError */
  ticket(options?: TicketOptions): Promise<string> {
    return this.#session.ticket(options);
  }

  /** @returns a function that ends the subscription */
  on<T extends keyof AccountEvents>(type: T, listener: (event: AccountEvents[T]) => void): () => void {
    return this.#session.listeners.add(type, listener);
  }
}
