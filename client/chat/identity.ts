import type { UserId } from "../../shared/ids.ts";
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
}

/**
 * Who the others really are. This device takes somebody's account key for theirs from when it first meets them; that it
 * is not one of the server's, only the two can find out, by comparing. A key that changes is told as `key_changed`.
 * Whatever is about somebody whom this device has not met is `not_found`.
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
    return pin && { since: pin.since, verifiedAt: pin.verifiedAt };
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
