import { defaultRetry, type ErrorCode, type Retry } from "../../shared/errors.ts";
import type { ConversationId, MessageId } from "../../shared/ids.ts";
import { splitBodies } from "../../shared/protocol/codec.ts";
import type { DownFrame } from "../../shared/protocol/down.ts";
import type { UpFrame, UpType } from "../../shared/protocol/up.ts";
import type {
  AppEvent,
  AppEventType,
  Change,
  Effect,
  QueuedForSending,
  SealedMessage,
  SessionEvent,
  Stored,
  TimerName,
} from "./contract.ts";
import { step } from "./machine.ts";
import { initialState, type SessionState } from "./state.ts";

export const me = "01HZZZZZZZZZZZZZZZZZZZZZZA";
export const myDevice = "01HZZZZZZZZZZZZZZZZZZZZZZD";
export const peer = "01HZZZZZZZZZZZZZZZZZZZZZZB";
export const chat = `${me}.${peer}`;
export const emptyStore: Stored = { lastMinted: undefined, conversations: [], outbox: [] };
const nothing = new Uint8Array(0);
const ID_CHARS = 26;

export function bodyOf(seed: number): Uint8Array {
  return new Uint8Array([seed & 255, seed >> 8]);
}

/** mulberry32: small, and the same everywhere. */
export function seededRandom(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Write = Extract<Effect, { type: "persist" }>;

/**
 * Drives a session by hand, remembers what it wanted, and runs its timers on a clock of its own. It seals as a device
 * would: with the ratchet as it is when the write happens.
 */
export class TestDriver {
  state: SessionState;
  now = Date.UTC(2026, 0, 1);
  effects: Effect[] = [];
  /** Answers every `persist` at once; otherwise `finishWrite` does. */
  storeIsFast: boolean;
  /** In which it seals. */
  epoch = 1;
  /** Where it cannot seal. */
  readonly strangers = new Set<ConversationId>();
  readonly #random: () => number;
  readonly #stored: Stored;
  readonly #outbox: KeptOutbox;
  readonly #timers = new Map<TimerName, number>();
  #write: Write | undefined;
  #generation = 0;

  constructor({ stored = emptyStore, storeIsFast = true, random = seededRandom(1) } = {}) {
    this.storeIsFast = storeIsFast;
    this.#stored = stored;
    this.#outbox = new KeptOutbox(stored);
    this.#random = random;
    this.state = this.#load();
  }

  do(event: SessionEvent): Effect[] {
    const { state, effects } = step(this.state, event, this.now);
    this.state = state;
    this.effects.push(...effects);
    for (const effect of effects) this.#carryOut(effect);
    return [...effects];
  }

  receive(frame: DownFrame, body: Uint8Array = nothing): void {
    this.do({ type: "frame", connection: this.state.connection, framed: { frame, body } });
  }

  message(seq: number, { conversation = chat, user = peer, device = peer, id = idOf(seq) } = {}): void {
    this.receive({ type: "message", conversation, seq, id, user, device, at: seq }, bodyOf(seq));
  }

  page(
    after: number,
    through: number,
    seqs: number[],
    { conversation = chat, own = {} as Record<number, string> } = {},
  ) {
    const entries = seqs.map((seq) => {
      const id = own[seq];
      return { seq, id: id ?? idOf(seq), user: id ? me : peer, device: id ? myDevice : peer, at: seq, length: 2 };
    });
    const body = new Uint8Array(seqs.flatMap((seq) => [...bodyOf(seq)]));
    this.receive({ type: "entries", conversation, after, through, entries }, body);
  }

  sent(...messages: [id: string, seq: number][]): void {
    const confirmed = messages.map(([id, seq]) => ({ id, seq, at: seq }));
    this.receive({ type: "sent", conversation: chat, messages: confirmed });
  }

  refuse(id: string, code: ErrorCode, retry: Retry = defaultRetry[code]): void {
    this.receive({ type: "error", code, retry, conversation: chat, id });
  }

  send(n = 0, conversation: ConversationId = chat): void {
    this.do({ type: "send", ref: n, conversation, content: bodyOf(n) });
  }

  openSocket(): void {
    this.do({ type: "connect" });
    const { connection } = this.state;
    this.do({ type: "ticket_obtained", connection, ticket: "t" });
    this.do({ type: "socket_opened", connection });
  }

  welcome({ compare = false, time = this.now } = {}): void {
    this.receive({ type: "welcome", user: me, device: myDevice, epoch: 1, time, compare });
  }

  goLive(): this {
    this.openSocket();
    this.welcome();
    this.receive({ type: "drained", request: 0 });
    this.effects = [];
    return this;
  }

  loseSocket(code = 1006): void {
    this.do({ type: "socket_closed", connection: this.state.connection, code });
  }

  finishWrite(): void {
    const write = this.#write;
    if (write) this.answer(write, this.landWrite());
  }

  /** The write under way happens; who asked for it does not know yet. @returns what it has sealed */
  landWrite(): SealedMessage[] {
    const { changes = [] } = this.#write ?? {};
    const sealed = changes.flatMap((change) => (change.type === "seal" ? this.#seal(change) : []));
    const bodies = new Map(sealed.map(({ id, body }) => [id, body]));
    for (const change of changes) this.#outbox.apply(change, bodies);
    return sealed;
  }

  /** Of the write under way; it has happened already, or never will. */
  answer({ batch }: Pick<Write, "batch">, sealed: readonly SealedMessage[]): void {
    this.#write = undefined;
    this.do({ type: "persisted", batch, sealed });
  }

  /** What is durable of the outbox. */
  get outbox(): readonly QueuedForSending[] {
    return this.#outbox.all.outbox;
  }

  /** The process dies and begins anew from the store, which has got the write under way or has not. */
  crash({ writeLands = false } = {}): void {
    if (writeLands) this.landWrite();
    this.#write = undefined;
    this.#timers.clear();
    this.state = this.#load();
    this.effects = [];
  }

  /** Lets time pass; timers fire when they are due. */
  pass(ms: number): void {
    const end = this.now + ms;
    for (let due = this.#next(); due && due[1] <= end; due = this.#next()) {
      this.#timers.delete(due[0]);
      this.now = Math.max(this.now, due[1]);
      this.do({ type: "timer", name: due[0] });
    }
    this.now = end;
  }

  timerMs(name: TimerName): number | undefined {
    const at = this.#timers.get(name);
    return at === undefined ? undefined : at - this.now;
  }

  /** What went up since the last `forget`. */
  transmitted<T extends UpType>(type: T): Extract<UpFrame, { type: T }>[] {
    const frames = this.effects.flatMap((effect) => (effect.type === "transmit" ? [effect.frame] : []));
    return frames.filter((frame): frame is Extract<UpFrame, { type: T }> => frame.type === type);
  }

  /** Messages that went up since the last `forget`. */
  get messagesSent(): SentMessage[] {
    return sentIn(this.effects);
  }

  get idsSent(): string[] {
    return this.messagesSent.map(({ id }) => id);
  }

  /** Ids in the outbox, in order. */
  pending(conversation: ConversationId = chat): string[] {
    return this.state.conversations.get(conversation)?.queue.map(({ id }) => id) ?? [];
  }

  emitted<T extends AppEventType>(type: T): Extract<AppEvent, { type: T }>[] {
    const events = this.effects.flatMap((effect) => (effect.type === "emit" ? [effect.event] : []));
    return events.filter((event): event is Extract<AppEvent, { type: T }> => event.type === type);
  }

  get persisted(): Change[] {
    return this.effects.flatMap((effect) => (effect.type === "persist" ? effect.changes : []));
  }

  get wanted(): Effect["type"][] {
    return this.effects.map((effect) => effect.type);
  }

  forget(): void {
    this.effects = [];
  }

  #next(): [TimerName, number] | undefined {
    return [...this.#timers].sort(([, a], [, b]) => a - b)[0];
  }

  #carryOut(effect: Effect): void {
    if (effect.type === "startTimer") this.#timers.set(effect.name, this.now + effect.ms);
    else if (effect.type === "cancelTimer") this.#timers.delete(effect.name);
    else if (effect.type === "persist") {
      this.#write = effect;
      if (this.storeIsFast) this.finishWrite();
    }
  }

  #load(): SessionState {
    const stored = { ...this.#stored, ...this.#outbox.all };
    return initialState({ user: me, device: myDevice, client: "test 1", random: this.#random }, stored);
  }

  #seal({ conversation, id, content }: Extract<Change, { type: "seal" }>): SealedMessage[] {
    if (this.strangers.has(conversation)) return [];
    this.#generation += 1;
    return [{ conversation, id, body: sealAs({ id, epoch: this.epoch, generation: this.#generation, content }) }];
  }
}

/** The part of a store that the outbox needs. */
class KeptOutbox {
  #lastMinted: MessageId | undefined;
  #messages: Map<MessageId, QueuedForSending>;

  constructor({ lastMinted, outbox }: Stored) {
    this.#lastMinted = lastMinted;
    this.#messages = new Map(outbox.map((message) => [message.id, message]));
  }

  get all(): Pick<Stored, "lastMinted" | "outbox"> {
    return { lastMinted: this.#lastMinted, outbox: [...this.#messages.values()] };
  }

  apply(change: Change, bodies: ReadonlyMap<MessageId, Uint8Array>): void {
    const messages = this.#messages;
    if (change.type === "queue") {
      const { conversation, id, content } = change;
      messages.set(id, { conversation, id, content });
      this.#lastMinted = id;
    } else if (change.type === "seal") {
      const body = bodies.get(change.id);
      if (body) messages.set(change.id, { ...this.#find(change.id), body });
    } else if (change.type === "rename") this.#rename(this.#find(change.id), change.newId);
    else if (change.type === "sent" || change.type === "failed") messages.delete(change.id);
  }

  #rename({ conversation, id: old, content }: QueuedForSending, id: MessageId): void {
    const inOrder = [...this.#messages.values()];
    const renamed = inOrder.map((message) => (message.id === old ? { conversation, id, content } : message));
    this.#messages = new Map(renamed.map((message) => [message.id, message]));
    this.#lastMinted = id;
  }

  #find(id: MessageId): QueuedForSending {
    const message = this.#messages.get(id);
    if (!message) throw new Error("What is not in the outbox cannot be sealed or renamed.");
    return message;
  }
}

/** What stands for a ciphertext: everything that makes it another one. */
export interface Sealing {
  readonly id: string;
  readonly epoch: number;
  /** How many were sealed before it, by the same ratchet. */
  readonly generation: number;
  readonly content: Uint8Array;
}

export function sealAs({ id, epoch, generation, content }: Sealing): Uint8Array {
  const head = [epoch, generation & 255, generation >> 8, ...[...id].map((char) => char.charCodeAt(0))];
  const body = new Uint8Array(head.length + content.length);
  body.set(head);
  body.set(content, head.length);
  return body;
}

export function unseal(body: Uint8Array): Sealing {
  const [epoch = 0, low = 0, high = 0] = body;
  const id = String.fromCharCode(...body.subarray(3, 3 + ID_CHARS));
  return { id, epoch, generation: low + (high << 8), content: body.slice(3 + ID_CHARS) };
}

export function sentIn(effects: readonly Effect[]): SentMessage[] {
  return effects.flatMap((effect) => (effect.type === "transmit" ? messagesIn(effect.frame, effect.body) : []));
}

export interface SentMessage {
  readonly conversation: string;
  readonly id: string;
  readonly body: Uint8Array;
}

/** The messages that a frame carries up, alone or several; none for any other frame. */
export function messagesIn(frame: UpFrame, body: Uint8Array = new Uint8Array(0)): SentMessage[] {
  if (frame.type === "send") return [{ conversation: frame.conversation, id: frame.id, body }];
  if (frame.type !== "sends") return [];
  const bodies = splitBodies(
    frame.messages.map(({ length }) => length),
    body,
  );
  return bodies.map((part, index) => ({
    ...{ conversation: frame.conversation, body: part },
    id: frame.messages[index]?.id ?? "",
  }));
}

/** An id that a peer might have made. */
export function idOf(seq: number): string {
  return `01J0000000000000000000${String(seq).padStart(4, "0")}`;
}
