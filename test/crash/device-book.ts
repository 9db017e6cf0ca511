import { isBetweenDevices } from "../../client/content/message-state.ts";
import type { StoreChange, StoredMessage } from "../../client/store/store.ts";
import type { ConversationId, DeviceId, MessageId, UserId } from "../../shared/ids.ts";
import { type HistoryRecord, hashOf } from "../history/record.ts";
import { kindOf } from "../sim/content.ts";
import type { History } from "./history.ts";

/** Writes the history of one device: what it has is what is in its store, whatever its app has heard. */
export class DeviceBook {
  readonly #owner: { readonly user: UserId; readonly device: DeviceId };
  readonly #history: History;
  readonly #hashes = new Map<MessageId, string>();
  readonly #unreadable = new Map<string, { seq: number; id: MessageId; user: UserId }>();
  readonly #heads = new Map<ConversationId, number>();
  readonly #seen = new Map<ConversationId, number>();
  /** Sent and neither ✓ nor refused, by hash. */
  readonly #open = new Map<string, ConversationId>();
  #connection = 0;

  constructor(owner: { readonly user: UserId; readonly device: DeviceId }, history: History) {
    this.#owner = { user: owner.user, device: owner.device };
    this.#history = history;
    this.#add({ type: "ok", op: "register" });
  }

  /** Everything up to here is on the device. */
  head(conversation: ConversationId): number {
    return this.#heads.get(conversation) ?? 0;
  }

  /** So far the other person is known to have read. */
  seen(conversation: ConversationId): number {
    return this.#seen.get(conversation) ?? 0;
  }

  /** Given to the device, and nobody knows yet what becomes of it. */
  get openCount(): number {
    return this.#open.size;
  }

  connects(): void {
    this.#add({ type: "invoke", op: "connect", connection: ++this.#connection });
  }

  connected(): void {
    this.#add({ type: "ok", op: "connect", connection: this.#connection });
  }

  /** What becomes of all that is not ✓ nobody knows until the next connection. */
  disconnected(): void {
    this.#add({ type: "info", op: "disconnect", connection: this.#connection });
    for (const [hash, conversation] of this.#open) this.#add({ type: "info", op: "send", conversation, hash });
  }

  sends(conversation: ConversationId, content: Uint8Array): void {
    const hash = hashOf(content);
    this.#open.set(hash, conversation);
    this.#add({ type: "invoke", op: "send", conversation, hash });
  }

  reads(conversation: ConversationId, cursor: number): void {
    this.#add({ type: "invoke", op: "read", conversation, cursor });
  }

  /** What had not reached the store is gone, and nobody was promised anything. */
  crashed(): void {
    const stored = new Set(this.#hashes.values());
    for (const hash of this.#open.keys()) if (!stored.has(hash)) this.#open.delete(hash);
  }

  persisted(changes: readonly StoreChange[]): void {
    for (const change of changes) this.#persisted(change);
  }

  finalRead(messages: readonly StoredMessage[]): void {
    this.#add({ type: "ok", op: "final" });
    for (const { conversation, seq, id, user, content } of messages) {
      if (seq === undefined || whatIs(content) !== "message") continue;
      this.#add({ type: "ok", op: "view", conversation, seq, messageId: id, hash: hashOf(content), peer: user });
    }
  }

  #persisted(change: StoreChange): void {
    switch (change.type) {
      case "queue":
        if (whatIs(change.content) === "message") this.#hashes.set(change.id, hashOf(change.content));
        return;
      case "rename":
        if (this.#hashes.has(change.id)) this.#hashes.set(change.newId, this.#hashes.get(change.id)!);
        return;
      case "sent":
        return this.#sent(change);
      case "failed":
        return this.#failed(change);
      case "message":
        return this.#takes(change);
      case "replace":
        return this.#heals(change);
      case "cursor":
        return void this.#heads.set(change.conversation, change.have);
      case "receipt": {
        const { conversation, user, delivered, read } = change;
        this.#seen.set(conversation, read);
        const about = { conversation, ...(user !== undefined && { peer: user }) };
        this.#add({ type: "ok", op: "delivered", ...about, cursor: delivered });
        this.#add({ type: "ok", op: "seen", ...about, cursor: read });
      }
    }
  }

  #takes(message: Extract<StoreChange, { type: "message" }>): void {
    const { conversation, seq, id, user, content } = message;
    const what = whatIs(content);
    if (what === "message") return this.#applies(conversation, message, hashOf(content));
    if (what === "unreadable") this.#unreadable.set(`${conversation} ${seq}`, { seq, id, user });
    this.#add({ type: "ok", op: what, conversation, seq });
  }

  /** What could not be read was said again. */
  #heals({ conversation, seq, content }: Extract<StoreChange, { type: "replace" }>): void {
    const place = this.#unreadable.get(`${conversation} ${seq}`);
    if (place && whatIs(content) === "message") this.#applies(conversation, place, hashOf(content));
  }

  #sent({ conversation, id, seq }: Extract<StoreChange, { type: "sent" }>): void {
    const hash = this.#hashes.get(id);
    // Devices ask each other for what they could not read.
    if (hash === undefined) return this.#add({ type: "ok", op: "pass", conversation, seq });
    this.#open.delete(hash);
    this.#add({ type: "ok", op: "send", conversation, hash, messageId: id, seq });
    this.#applies(conversation, { seq, id, user: this.#owner.user }, hash);
  }

  #failed({ conversation, id }: Extract<StoreChange, { type: "failed" }>): void {
    const hash = this.#hashes.get(id);
    if (hash === undefined) return;
    this.#open.delete(hash);
    this.#add({ type: "fail", op: "send", conversation, hash, messageId: id });
  }

  #applies(
    conversation: ConversationId,
    { seq, id, user }: { seq: number; id: MessageId; user: UserId },
    hash: string,
  ): void {
    this.#add({ type: "ok", op: "apply", conversation, seq, messageId: id, hash, peer: user });
  }

  #add(what: Omit<HistoryRecord, "t">): void {
    this.#history.add({ ...this.#owner, ...what });
  }
}

function whatIs(content: Uint8Array): "message" | "unreadable" | "pass" {
  const kind = kindOf(content);
  return kind === "message" && isBetweenDevices(JSON.parse(Buffer.from(content).toString())) ? "pass" : kind;
}
