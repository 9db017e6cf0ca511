import type { AnswerOf, Endpoint } from "../shared/api/endpoint.ts";
import { connectTicket, refreshSession } from "../shared/api/session.ts";
import type { Session } from "../shared/api/sign-in.ts";
import { toBase64url } from "../shared/base64url.ts";
import type { DeviceId, UserId } from "../shared/ids.ts";
import { ACCESS_TOKEN_TTL_MS } from "../shared/limits.ts";
import { AuthorizedHttp, type Timed } from "./authorized-http.ts";
import { ChatError, hasCode } from "./chat-error.ts";
import type { TicketOptions } from "./credentials.ts";
import type { Asked, Http } from "./http.ts";
import { Listeners } from "./listeners.ts";
import type { SessionStore, StoredSession } from "./session-store.ts";

/** A token that is about to expire is not worth a request. */
const EXPIRY_MARGIN_MS = 30_000;
/** 128 bits: nobody guesses an attempt, and no two have the same name. */
const ATTEMPT_BYTES = 16;

export interface AccountEvents {
  /** This device is not signed in any more, because its person said so, or the server. Comes once. */
  readonly signed_out: { readonly user: UserId; readonly device: DeviceId };
}

interface AccessToken {
  readonly text: string;
  readonly freshUntil: number;
}

/**
 * A signed-in device's tokens: the access token in memory, the refresh token in the store or in the browser's cookie.
 * Each refresh token is good once. An attempt to use it has a name, which is stored before the server is asked: whatever is
 * lost after that, the same attempt again gets the same answer.
 */
export class DeviceSession {
  readonly user: UserId;
  readonly device: DeviceId;
  readonly listeners = new Listeners<AccountEvents>();
  readonly #http: Http;
  readonly #authorized: AuthorizedHttp;
  readonly #store: SessionStore;
  #refreshToken: string | undefined;
  #attempt: string | undefined;
  #access: AccessToken | undefined;
  #renewal: Promise<AnswerOf<typeof refreshSession>> | undefined;
  #isOver = false;

  /** As an earlier run of the app has left it. */
  constructor(stored: StoredSession, http: Http, store: SessionStore) {
    this.user = stored.user;
    this.device = stored.device;
    this.#refreshToken = stored.refreshToken;
    this.#attempt = stored.attempt;
    this.#http = http;
    this.#authorized = new AuthorizedHttp(http, (refused) => this.accessToken(refused));
    this.#store = store;
  }

  /** After signing in. @throws ChatError store_failed */
  static async begin(signedIn: Session, http: Http, store: SessionStore): Promise<DeviceSession> {
    const { user, device, refreshToken, accessToken } = signedIn;
    const session = new DeviceSession({ user, device, isSignedOut: false }, http, store);
    await session.#keep(refreshToken);
    session.#access = { text: accessToken, freshUntil: freshUntil(Date.now()) };
    return session;
  }

  /** The one that is stored; undefined if there is none, or it is over. @throws what the store throws */
  static async open(http: Http, store: SessionStore): Promise<DeviceSession | undefined> {
    const stored = await store.loadSession();
    return stored && !stored.isSignedOut ? new DeviceSession(stored, http, store) : undefined;
  }

  /** Asks in the device's name, where a name is asked for. @throws ChatError, signed_out if the device is that */
  call<E extends Endpoint>(endpoint: E, ...asked: Asked<E, Timed>): Promise<AnswerOf<E>> {
    return this.#authorized.call(endpoint, ...asked);
  }

  /** @throws ChatError as `call` */
  download<E extends Endpoint>(endpoint: E, ...asked: Asked<E, Timed>): Promise<Uint8Array> {
    return this.#authorized.download(endpoint, ...asked);
  }

  /**
   * For a request in the device's name; good for some minutes.
   * @param refused a token that the server did not take: it is given out no more
   * @throws ChatError
   */
  async accessToken(refused?: string): Promise<string> {
    this.#throwIfOver();
    if (refused !== undefined && this.#access?.text === refused) this.#access = undefined;
    return this.#freshToken ?? (await this.#renew(false)).accessToken;
  }

  /** One request if the access token has to be renewed anyway, which after a pause it has. @throws ChatError */
  async ticket({ renew = false }: TicketOptions = {}): Promise<string> {
    if (renew) this.#access = undefined;
    if (!this.#freshToken && !this.#renewal) {
      const { ticket } = await this.#renew(true);
      if (ticket !== undefined) return ticket;
    }
    return (await this.call(connectTicket)).ticket;
  }

  /** Renews the tokens, whether they need it or not. @throws ChatError */
  async refresh(): Promise<void> {
    await this.#renew(false);
  }

  /** The device is not signed in any more, and nothing of the session stays. */
  async forget(): Promise<void> {
    this.#end();
    await this.#save(undefined);
  }

  get #freshToken(): string | undefined {
    return this.#access && this.#access.freshUntil > Date.now() ? this.#access.text : undefined;
  }

  /** One at a time: everybody who needs a token waits for the same one. */
  #renew(ticket: boolean): Promise<AnswerOf<typeof refreshSession>> {
    this.#renewal ??= this.#exchange(ticket).finally(() => {
      this.#renewal = undefined;
    });
    return this.#renewal;
  }

  async #exchange(ticket: boolean): Promise<AnswerOf<typeof refreshSession>> {
    this.#throwIfOver();
    const attempt = this.#attempt ?? (await this.#newAttempt());
    this.#throwIfOver();
    const askedAt = Date.now();
    const renewed = await this.#askForTokens(ticket, attempt);
    this.#throwIfOver();
    // Before anything is done with it: if the app dies in between, the same attempt gets the same answer.
    await this.#keep(renewed.refreshToken);
    this.#access = { text: renewed.accessToken, freshUntil: freshUntil(askedAt) };
    return renewed;
  }

  async #newAttempt(): Promise<string> {
    const attempt = toBase64url(crypto.getRandomValues(new Uint8Array(ATTEMPT_BYTES)));
    await this.#keep(this.#refreshToken, attempt);
    return attempt;
  }

  async #askForTokens(ticket: boolean, attempt: string): Promise<AnswerOf<typeof refreshSession>> {
    const refreshToken = this.#refreshToken;
    try {
      const body = { ticket, attempt, ...(refreshToken !== undefined && { refreshToken }) };
      return await this.#http.call(refreshSession, { body });
    } catch (error) {
      if (!hasCode(error, "unauthenticated")) throw error;
      // Signed out by its own app meanwhile: nothing of the session stays, this neither.
      if (!this.#isOver) await this.#saveAsOver();
      throw new ChatError("signed_out", { requestId: error.requestId, cause: error });
    }
  }

  async #saveAsOver(): Promise<void> {
    const { user, device } = this;
    this.#end();
    await this.#save({ user, device, isSignedOut: true });
  }

  /** @param attempt the one that is under way with this token */
  async #keep(refreshToken: string | undefined, attempt?: string): Promise<void> {
    const { user, device } = this;
    const token = refreshToken === undefined ? {} : { refreshToken };
    await this.#save({ user, device, ...token, ...(attempt !== undefined && { attempt }), isSignedOut: false });
    this.#refreshToken = refreshToken;
    this.#attempt = attempt;
  }

  async #save(session: StoredSession | undefined): Promise<void> {
    try {
      await this.#store.saveSession(session);
    } catch (cause) {
      throw new ChatError("store_failed", { cause });
    }
  }

  #throwIfOver(): void {
    if (this.#isOver) throw new ChatError("signed_out");
  }

  #end(): void {
    this.#access = undefined;
    if (this.#isOver) return;
    this.#isOver = true;
    const { user, device } = this;
    this.listeners.tell("signed_out", { user, device });
  }
}

/** By this device's clock, which may be wrong: what counts is the time that passes from the request on. */
function freshUntil(askedAt: number): number {
  return askedAt + ACCESS_TOKEN_TTL_MS - EXPIRY_MARGIN_MS;
}
