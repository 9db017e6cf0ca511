import type { ConversationId, MessageId } from "../../shared/ids.ts";
import type { Requested } from "../chat/requests.ts";
import type { SentMessage } from "../outgoing.ts";
import type { Follower } from "./follower.ts";

/** A message that is in the outbox, as a tab has it that has asked for it. */
export class Sending implements SentMessage {
  readonly conversation: ConversationId;
  readonly at: number;
  readonly sent: SentMessage["sent"];
  #id: MessageId;

  constructor(message: Requested, follower: Follower) {
    this.conversation = message.conversation;
    this.at = message.at;
    this.#id = message.id;
    const unlisten = follower.listeners.add("renamed", ({ id, newId }) => {
      if (id === this.#id) this.#id = newId;
    });
    this.sent = this.#follow(message, follower).finally(unlisten);
    // Nobody has to wait for it.
    this.sent.catch(() => {});
  }

  get id(): MessageId {
    return this.#id;
  }

  async #follow(message: Requested, follower: Follower): SentMessage["sent"] {
    const { id, ...place } = await follower.ask("sent", message);
    this.#id = id;
    return place;
  }
}
