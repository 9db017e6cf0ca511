import type { ConversationId, UserId } from "../../shared/ids.ts";
import { ChatError } from "../chat-error.ts";
import type { Identity as Person } from "../identity/pins.ts";
import {
  checkSafetyCode,
  fingerprint,
  type SafetyCheck,
  safetyNumber,
  writeSafetyCode,
} from "../identity/safety-number.ts";
import type { Base } from "./base.ts";
import { asChatErrors } from "./failure.ts";

/** What this device knows of who somebody is. */
export interface IdentityStatus {
  /** Since when their account key is the one it is, ms since 1970. */
  readonly since: number;
  /** When the two people have compared it; undefined if they have not since it is this key. */
  readonly verifiedAt: number | undefined;
  /** They were verified, and their key is another one since: what is written to them waits until `verify` or `accept`. */
  readonly isUnconfirmed: boolean;
}

/**
 * Who the others really are. This device takes somebody's account key for theirs from when it first meets them; that it
 * is not one of the server's, only the two can find out, by comparing. A key that changes is told as `key_changed`.
 * If they were verified, nothing is said to the new one until they are again, or are accepted as they are: it stays in the
 * outbox (`held`), in groups too, while what they write is shown. Whatever is about somebody whom this device has not met is
 * `not_found`.
 */
export class Identity {
  readonly #base: Base;

  constructor(base: Base) {
    this.#base = base;
  }

  /** This person's own account key: 30 digits in groups of five, the same on all their devices. */
  fingerprint(): Promise<string> {
    const { user, accountKey } = this.#own;
    return fingerprint(accountKey, new TextEncoder().encode(user));
  }

  /** Undefined for somebody whom this device has not met. */
  status(user: UserId): IdentityStatus | undefined {
    const pin = this.#base.authenticator.pin(user);
    return pin && { since: pin.since, verifiedAt: pin.verifiedAt, isUnconfirmed: pin.isUnconfirmed ?? false };
  }

  /** 60 digits in groups of five: both people see the same if both devices have the same two keys. @throws ChatError not_found */
  async safetyNumber(user: UserId): Promise<string> {
    return safetyNumber(this.#own, this.#of(user));
  }

  /** The same as a text for a QR code, which the other one scans. @throws ChatError not_found */
  safetyCode(user: UserId): string {
    return writeSafetyCode(this.#own, this.#of(user));
  }

  /**
   * If it matches, they are verified for as long as their key stays the same.
   * @param compared what was scanned from their device, or the safety number that the two have read to each other
   * @throws ChatError code_malformed, not_found
   */
  verify(user: UserId, compared: string): Promise<SafetyCheck> {
    return asChatErrors(async () => {
      const person = this.#of(user);
      const check = isNumber(compared)
        ? await this.#checkNumber(compared, person)
        : checkSafetyCode(compared, this.#own, person);
      return check === "match" ? this.#base.markVerified(person) : check;
    });
  }

  /**
   * Takes them for who they now seem to be, without comparing anything: they are not verified any more, and what was held
   * back goes.
   * @throws ChatError not_found
   */
  accept(user: UserId): Promise<void> {
    return asChatErrors(() => this.#base.acceptKey(user));
  }

  /** Whose keys hold back what is written there; nobody's, if it goes. Known once it was to go. */
  holding(conversation: ConversationId): readonly UserId[] {
    return this.#base.held.get(conversation) ?? [];
  }

  async #checkNumber(compared: string, person: Person): Promise<SafetyCheck> {
    const number = await safetyNumber(this.#own, person);
    return digitsOf(number) === digitsOf(compared) ? "match" : "mismatch";
  }

  get #own(): Person {
    return this.#base.authenticator.own;
  }

  #of(user: UserId): Person {
    const pin = this.#base.authenticator.pin(user);
    if (!pin) throw new ChatError("not_found");
    return { user, accountKey: pin.accountKey };
  }
}

function isNumber(text: string): boolean {
  return /^[\d\s]+$/.test(text);
}

function digitsOf(text: string): string {
  return text.replace(/\s/g, "");
}
