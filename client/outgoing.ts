import type { ConversationId, MessageId } from "../shared/ids.ts";
import { ChatError, type ChatErrorCode } from "./chat-error.ts";
import type { AppEvent } from "./session/contract.ts";

export interface SentMessage {
  readonly conversation: ConversationId;
  /** Changes at most while the server has not got it, and only if the device's clock was wrong. */
  readonly id: MessageId;
  readonly at: number;
  /** Its place and time, once the server has it. Rejected with a {@link ChatError} if it is refused for good. */
  readonly sent: Promise<{ readonly seq: number; readonly at: number }>;
}

type Settled = Extract<AppEvent, { type: "queued" | "refused" }>;
type Followed = Extract<AppEvent, { type: "sent" | "failed" | "renamed" }>;

/** Those who wait to hear what becomes of a message they sent. */
export class OutgoingMessages {
  #lastRef = 0;
  readonly #unqueued = new Map<number, PromiseWithResolvers<SentMessage>>();
  readonly #unsent = new Map<MessageId, Handle>();

  add(): { ref: number; queued: Promise<SentMessage> } {
    const ref = ++this.#lastRef;
    const waiting = Promise.withResolvers<SentMessage>();
    this.#unqueued.set(ref, waiting);
    return { ref, queued: waiting.promise };
  }

  /** One that is in the outbox already; if an earlier run has put it there, `resume` it. */
  find(id: MessageId): SentMessage | undefined {
    return this.#unsent.get(id);
  }

  /** Waits for what becomes of a message that an earlier run has put into the outbox. */
  resume({ conversation, id, at }: Pick<SentMessage, "conversation" | "id" | "at">): SentMessage {
    const handle = new Handle(conversation, id, at);
    this.#unsent.set(id, handle);
    return handle;
  }

  settle(event: Settled): void {
    const waiting = this.#unqueued.get(event.ref);
    this.#unqueued.delete(event.ref);
    if (event.type === "refused") waiting?.reject(new ChatError(event.code));
    else {
      const handle = new Handle(event.conversation, event.id, event.at);
      this.#unsent.set(event.id, handle);
      waiting?.resolve(handle);
    }
  }

  follow(event: Followed): void {
    const handle = this.#unsent.get(event.id);
    if (!handle) return;
    this.#unsent.delete(event.id);
    if (event.type === "sent") handle.settled.resolve({ seq: event.seq, at: event.at });
    else if (event.type === "failed") handle.settled.reject(new ChatError(event.code));
    else {
      handle.id = event.newId;
      this.#unsent.set(event.newId, handle);
    }
  }

  /** Nothing will be heard any more. What is in the outbox stays there. */
  abandon(code: ChatErrorCode): void {
    for (const { reject } of this.#unqueued.values()) reject(new ChatError(code));
    for (const { settled } of this.#unsent.values()) settled.reject(new ChatError(code));
    this.#unqueued.clear();
    this.#unsent.clear();
  }
}

class Handle implements SentMessage {
  readonly conversation: ConversationId;
  id: MessageId;
  readonly at: number;
  readonly settled = Promise.withResolvers<{ seq: number; at: number }>();

  constructor(conversation: ConversationId, id: MessageId, at: number) {
    this.conversation = conversation;
    this.id = id;
    this.at = at;
    // Nobody has to wait for it.
    this.settled.promise.catch(() => {});
  }

  get sent(): Promise<{ seq: number; at: number }> {
    return this.settled.promise;
  }
}
