import { fromBase64url, toBase64url } from "../../shared/base64url.ts";
import type { ConversationId, MessageId, UserId } from "../../shared/ids.ts";
import {
  ANSWER_WITHIN_MS,
  ASK_AFTER_MS,
  MAX_ASKED_PER_DAY,
  MAX_ASKS_PER_MESSAGE,
  MAX_MESSAGES_PER_ASK,
  MAX_PAGE_ENTRIES,
  MAX_SAID_AGAIN_PER_DAY,
  MAX_SAID_AGAIN_TO_ONE_PER_DAY,
} from "../../shared/limits.ts";
import { expiresAt } from "../content/expiry.ts";
import type { ContentOf } from "../content/kinds.ts";
import { isLocalKind } from "../content/local.ts";
import { isEvent } from "../content/message-state.ts";
import { decodeContent } from "../content.ts";
import { MISSING } from "../encryption/opening.ts";
import type { StoreChange, StoredMessage } from "../store/store.ts";
import type { Engine } from "./engine.ts";
import { type Message, readContent } from "./message.ts";

const DAY_MS = 24 * 3_600_000;

/**
 * A message that this device could not open is asked for again from the devices of whoever wrote it, and takes its place. Only
 * they can answer: who an answer comes from is authenticated like any message. Why it could not be opened stays on record.
 */
export class Healing {
  readonly #engine: Engine;
  /** The places of messages that are about to be asked for. */
  readonly #wanted = new Map<ConversationId, Map<MessageId, number>>();
  /** The same of those that were asked for and have not been said again. */
  readonly #unanswered = new Map<ConversationId, Map<MessageId, number>>();
  readonly #asks = new Map<MessageId, number>();
  readonly #asked = new DailyCount(MAX_ASKED_PER_DAY);
  readonly #answered = new DailyCount(MAX_SAID_AGAIN_PER_DAY);
  /** Of that, by who asked: whoever asks for much leaves something for the others. */
  readonly #answeredTo = new DailyCount(MAX_SAID_AGAIN_TO_ONE_PER_DAY);
  /** When a device of this person's has said something again, last: that answers everybody who had asked by then. */
  readonly #saidAgain = new Map<MessageId, number>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #isStopped = false;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** This message lacks what it says. */
  async miss(conversation: ConversationId, seq: number): Promise<void> {
    const [message] = await this.#engine.store.scan(conversation, seq - 1, 1);
    if (message?.seq !== seq || !this.#isMissing(message)) return this.#settle(conversation, [seq]);
    // It may have been an answer: what is without one is asked for once more.
    const wanted = this.#wanted.get(conversation) ?? new Map(this.#unanswered.get(conversation));
    if (!this.#wanted.has(conversation)) this.#later(ASK_AFTER_MS, () => this.#ask(conversation));
    this.#wanted.set(conversation, wanted.set(message.id, seq));
  }

  /** What an earlier run has not come to ask for. */
  async resume(): Promise<void> {
    for (const [key] of await this.#engine.store.records(MISSING)) {
      const [conversation = "", seq] = key.slice(MISSING.length).split("/");
      await this.miss(conversation, Number(seq));
    }
  }

  /** @returns whether it was between devices, and nobody is to see it */
  hear(message: Heard): boolean {
    const { conversation, user, content, at } = message;
    if (content.kind === "ask") this.#answer(conversation, user, content, at);
    else if (content.kind === "again") void this.#replace(message, content).catch(() => {});
    else return false;
    return true;
  }

  stop(): void {
    this.#isStopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
  }

  async #ask(conversation: ConversationId): Promise<void> {
    const wanted = this.#wanted.get(conversation) ?? new Map<MessageId, number>();
    this.#wanted.delete(conversation);
    const targets = [...wanted.keys()].filter((id) => (this.#asks.get(id) ?? 0) < MAX_ASKS_PER_MESSAGE);
    this.#unanswered.set(conversation, new Map(targets.map((id) => [id, wanted.get(id) ?? 0])));
    for (let from = 0; from < targets.length; from += MAX_MESSAGES_PER_ASK) {
      const some = targets.slice(from, from + MAX_MESSAGES_PER_ASK).filter(() => this.#asked.take(conversation));
      for (const id of some) this.#asks.set(id, (this.#asks.get(id) ?? 0) + 1);
      if (some.length > 0) await this.#engine.queue(conversation, { kind: "ask", targets: some });
    }
    await this.#settle(conversation, [...wanted.values()]);
  }

  /** They have been asked for, or need not be. */
  async #settle(conversation: ConversationId, places: readonly number[]): Promise<void> {
    const records = places.map(
      (seq): StoreChange => ({ type: "record", key: `${MISSING}${conversation}/${seq}`, value: undefined }),
    );
    await this.#engine.encryption.writer.change(async ({ changes }) => void changes.push(...records));
  }

  /** One of this person's devices is enough: who is faster spares the others. */
  #answer(conversation: ConversationId, asker: UserId, { targets }: ContentOf<"ask">, askedAt: number): void {
    for (const target of targets) {
      this.#later(Math.random() * ANSWER_WITHIN_MS, () => this.#sayAgain(conversation, target, asker, askedAt));
    }
  }

  async #sayAgain(conversation: ConversationId, id: MessageId, asker: UserId, askedAt: number): Promise<void> {
    if ((this.#saidAgain.get(id) ?? 0) >= askedAt) return;
    const message = await this.#engine.store.find(conversation, id);
    if (!message || !(await this.#mayHear(asker, message, askedAt))) return;
    if (!this.#answeredTo.take(`${conversation} ${asker}`) || !this.#answered.take(conversation)) return;
    this.#noteSaid(id, this.#engine.now);
    await this.#engine.queue(conversation, { kind: "again", target: id, content: toBase64url(message.content) });
  }

  #noteSaid(id: MessageId, at: number): void {
    this.#saidAgain.delete(id);
    this.#saidAgain.set(id, at);
    const [oldest] = this.#saidAgain.keys();
    if (this.#saidAgain.size > MAX_SAID_AGAIN_PER_DAY && oldest !== undefined) this.#saidAgain.delete(oldest);
  }

  /**
   * Only what this person wrote themself, as long as they have not deleted it and it has not disappeared, and only to somebody
   * who was there when it was written: of what was before it joined, anew perhaps, this device does not know who was.
   */
  async #mayHear(asker: UserId, message: StoredMessage, askedAt: number): Promise<boolean> {
    const { account, store, now, encryption } = this.#engine;
    const { conversation, id, seq, user, at, content } = message;
    if (user !== account.user || seq === undefined || isNotSaid(message) || at > askedAt) return false;
    if (seq <= (await encryption.writer.keys(conversation)).joinedAt) return false;
    // Whoever they seem to be since then was not there: the server may say of anybody that they are.
    if ((this.#engine.authenticator.pin(asker)?.since ?? 0) > at) return false;
    if ((expiresAt(readContent(content), at) ?? Number.POSITIVE_INFINITY) <= now) return false;
    for (let after = seq; ; ) {
      const page = await store.scan(conversation, after, MAX_PAGE_ENTRIES);
      if (page.some((entry) => hasJoined(entry, asker) || (entry.user === user && hasDeleted(entry, id)))) return false;
      const last = page.at(-1)?.seq;
      if (last === undefined) return true;
      after = last;
    }
  }

  async #replace({ conversation, user, at }: Heard, { target, content }: ContentOf<"again">): Promise<void> {
    if (user === this.#engine.account.user) this.#noteSaid(target, at);
    const bytes = fromBase64url(content);
    if (!bytes) return;
    const said = decodeContent(bytes);
    const healed = await this.#engine.encryption.writer.change(async (write) => {
      // Looked up in the write itself: it may be put away, or come from elsewhere, until then.
      const message = await this.#engine.store.find(conversation, target);
      if (!message || message.seq === undefined || message.user !== user || !this.#isMissing(message)) return undefined;
      const { seq, content: before } = message;
      write.changes.push({ type: "replace", conversation, seq, content: bytes, isEvent: isEvent(said) });
      write.changes.push({ type: "record", key: `healed/${conversation}/${seq}`, value: before });
      return { seq, at: message.at };
    });
    if (!healed) return;
    this.#unanswered.get(conversation)?.delete(target);
    this.#engine.replaced(conversation, healed.seq);
    // It may itself have been between devices.
    this.hear({ conversation, user, content: said, at: healed.at });
  }

  #isMissing({ content }: StoredMessage): boolean {
    const read = readContent(content);
    return read.kind === "unreadable" && read.reason !== "before_joining";
  }

  #later(ms: number, work: () => Promise<void>): void {
    if (this.#isStopped) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      void work().catch(() => {});
    }, ms);
    this.#timers.add(timer);
  }
}

type Heard = Pick<Message, "conversation" | "user" | "content" | "at">;

function hasDeleted(entry: StoredMessage, id: MessageId): boolean {
  const content = readContent(entry.content);
  return content.kind === "deletion" && content.target === id;
}

/** It is not what somebody wrote: it could not be opened here either, or was erased. */
function isNotSaid({ content }: StoredMessage): boolean {
  return isLocalKind(readContent(content).kind);
}

function hasJoined(entry: StoredMessage, user: UserId): boolean {
  if (!entry.isEvent) return false;
  const content = readContent(entry.content);
  return content.kind === "group" && content.added.includes(user);
}

/** So many of each a day. */
class DailyCount {
  readonly #limit: number;
  #day = 0;
  readonly #counts = new Map<string, number>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  take(what: string): boolean {
    const day = Math.floor(Date.now() / DAY_MS);
    if (day !== this.#day) this.#counts.clear();
    this.#day = day;
    const count = this.#counts.get(what) ?? 0;
    this.#counts.set(what, count + 1);
    return count < this.#limit;
  }
}
