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
 * Commits that wait for word from people's own objects whether these people exist, and let themselves be brought in: nothing
 * may name somebody again who has been removed (docs/protocol.md R14), and nobody is brought into groups without end (R16).
 * Whoever is removed while their answer is on its way is erased here before or after it: `erased` says that it came before.
 */
export class Newcomers {
  #waiting: Waiting[] = [];

  ask(submission: Submission, users: readonly UserId[]): ConversationEffect[] {
    const registered = new Set([...submission.registered, ...users]);
    this.#waiting.push({ submission: { ...submission, registered }, unknown: new Set(users) });
    const { call, args } = submission;
    return users.map((user) => ({ do: "askAddition", call, user, args: { by: args.user, commit: args.id } }));
  }

  /** They may be brought in by this commit. @returns it, if it waits for nobody any more */
  confirmed(call: CallId, user: UserId): Submission[] {
    for (const { submission, unknown } of this.#waiting) if (submission.call === call) unknown.delete(user);
    return this.#take(({ unknown }) => unknown.size === 0);
  }

  /** Somebody may not, or nobody knows. @returns the commit, which cannot be made */
  unconfirmed(call: CallId): Submission[] {
    return this.#take(({ submission }) => submission.call === call);
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
