import type { ConversationId } from "../../shared/ids.ts";
import { MAX_CACHED_GROUPS } from "../../shared/limits.ts";
import type { KeyChange } from "../identity/pins.ts";
import type { Mls } from "../mls/mls.ts";
import type { Change, ReceivedMessage, SealedMessage } from "../session/contract.ts";
import type { Owner, Store, StoreChange } from "../store/store.ts";
import type { Authenticator } from "./authenticator.ts";
import { type ConversationKeys, loadKeys } from "./conversation-keys.ts";
import type { Intake } from "./intake.ts";
import { openEntry } from "./opening.ts";
import { sealMessage } from "./sealing.ts";
import type { Transcripts } from "./transcripts.ts";
import { type Noticed, Write } from "./write.ts";

export interface WriterParts {
  readonly owner: Owner;
  readonly store: Store;
  readonly mls: Mls;
  readonly authenticator: Authenticator;
  readonly intake: Pick<Intake, "commitOf" | "invitationOf">;
  readonly transcripts: Transcripts;
  /** Told after what it is about is stored. */
  notice(noticed: Noticed): void;
  keyChanged(change: KeyChange): void;
}

type RecordChange = Extract<StoreChange, { type: "record" }>;

/** What a received entry turned out to say. */
export interface OpenedEntry {
  readonly content: Uint8Array;
  readonly isEvent: boolean;
}

/**
 * The one place where this device's groups move on: one write at a time, each atomic with the messages that it seals and opens.
 * A ratchet's state is so stored before anything that it sealed can leave, and none is ever used twice.
 */
export class DeviceWriter {
  readonly #parts: WriterParts;
  /** The groups used last come last. */
  readonly #cache = new Map<ConversationId, ConversationKeys>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: WriterParts) {
    this.#parts = parts;
  }

  /** Carries out what a session asks to persist, and what is to be written with it. @throws if it could not be stored; nothing has changed then */
  write(
    changes: readonly (Change | RecordChange)[],
    opened: (message: ReceivedMessage, entry: OpenedEntry) => void,
  ): Promise<SealedMessage[]> {
    return this.change(async (write) => {
      for (const change of changes) await this.#apply(write, change, opened);
      return write.sealed;
    });
  }

  /** Anything else that moves groups on, or writes with them. */
  change<T>(work: (write: Write) => Promise<T>): Promise<T> {
    const done = this.#last.then(() => this.#carryOut(work));
    this.#last = done.catch(() => {});
    return done;
  }

  /** As it is stored. */
  keys(conversation: ConversationId): Promise<ConversationKeys> {
    return this.change((write) => write.keys(conversation));
  }

  async #carryOut<T>(work: (write: Write) => Promise<T>): Promise<T> {
    const { mls, store, authenticator, notice, keyChanged } = this.#parts;
    const write = new Write(mls, (conversation) => this.#load(conversation));
    const result = await work(write).catch((error) => this.#throwAway(write, error));
    const learned = authenticator.takeLearned();
    const changes = [...write.finish(), ...learned.changes];
    if (changes.length > 0) await store.persist(changes).catch((error) => this.#throwAway(write, error));
    for (const [conversation, keys] of write.updated()) {
      this.#forget(this.#cache.get(conversation), keys);
      this.#remember(conversation, keys);
    }
    authenticator.settle();
    for (const noticed of write.noticed) notice(noticed);
    for (const change of learned.keyChanges) keyChanged(change);
    return result;
  }

  async #apply(
    write: Write,
    change: Change | RecordChange,
    opened: (message: ReceivedMessage, entry: OpenedEntry) => void,
  ): Promise<void> {
    if (change.type === "seal") return sealMessage(write, this.#parts, change);
    if (change.type === "message") {
      const entry = await openEntry(write, this.#parts, change);
      opened(change, entry);
      const { body: _, ...place } = change;
      write.changes.push({ ...place, ...entry });
      return;
    }
    if (change.type === "placed") return this.#parts.transcripts.placed(write, change);
    if (change.type === "sent") await this.#parts.transcripts.sent(write, change);
    write.changes.push(change);
  }

  /** What it has used of a ratchet is used up in memory: only the store still has it. */
  #throwAway(write: Write, error: unknown): never {
    for (const [conversation] of write.updated()) this.#cache.delete(conversation);
    this.#parts.authenticator.discard();
    throw error;
  }

  async #load(conversation: ConversationId): Promise<ConversationKeys> {
    const { store, mls } = this.#parts;
    const keys = this.#cache.get(conversation) ?? (await loadKeys(store, mls, conversation));
    this.#remember(conversation, keys);
    return keys;
  }

  /** Secrets of an epoch that is over, and of a commit that was not taken, are overwritten in memory too. */
  #forget(before: ConversationKeys | undefined, after: ConversationKeys): void {
    const kept = new Set([after.group, after.pending?.group]);
    for (const group of [before?.group, before?.pending?.group]) {
      const isOver = group !== undefined && !kept.has(group) && group.epoch !== after.group?.epoch;
      if (isOver) this.#parts.mls.forget(group);
    }
  }

  #remember(conversation: ConversationId, keys: ConversationKeys): void {
    this.#cache.delete(conversation);
    this.#cache.set(conversation, keys);
    const [oldest] = this.#cache.keys();
    if (this.#cache.size > MAX_CACHED_GROUPS && oldest !== undefined) this.#cache.delete(oldest);
  }
}
