import type { ConversationId, DeviceId, MessageId, UserId } from "../../shared/ids.ts";
import type { PeerWatermark, SessionErrorCode } from "../session/contract.ts";
import type { Owner, PlacedMessage, StoreChange } from "./store.ts";

/** What is kept of a conversation besides its messages. */
export interface ConversationRow {
  readonly conversation: ConversationId;
  readonly have: number;
  readonly read: number;
  readonly readConfirmed: number;
  readonly peers: readonly PeerWatermark[];
}

/** A message of this device without a place: in the outbox, or failed. */
export interface UnplacedRow {
  readonly conversation: ConversationId;
  readonly id: MessageId;
  /** Keeps the order of sending. */
  readonly number: number;
  readonly user: UserId;
  readonly device: DeviceId;
  readonly at: number;
  readonly content: Uint8Array;
  readonly body: Uint8Array | undefined;
  readonly failure: SessionErrorCode | undefined;
}

/** The rows that a write may touch, as it finds them. */
export interface FoundRows {
  conversation(id: ConversationId): ConversationRow | undefined;
  placed(conversation: ConversationId, seq: number): PlacedMessage | undefined;
  unplaced(conversation: ConversationId, id: MessageId): UnplacedRow | undefined;
  /** At least that of every unplaced row. */
  readonly lastNumber: number;
}

type Renamed = Extract<StoreChange, { type: "rename" }>;
type Sent = Extract<StoreChange, { type: "sent" }>;
/** Where contents are sealed for their place, a message that moves brings its content sealed for the new one. */
type Moving = { readonly content?: Uint8Array | undefined };

/** A change as it is written. */
export type RowChange = Exclude<StoreChange, Renamed | Sent> | (Renamed & Moving) | (Sent & Moving);

type Appliers = { readonly [T in RowChange["type"]]: (change: Extract<RowChange, { type: T }>) => void };

/**
 * What a write makes of the rows that it finds, for stores without a query language of their own. Nothing is changed but
 * the draft: whoever has made it writes down what it touched, all of it or nothing.
 */
export class Draft {
  readonly conversations: Overlay<[ConversationId], ConversationRow>;
  readonly placed: Overlay<[ConversationId, number], PlacedMessage>;
  readonly unplaced: Overlay<[ConversationId, MessageId], UnplacedRow>;
  readonly records = new Overlay<[string], Uint8Array>(() => undefined);
  lastMinted: MessageId | undefined;
  readonly #owner: Owner;
  #lastNumber: number;

  constructor(owner: Owner, found: FoundRows) {
    this.#owner = owner;
    this.#lastNumber = found.lastNumber;
    this.conversations = new Overlay((id) => found.conversation(id));
    this.placed = new Overlay((conversation, seq) => found.placed(conversation, seq));
    this.unplaced = new Overlay((conversation, id) => found.unplaced(conversation, id));
  }

  /** @throws if a message is to get a place that is taken: then nothing of the write may hold */
  apply(change: RowChange): void {
    const apply = this.#appliers[change.type] as (change: RowChange) => void;
    apply(change);
  }

  readonly #appliers: Appliers = {
    queue: ({ conversation, id, at, content }) => {
      const { user, device } = this.#owner;
      const number = ++this.#lastNumber;
      const row = { conversation, id, number, user, device, at, content, body: undefined, failure: undefined };
      this.unplaced.set([conversation, id], row);
      this.#update(conversation, {});
      this.lastMinted = id;
    },
    sealed: ({ conversation, id, body }) => {
      const row = this.#queued(conversation, id);
      if (row) this.unplaced.set([conversation, id], { ...row, body });
    },
    rename: ({ conversation, id, newId, at, content }) => {
      this.lastMinted = newId;
      const row = this.#queued(conversation, id);
      if (!row) return;
      const renamed = { ...row, id: newId, at, content: content ?? row.content, body: undefined };
      this.unplaced.set([conversation, id], undefined);
      this.unplaced.set([conversation, newId], renamed);
    },
    sent: ({ conversation, id, seq, at, content }) => {
      const row = this.#queued(conversation, id);
      if (!row) return;
      if (this.placed.get(conversation, seq)) throw new PlaceTaken();
      const { user, device } = row;
      const placed = { conversation, seq, id, user, device, at, content: content ?? row.content, isEvent: false };
      this.unplaced.set([conversation, id], undefined);
      this.placed.set([conversation, seq], placed);
    },
    failed: ({ conversation, id, code }) => {
      const row = this.#queued(conversation, id);
      if (row) this.unplaced.set([conversation, id], { ...row, failure: code, body: undefined });
    },
    message: ({ type: _, ...message }) => {
      const { conversation, seq } = message;
      this.#update(conversation, {});
      if (!this.placed.get(conversation, seq)) this.placed.set([conversation, seq], message);
    },
    replace: ({ conversation, seq, content, isEvent }) => {
      const row = this.placed.get(conversation, seq);
      if (row) this.placed.set([conversation, seq], { ...row, content, isEvent });
    },
    drop: ({ conversation, id }) => {
      const isFailed = this.unplaced.get(conversation, id)?.failure !== undefined;
      if (isFailed) this.unplaced.set([conversation, id], undefined);
    },
    cursor: ({ conversation, have }) => this.#update(conversation, { have }),
    read: ({ conversation, seq }) => this.#update(conversation, { read: seq }),
    read_confirmed: ({ conversation, seq }) => this.#update(conversation, { readConfirmed: seq }),
    receipt: ({ type: _, conversation, ...watermark }) => {
      const others = this.#conversation(conversation).peers.filter(({ user }) => user !== watermark.user);
      this.#update(conversation, { peers: [...others, watermark] });
    },
    record: ({ key, value }) => this.records.set([key], value),
  };

  #conversation(conversation: ConversationId): ConversationRow {
    const known = this.conversations.get(conversation);
    return known ?? { conversation, have: 0, read: 0, readConfirmed: 0, peers: [] };
  }

  #update(conversation: ConversationId, part: Partial<ConversationRow>): void {
    this.conversations.set([conversation], { ...this.#conversation(conversation), ...part });
  }

  #queued(conversation: ConversationId, id: MessageId): UnplacedRow | undefined {
    const row = this.unplaced.get(conversation, id);
    return row?.failure === undefined ? row : undefined;
  }
}

/** Rows of one kind, by their keys, as the write leaves them. */
class Overlay<Key extends readonly (string | number)[], Row> {
  readonly #find: (...key: Key) => Row | undefined;
  readonly #touched = new Map<string, { readonly key: Key; readonly row: Row | undefined }>();

  constructor(find: (...key: Key) => Row | undefined) {
    this.#find = find;
  }

  get(...key: Key): Row | undefined {
    const touched = this.#touched.get(key.join(" "));
    return touched ? touched.row : this.#find(...key);
  }

  /** Undefined removes it. */
  set(key: Key, row: Row | undefined): void {
    this.#touched.set(key.join(" "), { key, row });
  }

  touched(): Iterable<{ readonly key: Key; readonly row: Row | undefined }> {
    return this.#touched.values();
  }
}

/** Two messages at one place: the server contradicts itself, and whatever was written now would be wrong. */
class PlaceTaken extends Error {
  override readonly name = "PlaceTaken";
}
