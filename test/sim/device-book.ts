import type { StoreChange, StoredMessage } from "../../client/store/store.ts";
import type { ConversationId, DeviceId, MessageId, UserId } from "../../shared/ids.ts";
import { type HistoryRecord, hashOf } from "../history/record.ts";
import { kindOf } from "./content.ts";
import { type Platform, short } from "./platform.ts";

export interface DeviceConfig {
  readonly user: UserId;
  readonly device: DeviceId;
  /** Its clock minus the true time. */
  readonly skewMs: number;
}

interface Meta {
  readonly seq: number;
  readonly id: MessageId;
  readonly user: UserId;
}

/** Writes the history of one device. What it has is what is on its disk, whatever its app has heard. */
export class DeviceBook {
  readonly #config: DeviceConfig;
  readonly #platform: Platform;
  readonly #hashes = new Map<MessageId, string>();
  readonly #cursors = new Map<ConversationId, number>();
  /** Sent and neither ✓ nor refused. */
  readonly #open = new Map<string, ConversationId>();
  readonly #applied = new Set<string>();
  readonly #shown = new Set<string>();
  #dialled: number | undefined;
  #connection: number | undefined;

  constructor(config: DeviceConfig, platform: Platform) {
    this.#config = config;
    this.#platform = platform;
  }

  /** Everything up to here is on the device. */
  cursor(conversation: ConversationId): number {
    return this.#cursors.get(conversation) ?? 0;
  }

  registered(): void {
    this.#add({ type: "ok", op: "register" });
  }

  revoked(): void {
    this.#add({ type: "ok", op: "revoke" });
  }

  /** It can follow a group no longer. @param seq what begins up to there is lost with it */
  loses(conversation: ConversationId, seq: number): void {
    this.#add({ type: "info", op: "lose", conversation, cursor: this.cursor(conversation), seq });
  }

  connects(connection: number): void {
    this.#dialled = connection;
    this.#add({ type: "invoke", op: "connect", connection });
  }

  connected(connection: number): void {
    this.#dialled = undefined;
    this.#connection = connection;
    this.#add({ type: "ok", op: "connect", connection });
  }

  /** Nothing passes any more, whether or not the device has noticed. */
  disconnected(connection: number): void {
    if (this.#dialled === connection) this.#add({ type: "fail", op: "connect", connection });
    else if (this.#connection === connection) this.#add({ type: "info", op: "disconnect", connection });
    else return;
    this.#dialled = undefined;
    this.#connection = undefined;
  }

  sends(conversation: ConversationId, hash: string): void {
    this.#open.set(hash, conversation);
    this.#add({ type: "invoke", op: "send", conversation, hash });
  }

  reads(conversation: ConversationId, cursor: number): void {
    this.#add({ type: "invoke", op: "read", conversation, cursor });
  }

  refused(hash: string): void {
    const conversation = this.#open.get(hash)!;
    this.#open.delete(hash);
    this.#add({ type: "fail", op: "send", conversation, hash });
  }

  /** Who waited for a ✓ waits no more; whether it will come nobody knows. */
  crashed(): void {
    for (const [hash, conversation] of this.#open) this.#add({ type: "info", op: "send", conversation, hash });
  }

  onWire(conversation: ConversationId, { seq, id, user }: Meta): void {
    this.#add({ type: "ok", op: "wire", conversation, seq, messageId: id, peer: user });
  }

  /** The app was told of a message: it must be on disk, and is told of once. */
  shown(conversation: ConversationId, seq: number): void {
    const key = `${conversation} ${seq}`;
    if (!this.#applied.has(key)) this.#platform.problem(`${this.#name} shows ${short(key)} before it is persisted`);
    if (this.#shown.has(key)) this.#platform.problem(`${this.#name} shows ${short(key)} twice`);
    this.#shown.add(key);
  }

  persisted(changes: readonly StoreChange[]): void {
    for (const change of changes) this.#persisted(change);
  }

  finalReadBegins(): void {
    this.#add({ type: "ok", op: "final" });
  }

  views(messages: readonly StoredMessage[]): void {
    for (const { conversation, seq, id, user, content } of messages) {
      if (seq === undefined || kindOf(content) !== "message") continue;
      this.#add({ type: "ok", op: "view", conversation, seq, messageId: id, hash: hashOf(content), peer: user });
    }
  }

  #persisted(change: StoreChange): void {
    switch (change.type) {
      case "queue":
        return void this.#hashes.set(change.id, hashOf(change.content));
      case "rename":
        return void this.#hashes.set(change.newId, this.#hashes.get(change.id)!);
      case "sent":
        return this.#sent(change);
      case "failed":
        return this.#failed(change);
      case "message":
        return this.#takes(change);
      case "cursor":
        return this.#moves(change.conversation, change.have);
      case "receipt": {
        const { conversation, user, delivered, read } = change;
        const about = { conversation, ...(user !== undefined && { peer: user }) };
        this.#add({ type: "ok", op: "delivered", ...about, cursor: delivered });
        this.#add({ type: "ok", op: "seen", ...about, cursor: read });
      }
    }
  }

  #sent({ conversation, id, seq }: Extract<StoreChange, { type: "sent" }>): void {
    const hash = this.#hashes.get(id)!;
    this.#open.delete(hash);
    this.#add({ type: "ok", op: "send", conversation, hash, messageId: id, seq });
    this.#applies(conversation, { seq, id, user: this.#config.user }, hash);
  }

  #takes({ conversation, seq, id, user, content }: Extract<StoreChange, { type: "message" }>): void {
    const kind = kindOf(content);
    if (kind === "message") return this.#applies(conversation, { seq, id, user }, hashOf(content));
    this.#holds(conversation, seq);
    this.#add({ type: "ok", op: kind, conversation, seq });
  }

  /** An id that is too old to be looked up may have been taken long ago. */
  #failed({ conversation, id, code }: Extract<StoreChange, { type: "failed" }>): void {
    const hash = this.#hashes.get(id)!;
    this.#open.delete(hash);
    this.#add({ type: code === "id_expired" ? "info" : "fail", op: "send", conversation, hash, messageId: id });
  }

  #applies(conversation: ConversationId, { seq, id, user }: Meta, hash: string): void {
    this.#holds(conversation, seq);
    this.#add({ type: "ok", op: "apply", conversation, seq, messageId: id, hash, peer: user });
  }

  #holds(conversation: ConversationId, seq: number): void {
    const key = `${conversation} ${seq}`;
    if (this.#applied.has(key)) this.#platform.problem(`${this.#name} persists ${short(key)} twice`);
    this.#applied.add(key);
  }

  #moves(conversation: ConversationId, have: number): void {
    const before = this.cursor(conversation);
    if (have < before) this.#platform.problem(`${this.#name}: cursor of ${short(conversation)} ${before} → ${have}`);
    this.#cursors.set(conversation, have);
  }

  get #name(): string {
    return short(this.#config.device);
  }

  #add(what: Pick<HistoryRecord, "type" | "op"> & Partial<HistoryRecord>): void {
    const { user, device } = this.#config;
    const connection = this.#connection === undefined ? {} : { connection: this.#connection };
    this.#platform.history.add({ user, device, ...connection, ...what });
  }
}
