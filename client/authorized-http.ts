import type { AnswerOf, Endpoint } from "../shared/api/endpoint.ts";
import { hasCode } from "./chat-error.ts";
import type { Asked, CallOptions, Http } from "./http.ts";

/** A request without its token, which is somebody else's to know. */
export type Timed = Omit<CallOptions, "token">;

/** @param refused a token that the server did not take: another one is asked for. @throws ChatError */
export type AccessTokens = (refused?: string) => Promise<string>;

/** Asks in a device's name, where a name is asked for. */
export class AuthorizedHttp {
  readonly #http: Http;
  readonly #accessToken: AccessTokens;

  constructor(http: Http, accessToken: AccessTokens) {
    this.#http = http;
    this.#accessToken = accessToken;
  }

  /** @throws ChatError */
  call<E extends Endpoint>(endpoint: E, ...asked: Asked<E, Timed>): Promise<AnswerOf<E>> {
    if (endpoint.access === "anyone") return this.#http.call(endpoint, ...asked);
    const [request] = asked;
    return this.#authorized((token) =>
      this.#http.call(endpoint, ...([{ ...request, token }] as Asked<E, CallOptions>)),
    );
  }

  /** @throws ChatError as `call` */
  download<E extends Endpoint>(endpoint: E, ...[request]: Asked<E, Timed>): Promise<Uint8Array> {
    return this.#authorized((token) =>
      this.#http.download(endpoint, ...([{ ...request, token }] as Asked<E, CallOptions>)),
    );
  }

  /** A token that the server does not take is renewed once: this device's clock may be wrong. */
  async #authorized<T>(ask: (token: string) => Promise<T>): Promise<T> {
    const token = await this.#accessToken();
    try {
      return await ask(token);
    } catch (error) {
      if (!hasCode(error, "unauthenticated")) throw error;
      return ask(await this.#accessToken(token));
    }
  }
}
