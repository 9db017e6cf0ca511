import type { ConversationId } from "../../shared/ids.ts";
import { MAX_TEXT_CHARS } from "../../shared/limits.ts";
import { ChatError } from "../chat-error.ts";
import { forward } from "../content/forwarding.ts";
import type { ContentOf } from "../content/kinds.ts";
import type { ErasedContent } from "../content/local.ts";
import { applyChange, isEvent, type MessageChange, type MessageState } from "../content/message-state.ts";
import type { Content } from "../content.ts";
import type { SentMessage } from "../outgoing.ts";
import type { SearchHit, SearchScope } from "../search/search-index.ts";
import type { MessagePage } from "../store/store.ts";
import type { Base } from "./base.ts";
import { excerptOf } from "./excerpt.ts";
import { asChatErrors } from "./failure.ts";
import { type LiveMessages, LivePage } from "./live-messages.ts";
import { type Message, type MessageRef, readContent } from "./message.ts";
import type { Search } from "./search.ts";
import { nobodyIsAdmin, type Timeline } from "./timeline.ts";
import { isToBeRead, type TimerSeconds } from "./timers.ts";

/** Other words: a text, or one with the people it names or the preview of a page. */
export type Wording = string | Omit<ContentOf<"edit">, "kind" | "target">;
const LAST_PAGE: MessagePage = { limit: 50 };

/**
 * What is said. Whatever is sent is fulfilled when it is in the outbox: it will not be lost any more, and shows at once. Its
 * `sent` tells when the server has it.
 *
 * What is about another message names that message, as `list` or `send` has given it. It has to have its place (`not_sent`),
 * to be here (`not_found`), and the change has to be one that everybody will follow (`not_allowed`).
 */
export class Messages {
  readonly #base: Base;
  readonly #timeline: Timeline;
  readonly #search: Pick<Search, "find">;

  constructor(base: Base, timeline: Timeline, search: Pick<Search, "find">) {
    this.#base = base;
    this.#timeline = timeline;
    this.#search = search;
  }

  /** The last ones, oldest first, from this device's store. */
  list(conversation: ConversationId, page: MessagePage = LAST_PAGE): Promise<Message[]> {
    return asChatErrors(() => this.#timeline.page(conversation, page));
  }

  /** The same, kept up to date. */
  live(conversation: ConversationId, page: MessagePage = LAST_PAGE): LiveMessages {
    return LivePage.open(this.#base, this.#timeline, conversation, page);
  }

  /** As it is now; undefined if it is not here, or is gone. */
  find(message: MessageRef): Promise<Message | undefined> {
    return asChatErrors(() => this.#timeline.find(message));
  }

  /**
   * Messages with all the words of the query, the best first; the last word may be unfinished. Everything is looked for on
   * this device.
   */
  search(query: string, scope: SearchScope = {}): Promise<SearchHit[]> {
    return asChatErrors(() => this.#search.find(query, scope));
  }

  /** Disappears with the conversation's timer, unless it says itself how long it stays. @throws ChatError too_large, malformed */
  send(conversation: ConversationId, message: string | Content): Promise<SentMessage> {
    return asChatErrors(() => this.#base.send(conversation, contentOf(message)));
  }

  /** @throws ChatError as `send` */
  reply(to: MessageRef, message: string | Content): Promise<SentMessage> {
    return asChatErrors(async () => {
      const { id, user, content: quoted } = await this.#written(to);
      const content = contentOf(message);
      if (!isToBeRead(content)) throw new ChatError("malformed");
      return this.#base.send(to.conversation, { ...content, reply: { id, author: user, excerpt: excerptOf(quoted) } });
    });
  }

  /** The same, once more, for another conversation. Code `not_allowed` for what is to be seen once. */
  forward(message: MessageRef, to: ConversationId): Promise<SentMessage> {
    return asChatErrors(async () => {
      const { content } = await this.#written(message);
      const passedOn = content.kind === "group" || content.kind === "unreadable" ? undefined : forward(content);
      if (!passedOn) throw new ChatError("not_allowed");
      return this.#base.send(to, passedOn);
    });
  }

  /** One a person and message; an empty text takes it back. */
  react(message: MessageRef, emoji: string): Promise<SentMessage> {
    return this.#change(message, { kind: "reaction", target: message.id, emoji });
  }

  /** One's own words, for 15 minutes and at most 10 times. */
  edit(message: MessageRef, words: Wording): Promise<SentMessage> {
    const wording = typeof words === "string" ? { text: words } : words;
    return this.#change(message, { kind: "edit", target: message.id, ...wording });
  }

  /** One's own message, for everyone, for 48 hours. */
  delete(message: MessageRef): Promise<SentMessage> {
    return this.#change(message, { kind: "deletion", target: message.id });
  }

  /** Nothing of it is left on this device. Nobody hears of it. Code `not_found` for what is no message. */
  deleteForMe(message: MessageRef): Promise<void> {
    return asChatErrors(async () => {
      const row = await this.#base.store.find(message.conversation, message.id);
      if (!row || isEvent(readContent(row.content))) throw new ChatError("not_found");
      if (row.seq === undefined && row.failure === undefined) throw new ChatError("not_sent");
      await this.#base.hide(message);
    });
  }

  /** For all these options of a poll, counted from 0; for none, to take the vote back. */
  vote(poll: MessageRef, options: readonly number[]): Promise<SentMessage> {
    return this.#change(poll, { kind: "vote", target: poll.id, options });
  }

  pin(message: MessageRef, isPinned = true): Promise<SentMessage> {
    return this.#change(message, { kind: "pin", target: message.id, pinned: isPinned });
  }

  /** How long messages of the conversation stay from here on, whoever writes them. */
  setTimer(conversation: ConversationId, seconds: TimerSeconds): Promise<SentMessage> {
    return this.send(conversation, { kind: "timer", seconds });
  }

  /** It was read, and everything before it. */
  markRead({ conversation, seq = Number.MAX_SAFE_INTEGER }: Pick<Message, "conversation" | "seq">): void {
    this.#base.dispatch({ type: "read", conversation, seq });
  }

  #change(message: MessageRef, change: MessageChange): Promise<SentMessage> {
    return asChatErrors(async () => {
      const state = await this.#written(message);
      const { account, now } = this.#base;
      const entry = { id: state.id, seq: undefined, user: account.user, at: now, content: change };
      if (applyChange(state, entry, nobodyIsAdmin) === state) throw new ChatError("not_allowed");
      return this.#base.send(message.conversation, change);
    });
  }

  /** What somebody wrote, and can be written about. @throws ChatError not_found, not_sent */
  async #written(message: MessageRef): Promise<WrittenState> {
    const state = await this.#timeline.stateOf(message);
    if (!state || !isWritten(state)) throw new ChatError("not_found");
    // Until it has its place it may still get another id.
    if (state.seq === undefined) throw new ChatError("not_sent");
    return state;
  }
}

type WrittenState = MessageState & {
  readonly content: Exclude<MessageState["content"], ErasedContent | undefined>;
};

function isWritten(state: MessageState): state is WrittenState {
  return state.content !== undefined && state.content.kind !== "erased" && !isEvent(state.content);
}

function contentOf(message: string | Content): Content {
  if (typeof message !== "string") return message;
  if (message.length > MAX_TEXT_CHARS) throw new ChatError("too_large");
  return { kind: "text", text: message };
}
