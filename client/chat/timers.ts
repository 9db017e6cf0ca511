import * as v from "valibot";
import { type ConversationId, Cursor, type MessageId } from "../../shared/ids.ts";
import { DISAPPEARING_SECONDS, TIMER_SAVE_MESSAGES } from "../../shared/limits.ts";
import type { Forwardable } from "../content/forwarding.ts";
import { isEvent } from "../content/message-state.ts";
import type { Content } from "../content.ts";
import type { Engine } from "./engine.ts";
import { readContent } from "./message.ts";
import { type PlacedRow, scan } from "./scan.ts";

const keyOf = (conversation: ConversationId) => `timer/${conversation}`;

/** What the log says up to a place: in seconds, 0 for good. */
const Logged = v.object({ seconds: v.picklist([0, ...DISAPPEARING_SECONDS]), through: Cursor });
type Logged = v.InferOutput<typeof Logged>;

/** How long messages stay: one of DISAPPEARING_SECONDS, or 0 for good. */
export type TimerSeconds = Logged["seconds"];

/**
 * How long new messages of a conversation stay: what the last timer in its log says, or one of this device's that is still
 * on its way. The log is read for it once, and from then on what is new in it.
 */
export class Timers {
  readonly #engine: Engine;
  readonly #known = new Map<ConversationId, Promise<ConversationTimer>>();
  /** What was found there is found again from the beginning. */
  readonly #forgotten = new Set<ConversationId>();

  constructor(engine: Engine) {
    this.#engine = engine;
    engine.listeners.add("renamed", (renamed) => this.#tell(renamed.conversation, (timer) => timer.renamed(renamed)));
    engine.listeners.add("failed", ({ conversation, id }) => this.#tell(conversation, (timer) => timer.failed(id)));
    engine.listeners.add("replaced", ({ conversation }) => this.#forget(conversation));
  }

  /** As it is to be sent. To be asked for all that is sent, so that what is sent first goes first. */
  async apply(conversation: ConversationId, content: Content): Promise<Content> {
    return withTimer(content, await this.current(conversation));
  }

  /** Those who ask are answered in the order in which they asked. */
  async current(conversation: ConversationId): Promise<TimerSeconds> {
    const timer = (this.#known.get(conversation) ?? this.#begin(conversation)).then((known) => known.goOn());
    this.#known.set(conversation, timer);
    timer.catch(() => this.#known.delete(conversation));
    return (await timer).seconds;
  }

  async #begin(conversation: ConversationId): Promise<ConversationTimer> {
    // What is stored may still be what was forgotten.
    const isForgotten = this.#forgotten.delete(conversation);
    const logged = isForgotten ? undefined : await load(this.#engine, conversation);
    return new ConversationTimer(this.#engine, conversation, logged ?? { seconds: 0, through: 0 });
  }

  /** A place that was gone through says something else now, and it may be a timer. */
  #forget(conversation: ConversationId): void {
    this.#known.delete(conversation);
    if (this.#forgotten.has(conversation)) return;
    this.#forgotten.add(conversation);
    write(this.#engine, conversation, undefined);
  }

  #tell(conversation: ConversationId, what: (timer: ConversationTimer) => void): void {
    this.#known.get(conversation)?.then(what, () => {});
  }
}

class ConversationTimer {
  readonly #engine: Engine;
  readonly #conversation: ConversationId;
  #logged: Logged;
  #saved: Logged;
  /** This device's own, until the log has it. */
  #own: { readonly id: MessageId; readonly seconds: TimerSeconds } | undefined;
  /** Up to this one the outbox was looked through; ids of a device rise. */
  #lookedAt: MessageId = "";

  constructor(engine: Engine, conversation: ConversationId, logged: Logged) {
    this.#engine = engine;
    this.#conversation = conversation;
    this.#logged = this.#saved = logged;
  }

  get seconds(): TimerSeconds {
    return (this.#own ?? this.#logged).seconds;
  }

  async goOn(): Promise<this> {
    this.#lookThroughOutbox();
    const have = this.#engine.state.conversations.get(this.#conversation)?.have ?? 0;
    for await (const row of scan(this.#engine.store, this.#conversation, this.#logged.through)) this.#take(row);
    this.#logged = { ...this.#logged, through: Math.max(have, this.#logged.through) };
    this.#saveIfFar();
    return this;
  }

  renamed({ id, newId }: { readonly id: MessageId; readonly newId: MessageId }): void {
    if (this.#own?.id === id) this.#own = { ...this.#own, id: newId };
  }

  failed(id: MessageId): void {
    if (this.#own?.id === id) this.#own = undefined;
  }

  #lookThroughOutbox(): void {
    const queue = this.#engine.state.conversations.get(this.#conversation)?.queue ?? [];
    for (const { id, content: bytes } of queue.slice(queue.findLastIndex(({ id }) => id <= this.#lookedAt) + 1)) {
      const content = readContent(bytes);
      if (content.kind === "timer") this.#own = { id, seconds: content.seconds };
      this.#lookedAt = id;
    }
  }

  #take({ id, isEvent, user, content: bytes }: PlacedRow): void {
    if (!isEvent && user !== this.#engine.account.user) return;
    const content = readContent(bytes);
    if (content.kind !== "timer") return;
    this.#logged = { ...this.#logged, seconds: content.seconds };
    if (this.#own?.id === id) this.#own = undefined;
  }

  #saveIfFar(): void {
    const logged = this.#logged;
    const { seconds, through } = this.#saved;
    if (logged.seconds === seconds && logged.through - through < TIMER_SAVE_MESSAGES) return;
    this.#saved = logged;
    write(this.#engine, this.#conversation, logged);
  }
}

/** It may answer another message, and disappear. */
export function isToBeRead(content: Content): content is Forwardable {
  return content.kind !== "unknown" && !isEvent(content);
}

function withTimer(content: Content, seconds: TimerSeconds): Content {
  if (seconds === 0 || !isToBeRead(content) || content.expiresAfter !== undefined) return content;
  return { ...content, expiresAfter: seconds };
}

async function load({ store }: Engine, conversation: ConversationId): Promise<Logged | undefined> {
  const record = await store.record(keyOf(conversation));
  return record && v.parse(Logged, JSON.parse(new TextDecoder().decode(record)));
}

/** Nothing depends on it: what was not written is read again. */
function write({ encryption }: Engine, conversation: ConversationId, logged: Logged | undefined): void {
  const value = logged && new TextEncoder().encode(JSON.stringify(logged));
  const record = { type: "record", key: keyOf(conversation), value } as const;
  void encryption.writer.change(async ({ changes }) => void changes.push(record)).catch(() => {});
}
