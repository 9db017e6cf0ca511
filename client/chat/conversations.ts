import { ulid } from "ulid";
import * as v from "valibot";
import { type ConversationId, directConversation, UserId } from "../../shared/ids.ts";
import { ChatError } from "../chat-error.ts";
import type { Wish } from "../encryption/membership.ts";
import type { Base } from "./base.ts";
import { asChatErrors } from "./failure.ts";
import { LiveConversations } from "./live-conversations.ts";
import type { LiveQuery } from "./live-query.ts";
import { type ConversationOverview, newestFirst, Overviews } from "./overviews.ts";
import type { Timeline } from "./timeline.ts";

/** Who talks to whom. What is asked for is answered from the device's own store. */
export class Conversations {
  readonly #base: Base;
  readonly #overviews: Overviews;

  constructor(base: Base, timeline: Timeline) {
    this.#base = base;
    this.#overviews = new Overviews(base, timeline);
  }

  /**
   * The conversation with another person. There is nothing to create: it begins with the first message.
   * @throws ChatError not_found, if that is nobody's id
   */
  direct(user: UserId): ConversationId {
    if (!v.is(UserId, user)) throw new ChatError("not_found");
    return directConversation(this.#base.account.user, user);
  }

  /** The one with the newest message first. */
  async list(): Promise<ConversationOverview[]> {
    const overviews = await asChatErrors(() => this.#overviews.all());
    return newestFirst(overviews.map(({ overview }) => overview));
  }

  /** The same list, kept up to date; undefined until it is read. */
  live(): LiveQuery<readonly ConversationOverview[] | undefined> {
    return new LiveConversations(this.#base, this.#overviews).query;
  }

  /** Everything up to `seq` has been read. */
  markRead(conversation: ConversationId, seq: number): void {
    this.#base.dispatch({ type: "read", conversation, seq });
  }

  /** To be called with every key; what the server hears of it is limited here. */
  typing(conversation: ConversationId): void {
    this.#base.dispatch({ type: "typing", conversation });
  }

  /** The people in it, as its group has them; none if this device is no member. */
  members(conversation: ConversationId): Promise<UserId[]> {
    return asChatErrors(() => this.#base.members(conversation));
  }

  /** A new group with these people. @throws ChatError not_found, not_allowed */
  async createGroup(members: readonly UserId[]): Promise<ConversationId> {
    const conversation = ulid();
    await this.#want(conversation, { isNew: true, add: members });
    return conversation;
  }

  /** Takes them into the group; who is in it already stays. @throws ChatError not_allowed, not_found */
  add(conversation: ConversationId, members: readonly UserId[]): Promise<void> {
    return this.#want(conversation, { add: members });
  }

  /** Both in one step, as when somebody takes another's place. @throws ChatError not_allowed, not_found */
  change(
    conversation: ConversationId,
    change: { readonly add?: readonly UserId[]; readonly remove?: readonly UserId[] },
  ): Promise<void> {
    return this.#want(conversation, change);
  }

  /** Nothing that is written from then on can be read by them. @throws ChatError not_allowed */
  remove(conversation: ConversationId, members: readonly UserId[]): Promise<void> {
    return this.#want(conversation, { remove: members });
  }

  #want(conversation: ConversationId, wish: Wish): Promise<void> {
    return asChatErrors(() => this.#base.want(conversation, wish));
  }
}
