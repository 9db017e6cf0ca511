import type { AnswerOf, Endpoint } from "../../shared/api/endpoint.ts";
import { AuthorizedHttp, type Timed } from "../authorized-http.ts";
import type { DeviceSession } from "../device-session.ts";
import type { Asked, Http } from "../http.ts";
import type { Follower } from "./follower.ts";

/**
 * The device's session as each tab has it: requests go from the tab itself, with access tokens from the leader. Only that one
 * has the refresh token, which is good once.
 */
export class TabSession implements Pick<DeviceSession, "call" | "download" | "refresh" | "forget"> {
  readonly #follower: Follower;
  readonly #authorized: AuthorizedHttp;

  constructor(follower: Follower, http: Http) {
    this.#follower = follower;
    this.#authorized = new AuthorizedHttp(http, (refused) => follower.ask("accessToken", refused));
  }

  call<E extends Endpoint>(endpoint: E, ...asked: Asked<E, Timed>): Promise<AnswerOf<E>> {
    return this.#authorized.call(endpoint, ...asked);
  }

  download<E extends Endpoint>(endpoint: E, ...asked: Asked<E, Timed>): Promise<Uint8Array> {
    return this.#authorized.download(endpoint, ...asked);
  }

  refresh(): Promise<void> {
    return this.#follower.ask("refresh");
  }

  forget(): Promise<void> {
    return this.#follower.ask("forget");
  }
}
