import { defaultRetry, type ErrorCode, type Retry } from "../../shared/errors.ts";
import { MAX_DEVICES_PER_USER, PIN_DECAY_MS } from "../../shared/limits.ts";
import type { Admit, AdmitReply, AssessSignIn, AssessSignInReply } from "../../shared/rpc.ts";
import { isSameText } from "../runtime/same-text.ts";
import type { Person } from "./person.ts";

/** Who may ask for something in this person's name, how often, and who may become one of their devices. */
export class Admission {
  readonly #person: Person;

  constructor(person: Person) {
    this.#person = person;
  }

  admit({ device, family, bucket, cost }: Admit): AdmitReply {
    if (this.#person.devices.get(device)?.session?.family !== family)
      return { ok: false, code: "unauthenticated", retry: "never" };
    const retry = this.#person.take(bucket, cost);
    return retry === undefined ? { ok: true } : { ok: false, code: "rate_limited", retry };
  }

  setPin(verifier: string | null): void {
    const { account, store } = this.#person;
    if (!store.exists) return;
    account.pin = verifier ?? undefined;
    store.saveAccount(account);
  }

  /** The code was right; is it also this person, and is there room? */
  assess({ verifier, device, revokeOthers }: AssessSignIn): AssessSignInReply {
    const person = this.#person;
    person.disconnectSilent();
    const canReset = person.now - person.lastSeenAt() >= PIN_DECAY_MS;
    const refuse = (code: PinRefusal, retry: Retry = defaultRetry[code]) =>
      ({ ok: false, code, retry, canReset }) as const;
    if (person.account.removal) return refuse("rate_limited", defaultRetry.unavailable);
    if (person.account.pin !== undefined) {
      if (verifier === undefined) return refuse("pin_required");
      const retry = this.#person.take("pin", 1);
      if (retry !== undefined) return refuse("rate_limited", retry);
      if (!isSameText(verifier, person.account.pin)) return refuse("pin_wrong");
    }
    const isKnown = device !== undefined && person.devices.has(device);
    const isFull = person.devices.size >= MAX_DEVICES_PER_USER && !isKnown && !revokeOthers;
    return isFull ? refuse("too_many_devices") : { ok: true };
  }
}

type PinRefusal = Extract<AssessSignInReply, { ok: false }>["code"] & ErrorCode;
