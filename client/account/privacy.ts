import type { BodyInputOf } from "../../shared/api/endpoint.ts";
import { getPrivacy, type Privacy as Settings, setPrivacy } from "../../shared/api/people.ts";
import type { DeviceSession } from "../device-session.ts";

/** Who may see what of this person, and who may add them to groups. Everything here rejects with a `ChatError`. */
export class Privacy {
  readonly #session: Pick<DeviceSession, "call">;

  constructor(session: Pick<DeviceSession, "call">) {
    this.#session = session;
  }

  get(): Promise<Settings> {
    return this.#session.call(getPrivacy);
  }

  /** What is not named stays as it is. */
  set(changes: BodyInputOf<typeof setPrivacy>): Promise<void> {
    return this.#session.call(setPrivacy, { body: changes });
  }
}
