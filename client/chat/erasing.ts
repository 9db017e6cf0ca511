import type { ConversationId } from "../../shared/ids.ts";
import { EDIT_WINDOW_MS, ERASE_AFTER_MS, ERASE_SLICE_MESSAGES, MAX_ERASE_WAIT_MS } from "../../shared/limits.ts";
import { expiresAt } from "../content/expiry.ts";
import type { ContentOf } from "../content/kinds.ts";
import { type Erasure, encodeLocal } from "../content/local.ts";
import { foldMessage } from "../content/message-state.ts";
import type { StoreChange, StoredMessage } from "../store/store.ts";
import type { Engine } from "./engine.ts";
import { entryOf, type MessageRef, readContent } from "./message.ts";
import { type PlacedRow, scan } from "./scan.ts";
import { unindexed } from "./search.ts";
import { nobodyIsAdmin } from "./timeline.ts";

/** Of records, one a conversation: up to which place it was gone through. */
const THROUGH = "erased-through/";
/** Of records, one a place: when what stands there expires. Its conversation and its place follow. */
const EXPIRES = "expires/";

interface Expiry {
  readonly conversation: ConversationId;
  readonly seq: number;
  /** Ms since 1970, by the server's clock. */
  readonly at: number;
}

interface Erased {
  readonly row: PlacedRow;
  readonly reason: Erasure;
}

/** What is to be written: contents that go, and records. */
interface Todo {
  readonly erased: Erased[];
  readonly records: StoreChange[];
}

/**
 * Takes out of the store what is not to be kept: what was deleted for everyone, what has expired, and what the person at this
 * device has put away; with it the edits that were about it. Each conversation is gone through once, in the background and
 * behind what comes; what expires one day is written down meanwhile, so that nothing has to be looked for then.
 */
export class Erasing {
  readonly #engine: Engine;
  /** Conversations in which something has come, and behind which place. */
  readonly #due = new Map<ConversationId, number>();
  readonly #through = new Map<ConversationId, number>();
  readonly #expiries = new Map<string, Expiry>();
  #loaded: Promise<void> | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #working: Promise<unknown> = Promise.resolve();
  /** Something has come; something expires. */
  #soon: ReturnType<typeof setTimeout> | undefined;
  #later: ReturnType<typeof setTimeout> | undefined;
  #isOver = false;

  constructor(engine: Engine) {
    this.#engine = engine;
    const { listeners } = engine;
    listeners.add("message", ({ conversation }) => this.#come(conversation, Number.POSITIVE_INFINITY));
    listeners.add("sent", ({ conversation }) => this.#come(conversation, Number.POSITIVE_INFINITY));
    listeners.add("replaced", ({ conversation, seq }) => this.#comeAgain(conversation, seq - 1));
    // Not before is the server's clock known.
    listeners.add("caught_up", () => this.#wake());
  }

  /** The person at this device does not want to see it any more. */
  hide({ conversation, id }: MessageRef): Promise<void> {
    return this.#inOrder(async () => {
      const row = await this.#engine.store.find(conversation, id);
      if (row && isPlaced(row)) await this.#carryOut({ erased: await this.#withEdits(row, "hidden"), records: [] });
      else await this.#carryOut({ erased: [], records: [{ type: "drop", conversation, id }] });
      this.#engine.listeners.tell("hidden", { conversation, id });
    });
  }

  /** Fulfilled when nothing is under way any more. What is left is done the next time. */
  async stop(): Promise<void> {
    this.#isOver = true;
    clearTimeout(this.#soon);
    clearTimeout(this.#later);
    await this.#running;
    await this.#working;
  }

  // ── when ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  #come(conversation: ConversationId, after: number): void {
    this.#setDue(conversation, after);
    this.#wake();
  }

  #setDue(conversation: ConversationId, after: number): void {
    this.#due.set(conversation, Math.min(after, this.#due.get(conversation) ?? after));
  }

  /** From a place on that was gone through: that is written down, for what is not done in this run. */
  #comeAgain(conversation: ConversationId, after: number): void {
    this.#come(conversation, after);
    const written = this.#inOrder(async () => {
      await this.#load();
      if (after < this.#throughOf(conversation))
        await this.#carryOut({ erased: [], records: this.#gotTo(conversation, after) });
    });
    written.catch(() => {});
  }

  #wake(): void {
    if (this.#isOver) return;
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.#running = this.#running.then(() => this.#run()).catch(() => {});
    }, ERASE_AFTER_MS);
  }

  async #run(): Promise<void> {
    await this.#load();
    for (const [conversation, after] of [...this.#due]) await this.#goThrough(conversation, after);
    await this.#eraseExpired();
    this.#waitForNext();
  }

  #waitForNext(): void {
    const { state, now } = this.#engine;
    const next = [...this.#expiries.values()].reduce((least, { at }) => Math.min(least, at), Number.POSITIVE_INFINITY);
    clearTimeout(this.#later);
    if (this.#isOver || state.clockOffset === undefined || !Number.isFinite(next)) return;
    this.#later = setTimeout(() => this.#wake(), Math.min(Math.max(next - now, 0), MAX_ERASE_WAIT_MS));
  }

  #load(): Promise<void> {
    this.#loaded ??= this.#read().catch((error) => {
      this.#loaded = undefined;
      throw error;
    });
    return this.#loaded;
  }

  async #read(): Promise<void> {
    const { store, state } = this.#engine;
    const [through, expiries] = await Promise.all([store.records(THROUGH), store.records(EXPIRES)]);
    for (const [key, value] of through) this.#through.set(key.slice(THROUGH.length), numberIn(value));
    for (const [key, value] of expiries) {
      const [conversation = "", seq] = key.slice(EXPIRES.length).split("/");
      this.#expiries.set(key, { conversation, seq: Number(seq), at: numberIn(value) });
    }
    for (const [conversation, { have }] of state.conversations) {
      if (have > this.#throughOf(conversation)) this.#setDue(conversation, Number.POSITIVE_INFINITY);
    }
  }

  // ── what ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #goThrough(conversation: ConversationId, from: number): Promise<void> {
    this.#due.delete(conversation);
    try {
      let after: number | undefined = Math.min(from, this.#throughOf(conversation));
      while (after !== undefined && !this.#isOver) {
        const begin: number = after;
        after = await this.#aside(() => this.#goOn(conversation, begin));
      }
    } catch (error) {
      this.#setDue(conversation, from);
      throw error;
    }
  }

  /** @returns how far it has got; undefined at the end */
  async #goOn(conversation: ConversationId, after: number): Promise<number | undefined> {
    const { store, state } = this.#engine;
    const have = state.conversations.get(conversation)?.have ?? 0;
    const rows = (await store.scan(conversation, after, ERASE_SLICE_MESSAGES)).filter(isPlaced);
    const next = rows.length === ERASE_SLICE_MESSAGES ? rows.at(-1)?.seq : undefined;
    const todo: Todo = { erased: [], records: [] };
    for (const row of rows) await this.#lookAt(row, todo);
    // What stands beyond `have` is here already, but not all that comes before it.
    todo.records.push(...this.#gotTo(conversation, Math.min(next ?? have, have)));
    await this.#carryOut(todo);
    return next;
  }

  async #lookAt(row: PlacedRow, todo: Todo): Promise<void> {
    const content = readContent(row.content);
    if (content.kind === "deletion") todo.erased.push(...(await this.#deletedBy(row, content)));
    else if (content.kind === "edit") await this.#lookAtEdit(row, content, todo);
    // What it says has its own place, on whatever device lacked it.
    else if (content.kind === "again") todo.erased.push({ row, reason: "hidden" });
    else this.#lookAtExpiry(row, expiresAt(content, row.at), todo);
  }

  /** Only what everybody takes for deleted. */
  async #deletedBy(row: PlacedRow, { target }: ContentOf<"deletion">): Promise<Erased[]> {
    const message = await this.#engine.store.find(row.conversation, target);
    if (!message || !isPlaced(message)) return [];
    const content = readContent(message.content);
    if (content.kind === "erased" || this.#isPast(expiresAt(content, message.at))) return [];
    const { deletedBy } = foldMessage(entryOf(message), [entryOf(row)], nobodyIsAdmin);
    return deletedBy === undefined ? [] : this.#withEdits(message, "deleted");
  }

  /** It goes with what it is about. One that comes too late, or is somebody else's, changes nothing: it goes at once. */
  async #lookAtEdit(row: PlacedRow, { target }: ContentOf<"edit">, todo: Todo): Promise<void> {
    const message = await this.#engine.store.find(row.conversation, target);
    // It may still come, with a history from elsewhere.
    if (!message) return;
    const content = readContent(message.content);
    const isVoid = row.user !== message.user || row.at - message.at > EDIT_WINDOW_MS;
    if (isVoid || content.kind === "erased") todo.erased.push({ row, reason: "hidden" });
    else this.#lookAtExpiry(row, expiresAt(content, message.at), todo);
  }

  #lookAtExpiry(row: PlacedRow, at: number | undefined, todo: Todo): void {
    if (this.#isPast(at)) todo.erased.push({ row, reason: "expired" });
    if (at === undefined || this.#isPast(at)) return;
    const { conversation, seq } = row;
    const key = `${EXPIRES}${conversation}/${seq}`;
    this.#expiries.set(key, { conversation, seq, at });
    todo.records.push({ type: "record", key, value: bytesOf(at) });
  }

  /** Edits that change something stand shortly behind what they are about. */
  async #withEdits(message: PlacedRow, reason: Erasure): Promise<Erased[]> {
    const erased: Erased[] = [{ row: message, reason }];
    for await (const row of scan(this.#engine.store, message.conversation, message.seq)) {
      if (row.at - message.at > EDIT_WINDOW_MS) break;
      const content = readContent(row.content);
      if (content.kind === "edit" && content.target === message.id) erased.push({ row, reason: "hidden" });
    }
    return erased;
  }

  async #eraseExpired(): Promise<void> {
    const past = [...this.#expiries].filter(([, { at }]) => this.#isPast(at));
    for (let from = 0; from < past.length && !this.#isOver; from += ERASE_SLICE_MESSAGES) {
      const some = past.slice(from, from + ERASE_SLICE_MESSAGES);
      await this.#aside(async () => {
        const rows = await Promise.all(some.map(([, expiry]) => this.#rowAt(expiry)));
        const erased = rows.flatMap((row) => (row ? { row, reason: "expired" as const } : []));
        await this.#carryOut({ erased, records: some.map(([key]) => ({ type: "record", key, value: undefined })) });
      });
      for (const [key] of some) this.#expiries.delete(key);
    }
  }

  async #rowAt({ conversation, seq }: Expiry): Promise<PlacedRow | undefined> {
    const [row] = await this.#engine.store.scan(conversation, seq - 1, 1);
    return row && isPlaced(row) && row.seq === seq ? row : undefined;
  }

  /** By the server's clock: what is erased does not come back when this device's own turns out to be wrong. */
  #isPast(at: number | undefined): boolean {
    return at !== undefined && this.#engine.state.clockOffset !== undefined && at <= this.#engine.now;
  }

  // ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #throughOf(conversation: ConversationId): number {
    return this.#through.get(conversation) ?? 0;
  }

  /** Not beyond what is to be gone through again. */
  #gotTo(conversation: ConversationId, place: number): StoreChange[] {
    const through = Math.min(place, this.#due.get(conversation) ?? place);
    if (through === this.#throughOf(conversation)) return [];
    this.#through.set(conversation, through);
    return [{ type: "record", key: THROUGH + conversation, value: bytesOf(through) }];
  }

  async #carryOut({ erased, records }: Todo): Promise<void> {
    const changes = [...erased.flatMap(erasure), ...records];
    if (changes.length === 0) return;
    await this.#engine.encryption.writer.change(async (write) => void write.changes.push(...changes));
    for (const { row } of erased) {
      const { conversation, id } = row;
      this.#engine.listeners.tell("erased", { conversation, id });
    }
  }

  /** Others have their turn in between. */
  async #aside<T>(work: () => Promise<T>): Promise<T> {
    const result = await this.#inOrder(work);
    await new Promise((resolve) => setTimeout(resolve));
    return result;
  }

  /** One after the other: what is read still holds when it is written. */
  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#working.then(work);
    this.#working = done.catch(() => {});
    return done;
  }
}

function erasure({ row, reason }: Erased): StoreChange[] {
  const { conversation, seq, isEvent } = row;
  const content = encodeLocal({ kind: "erased", reason });
  return [{ type: "replace", conversation, seq, content, isEvent }, unindexed(row)];
}

function isPlaced(row: StoredMessage): row is PlacedRow {
  return row.seq !== undefined;
}

function bytesOf(value: number): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function numberIn(bytes: Uint8Array): number {
  return Number(new TextDecoder().decode(bytes));
}
