import type { AnswerOf, BodyInputOf } from "../../shared/api/endpoint.ts";
import {
  confirmUsername,
  getMe,
  type Profile as Person,
  releaseUsername,
  removeLink,
  reserveUsername,
  rotateLink,
  updateMe,
  viewPerson,
} from "../../shared/api/people.ts";
import type { UserId } from "../../shared/ids.ts";
import type { DeviceSession } from "../device-session.ts";

/** What others see of this person, and what this person sees of others. Everything here rejects with a `ChatError`. */
export class Profile {
  readonly #session: Pick<DeviceSession, "call">;

  constructor(session: Pick<DeviceSession, "call">) {
    this.#session = session;
  }

  me(): Promise<AnswerOf<typeof getMe>> {
    return this.#session.call(getMe);
  }

  /** What is not named stays as it is. */
  update(changes: BodyInputOf<typeof updateMe>): Promise<void> {
    return this.#session.call(updateMe, { body: changes });
  }

  /** Somebody's profile, as far as this person may see it. */
  view(user: UserId): Promise<Person> {
    return this.#session.call(viewPerson, { params: { user } });
  }

  /** Keeps a free username for some minutes, until it is confirmed. Code `taken` if it is not free. */
  reserveUsername(username: string): Promise<AnswerOf<typeof reserveUsername>> {
    return this.#session.call(reserveUsername, { body: { username } });
  }

  confirmUsername(username: string): Promise<void> {
    return this.#session.call(confirmUsername, { body: { username } });
  }

  releaseUsername(): Promise<void> {
    return this.#session.call(releaseUsername);
  }

  /** A new link with which anybody can write to this person; the one before leads nowhere from now on. */
  async rotateLink(): Promise<string> {
    return (await this.#session.call(rotateLink)).link;
  }

  removeLink(): Promise<void> {
    return this.#session.call(removeLink);
  }
}
