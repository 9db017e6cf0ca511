import type { ConversationId, MessageId } from "../../shared/ids.ts";
import type { RowChange } from "../store/draft.ts";
import type { StoreChange } from "../store/store.ts";
import type { Place, ValueCipher } from "./value-cipher.ts";

type ContentOf = (conversation: ConversationId, id: MessageId) => Promise<Uint8Array | undefined>;

export const contentPlace = {
  placed: (conversation: ConversationId, seq: number): Place => ["messages", conversation, seq],
  unplaced: (conversation: ConversationId, id: MessageId): Place => ["unplaced", conversation, id, "content"],
};
export const bodyPlace = (conversation: ConversationId, id: MessageId): Place => ["unplaced", conversation, id, "body"];
export const recordPlace = (key: string): Place => ["records", key];

/**
 * The changes with all their values encrypted, each for its place. To be done before the transaction begins: one of
 * IndexedDB's ends as soon as something else is waited for. What moves to another place is therefore read before, too.
 * @param storedContent what a message without a place says, as far as it is stored
 */
export function sealChanges(
  changes: readonly StoreChange[],
  cipher: ValueCipher,
  storedContent: ContentOf,
): Promise<RowChange[]> {
  const sealer = new Sealer(cipher, storedContent);
  return Promise.all(changes.map((change) => sealer.seal(change)));
}

class Sealer {
  readonly #cipher: ValueCipher;
  readonly #storedContent: ContentOf;
  /** Of messages that earlier changes of the same write have queued or renamed. */
  readonly #contents = new Map<string, Promise<Uint8Array | undefined>>();

  constructor(cipher: ValueCipher, storedContent: ContentOf) {
    this.#cipher = cipher;
    this.#storedContent = storedContent;
  }

  async seal(change: StoreChange): Promise<RowChange> {
    switch (change.type) {
      case "queue": {
        const { conversation, id, content } = change;
        this.#contents.set(keyOf(conversation, id), Promise.resolve(content));
        return { ...change, content: await this.#cipher.seal(contentPlace.unplaced(conversation, id), content) };
      }
      case "sealed": {
        const { conversation, id, body } = change;
        return { ...change, body: await this.#cipher.seal(bodyPlace(conversation, id), body) };
      }
      case "rename": {
        const { conversation, id, newId } = change;
        const content = this.#contentOf(conversation, id);
        this.#contents.set(keyOf(conversation, newId), content);
        return { ...change, content: await this.#sealIfAny(contentPlace.unplaced(conversation, newId), content) };
      }
      case "sent": {
        const { conversation, id, seq } = change;
        const content = this.#contentOf(conversation, id);
        return { ...change, content: await this.#sealIfAny(contentPlace.placed(conversation, seq), content) };
      }
      case "message":
      case "replace": {
        const { conversation, seq, content } = change;
        return { ...change, content: await this.#cipher.seal(contentPlace.placed(conversation, seq), content) };
      }
      case "record": {
        const { key, value } = change;
        return { ...change, value: value && (await this.#cipher.seal(recordPlace(key), value)) };
      }
      default:
        return change;
    }
  }

  #contentOf(conversation: ConversationId, id: MessageId): Promise<Uint8Array | undefined> {
    return this.#contents.get(keyOf(conversation, id)) ?? this.#storedContent(conversation, id);
  }

  async #sealIfAny(place: Place, content: Promise<Uint8Array | undefined>): Promise<Uint8Array | undefined> {
    const bytes = await content;
    return bytes && this.#cipher.seal(place, bytes);
  }
}

function keyOf(conversation: ConversationId, id: MessageId): string {
  return `${conversation} ${id}`;
}
