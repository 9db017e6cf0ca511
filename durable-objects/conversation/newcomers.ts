import type { UserId } from "../../shared/ids.ts";
import type { SubmitCommit } from "../../shared/rpc.ts";
import type { CallId, ConversationEffect } from "./effects.ts";

/** A commit that was handed in, and who is known to exist of the people it brings in. */
export interface Submission {
  readonly call: CallId;
  readonly args: SubmitCommit;
  readonly registered: ReadonlySet<UserId>;
}

interface Waiting {
  /** As it will be when everybody is known. */
  readonly submission: Submission;
  readonly unknown: Set<UserId>;
}

/**
 * Commits that wait for word from people's own objects whether these people exist: nothing may name somebody again who has
 * been removed (docs/protocol.md R14). Whoever is removed while their answer is on its way is erased here before or after
 * it: `erased` says that it came before.
 */
export class Newcomers {
  #waiting: Waiting[] = [];

  ask(submission: Submission, users: readonly UserId[]): ConversationEffect[] {
    const registered = new Set([...submission.registered, ...users]);
    this.#waiting.push({ submission: { ...submission, registered }, unknown: new Set(users) });
    return users.map((user) => ({ do: "askRegistered", user }));
  }

  /** They exist. @returns commits that wait for nobody any more */
  confirmed(user: UserId): Submission[] {
    for (const { unknown } of this.#waiting) unknown.delete(user);
    return this.#take(({ unknown }) => unknown.size === 0);
  }

  /** They do not, or nobody knows. @returns commits that cannot be made */
  unconfirmed(user: UserId): Submission[] {
    return this.#take(({ unknown }) => unknown.has(user));
  }

  /** They have just been erased. @returns commits that cannot be made */
  erased(user: UserId): Submission[] {
    return this.#take(({ submission }) => submission.registered.has(user));
  }

  #take(test: (waiting: Waiting) => boolean): Submission[] {
    const taken = this.#waiting.filter(test);
    this.#waiting = this.#waiting.filter((waiting) => !taken.includes(waiting));
    return taken.map(({ submission }) => submission);
  }
}
