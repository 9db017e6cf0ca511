import type { ConversationId, MessageId, UserId } from "../../shared/ids.ts";
import type {
  AppEvent,
  Change,
  PeerWatermark,
  Phase,
  ReceivedMessage,
  SessionConfig,
  SessionErrorCode,
  Stored,
  StoredConversation,
} from "./contract.ts";
import { PersistentMap } from "./persistent-map.ts";

/** Everything a session knows. Never changed: every step makes a new one that shares what stayed the same. */
export interface SessionState {
  readonly config: SessionConfig;
  readonly phase: Phase;
  readonly closedBy: SessionErrorCode | undefined;

  // The connection
  /** Counts connections, so that what an earlier one still had to say is recognised. */
  readonly connection: number;
  /** Connections in a row that did not last. */
  readonly attempts: number;
  readonly heardAt: number;
  readonly pingedAt: number;
  /** The server's clock minus this device's; unknown before the first welcome. */
  readonly clockOffset: number | undefined;
  /** The `drained` with this number ends comparing or catching up. */
  readonly awaitedRequest: number;
  readonly lastRequest: number;
  readonly caughtUp: boolean;

  readonly conversations: PersistentMap<ConversationState>;

  // Inbox
  /** Conversations in which something is known to be missing. */
  readonly gaps: ReadonlySet<ConversationId>;
  /** The timer runs or the answer is awaited; one repair at a time. */
  readonly repair: "none" | "waiting" | number;
  readonly repairAttempts: number;

  // Outbox
  readonly outboxSize: number;
  readonly lastMinted: MessageId | undefined;
  readonly inFlight: ReadonlyMap<MessageId, InFlight>;
  /** Conversations that have something to transmit; who comes first goes first, and then queues up again. */
  readonly ready: readonly ConversationId[];
  /** Until when a conversation waits after a refusal. */
  readonly paused: ReadonlyMap<ConversationId, number>;
  /** Conversations in which nothing can be sealed: this device is no member of their group, or it waits for somebody's key. */
  readonly unsealable: ReadonlySet<ConversationId>;
  /** How often in a row something was sealed in an epoch that was over. */
  readonly staleness: ReadonlyMap<ConversationId, number>;

  // Read marks
  /** To be transmitted, once the batch of that number is persisted. */
  readonly unsentReads: ReadonlyMap<ConversationId, number>;
  /** Transmitted at that time; the server may not have got them. */
  readonly unconfirmedReads: ReadonlyMap<ConversationId, number>;

  readonly typing: ReadonlyMap<string, Typist>;
  /** The app has been told of this one and all before it. */
  readonly lastAlert: number;

  // The store
  readonly persistedBatch: number;
  readonly writing: Batch | undefined;
  readonly gathering: Batch;
}

export interface ConversationState {
  /** Everything up to here is persisted. */
  readonly have: number;
  /** Everything up to here has been handed to the store. */
  readonly staged: number;
  /** The highest place known to be taken; above `staged` as long as something is missing. */
  readonly head: number;
  /** What came early, by seq. */
  readonly held: ReadonlyMap<number, HeldBack>;
  readonly read: number;
  readonly queue: readonly QueuedMessage[];
  readonly peers: ReadonlyMap<UserId | undefined, PeerWatermark>;
  readonly typedAt: number;
}

/** "own": a message sent from here and persisted when `sent` came; only its place is held. */
export type HeldBack = ReceivedMessage | "own";

export interface QueuedMessage {
  readonly id: MessageId;
  readonly content: Uint8Array;
  /** Sealed, durable, and thus free to go. */
  readonly body: Uint8Array | undefined;
  /** The batch in which it is being sealed. */
  readonly sealing: number | undefined;
}

export interface InFlight {
  readonly conversation: ConversationId;
  /** Its id was ahead of the server's clock when it went, so that it may have been refused. */
  readonly wasAhead: boolean;
  /** One before it was refused because its epoch is over: whatever this one is refused for, it is sealed anew. */
  readonly isStale: boolean;
}

export interface Typist {
  readonly conversation: ConversationId;
  readonly user: UserId;
  readonly until: number;
}

/** One atomic write, and what may happen only after it. */
export interface Batch {
  readonly number: number;
  readonly changes: LastFirst<Change>;
  readonly events: LastFirst<AppEvent>;
  readonly inbox: PersistentMap<InboxProgress>;
  /** Conversations of which it seals messages. */
  readonly sealing: ReadonlySet<ConversationId>;
}

interface InboxProgress {
  readonly cursor: number | undefined;
  readonly owesAck: boolean;
}

/** A list that grows at its head without copying. */
export type LastFirst<T> = { readonly last: T; readonly before: LastFirst<T> } | undefined;

export function inOrder<T>(list: LastFirst<T>): T[] {
  const items: T[] = [];
  for (let node = list; node; node = node.before) items.push(node.last);
  return items.reverse();
}

export function emptyBatch(number: number): Batch {
  return { number, changes: undefined, events: undefined, inbox: PersistentMap.empty(), sealing: new Set() };
}

export const newConversation: ConversationState = {
  have: 0,
  staged: 0,
  head: 0,
  held: new Map(),
  read: 0,
  queue: [],
  peers: new Map(),
  typedAt: Number.NEGATIVE_INFINITY,
};

export function initialState(config: SessionConfig, stored: Stored): SessionState {
  const { conversations: rows, outbox } = stored;
  return {
    config,
    phase: "offline",
    closedBy: undefined,
    connection: 0,
    attempts: 0,
    heardAt: 0,
    pingedAt: 0,
    clockOffset: undefined,
    awaitedRequest: 0,
    lastRequest: 0,
    caughtUp: false,
    conversations: withOutbox(rows.reduce(withConversation, PersistentMap.empty<ConversationState>()), outbox),
    gaps: new Set(rows.filter((row) => row.ahead.length > 0).map((row) => row.conversation)),
    repair: "none",
    repairAttempts: 0,
    outboxSize: outbox.length,
    lastMinted: stored.lastMinted,
    inFlight: new Map(),
    ready: [...new Set(outbox.map((message) => message.conversation))],
    paused: new Map(),
    unsealable: new Set(),
    staleness: new Map(),
    unsentReads: new Map(rows.filter((row) => row.read > row.readConfirmed).map((row) => [row.conversation, 0])),
    unconfirmedReads: new Map(),
    typing: new Map(),
    lastAlert: 0,
    persistedBatch: 0,
    writing: undefined,
    gathering: emptyBatch(1),
  };
}

function withConversation(known: PersistentMap<ConversationState>, row: StoredConversation) {
  return known.set(row.conversation, {
    ...newConversation,
    have: row.have,
    staged: row.have,
    head: Math.max(row.have, ...row.ahead),
    held: new Map(row.ahead.map((seq) => [seq, "own"])),
    read: row.read,
    peers: new Map(row.peers.map((peer) => [peer.user, peer])),
  });
}

function withOutbox(known: PersistentMap<ConversationState>, outbox: Stored["outbox"]) {
  const queues = new Map<ConversationId, QueuedMessage[]>();
  for (const { conversation, id, content, body } of outbox) {
    const queue = queues.get(conversation) ?? [];
    queues.set(conversation, queue);
    queue.push({ id, content, body, sealing: undefined });
  }
  return [...queues].reduce(
    (conversations, [id, queue]) => conversations.set(id, { ...(conversations.get(id) ?? newConversation), queue }),
    known,
  );
}
