import type { UserId } from "../../shared/ids.ts";
import type { ContentOf } from "./kinds.ts";
import type { MessageState, Origin } from "./message-state.ts";

export interface Tally {
  readonly option: string;
  /** In the order in which they voted. */
  readonly voters: readonly UserId[];
}

/** A person's last vote counts. One for an option that is not there, or for several where one may be chosen, changes nothing. */
export function applyVote(state: MessageState, { options }: ContentOf<"vote">, by: Origin): MessageState {
  const poll = state.content;
  if (poll?.kind !== "poll" || (options.length > 1 && !poll.multiple)) return state;
  if (options.some((option) => option >= poll.options.length)) return state;
  const votes = new Map(state.votes);
  votes.delete(by.user);
  if (options.length > 0) votes.set(by.user, options);
  return { ...state, votes };
}

/** Option by option, in the order of the poll. */
export function tallyPoll(poll: ContentOf<"poll">, votes: MessageState["votes"]): Tally[] {
  return poll.options.map((option, index) => {
    const voters = [...votes].filter(([, options]) => options.includes(index)).map(([user]) => user);
    return { option, voters };
  });
}
