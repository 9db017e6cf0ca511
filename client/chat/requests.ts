import * as v from "valibot";
import { ConversationId, MessageId, Time } from "../../shared/ids.ts";
import { MAX_OUTBOX_MESSAGES, REMEMBERED_REQUEST_WRITES } from "../../shared/limits.ts";
import type { Change } from "../session/contract.ts";
import type { Store, StoreChange } from "../store/store.ts";

const PREFIX = "requests/";

/** A message that was asked for under a name, which whoever asked has chosen. */
const Requested = v.object({ request: v.string(), conversation: ConversationId, id: MessageId, at: Time });
export type Requested = v.InferOutput<typeof Requested>;

/** `number` counts the writes that queued any. */
const Written = v.object({ number: v.number(), messages: v.array(Requested) });

/**
 * Which messages were asked for under which names. That is written together with the message, so whoever asks again because
 * they have heard nothing, as when the app has crashed in between, gets the same message and no second one. Kept are the
 * last writes: what those before them have queued was answered long ago.
 */
export class Requests {
  readonly #known = new Map<string, Requested>();
  #lastNumber = 0;

  static async load(store: Pick<Store, "records">): Promise<Requests> {
    const requests = new Requests();
    const records = await store.records(PREFIX);
    const writes = records.map(([, value]) => v.parse(Written, JSON.parse(new TextDecoder().decode(value))));
    for (const { number, messages } of writes.sort((a, b) => a.number - b.number)) {
      requests.#lastNumber = number;
      for (const message of messages) requests.#remember(message);
    }
    return requests;
  }

  find(request: string): Requested | undefined {
    return this.#known.get(request);
  }

  /** What is to be written with these changes. */
  recordsOf(changes: readonly Change[]): (StoreChange & { readonly type: "record" })[] {
    const messages = changes.flatMap((change) => this.#requestedBy(change));
    if (messages.length === 0) return [];
    this.#lastNumber += 1;
    const key = PREFIX + (this.#lastNumber % REMEMBERED_REQUEST_WRITES);
    const value = new TextEncoder().encode(JSON.stringify({ number: this.#lastNumber, messages }));
    return [{ type: "record", key, value }];
  }

  /** To be told when it is stored: until then it goes by its old id. */
  renamed({ id, newId }: { readonly id: MessageId; readonly newId: MessageId }): void {
    for (const message of this.#with(id)) this.#remember({ ...message, id: newId });
  }

  #requestedBy(change: Change): Requested[] {
    if (change.type === "rename") return this.#with(change.id).map((message) => ({ ...message, id: change.newId }));
    if (change.type !== "queue" || change.request === undefined) return [];
    const { request, conversation, id, at } = change;
    this.#remember({ request, conversation, id, at });
    return [{ request, conversation, id, at }];
  }

  #with(id: MessageId): Requested[] {
    return [...this.#known.values()].filter((message) => message.id === id);
  }

  #remember(message: Requested): void {
    this.#known.set(message.request, message);
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_OUTBOX_MESSAGES && oldest !== undefined) this.#known.delete(oldest);
  }
}
