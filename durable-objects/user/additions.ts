import { additionBucket } from "../../shared/limits.ts";
import type { AskAddition, AskAdditionReply } from "../../shared/rpc.ts";
import type { Person } from "./person.ts";
import { Requesters } from "./requesters.ts";

/** Who brings this person into groups: nobody does it again and again (docs/protocol.md R16). */
export class Additions {
  readonly #person: Person;
  readonly #adders: Requesters;

  constructor(person: Person) {
    this.#person = person;
    this.#adders = new Requesters(person, person.store.adders, additionBucket);
  }

  ask({ by, commit }: AskAddition): AskAdditionReply {
    const { store, account, id } = this.#person;
    if (!store.exists || account.removal) return { ok: false, code: "not_found", retry: "never" };
    const retry = by === id ? undefined : this.#adders.take(by, commit);
    return retry === undefined ? { ok: true } : { ok: false, code: "rate_limited", retry };
  }

  sweep(): void {
    this.#adders.sweep();
  }
}
