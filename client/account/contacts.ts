import type { AnswerOf, BodyInputOf } from "../../shared/api/endpoint.ts";
import {
  acceptRequest,
  addContact,
  block,
  discoverContacts,
  findUsername,
  listBlocked,
  listContacts,
  listRequests,
  openUserLink,
  removeContact,
  report,
  unblock,
} from "../../shared/api/people.ts";
import type { UserId } from "../../shared/ids.ts";
import { MAX_HASHES_PER_DISCOVERY } from "../../shared/limits.ts";
import type { Message } from "../chat/message.ts";
import type { DeviceSession } from "../device-session.ts";
import { sealEvidence } from "./evidence.ts";
import { digestOf } from "./phone.ts";

/** Somebody who was found. */
export interface FoundPerson {
  readonly user: UserId;
  readonly name: string;
}

export interface Report {
  readonly user: UserId;
  readonly reason: BodyInputOf<typeof report>["reason"];
  /** Shown to those who run the service, and to nobody else; of one conversation. */
  readonly messages?: readonly Message[];
  /** Also blocks the person. */
  readonly block?: boolean;
}

/** The people whom this person knows, and those who want to be known. Everything here rejects with a `ChatError`. */
export class Contacts {
  readonly #session: Pick<DeviceSession, "call">;

  constructor(session: Pick<DeviceSession, "call">) {
    this.#session = session;
  }

  async list(): Promise<AnswerOf<typeof listContacts>["contacts"]> {
    return (await this.#session.call(listContacts)).contacts;
  }

  add(user: UserId): Promise<void> {
    return this.#session.call(addContact, { params: { user } });
  }

  /** The conversation with them stays. */
  remove(user: UserId): Promise<void> {
    return this.#session.call(removeContact, { params: { user } });
  }

  /**
   * Who of these numbers is here. Only digests leave the device, which keeps them from being read in passing; the server
   * could guess them.
   * @param phones in international format, as in "+49 170 1234567"; code `phone_invalid` for any other
   */
  async discover(phones: readonly string[]): Promise<(FoundPerson & { readonly phone: string })[]> {
    const byDigest = new Map<string, string>();
    for (const phone of phones) byDigest.set(await digestOf(phone), phone);
    const digests = [...byDigest.keys()];
    const people: (FoundPerson & { phone: string })[] = [];
    for (let from = 0; from < digests.length; from += MAX_HASHES_PER_DISCOVERY) {
      const body = { digests: digests.slice(from, from + MAX_HASHES_PER_DISCOVERY) };
      const { found } = await this.#session.call(discoverContacts, { body });
      people.push(...found.map(({ digest, user, name }) => ({ user, name, phone: byDigest.get(digest) ?? "" })));
    }
    return people;
  }

  /** Who has this username. Code `not_found` if nobody has it. */
  find(username: string): Promise<FoundPerson> {
    return this.#session.call(findUsername, { body: { username } });
  }

  /** Whose link this is. Code `not_found` if it leads nowhere (any more). */
  open(link: string): Promise<FoundPerson> {
    return this.#session.call(openUserLink, { body: { link } });
  }

  /** Nothing of what they write arrives any more. They are not told. */
  block(user: UserId): Promise<void> {
    return this.#session.call(block, { params: { user } });
  }

  unblock(user: UserId): Promise<void> {
    return this.#session.call(unblock, { params: { user } });
  }

  async blocked(): Promise<FoundPerson[]> {
    return (await this.#session.call(listBlocked)).blocked;
  }

  /** Strangers who have written: they see no receipts and no presence until they are accepted. */
  async requests(): Promise<FoundPerson[]> {
    return (await this.#session.call(listRequests)).requests;
  }

  /** Answering them, or adding them to the contacts, does the same. */
  accept(user: UserId): Promise<void> {
    return this.#session.call(acceptRequest, { params: { user } });
  }

  /** Reports somebody to those who run the service. @returns the report's number */
  async report({ user, reason, messages = [], block = false }: Report): Promise<string> {
    const evidence = await sealEvidence(this.#session, messages);
    const [shown] = messages;
    const body = { user, reason, block, ...(shown && { conversation: shown.conversation }), ...evidence };
    return (await this.#session.call(report, { body })).report;
  }
}
