import type { ConversationId } from "../../shared/ids.ts";
import {
  MAX_RECONCILIATION_DELAY_MS,
  MEMBERSHIP_RETRY_MAX_MS,
  MEMBERSHIP_RETRY_MS,
  MIN_RECONCILIATION_DELAY_MS,
  PARALLEL_RECONCILIATIONS,
  RECONCILIATION_TIMEOUT_MS,
} from "../../shared/limits.ts";
import type { Progress } from "../backup/transfer.ts";
import { ChatError, type ChatErrorCode } from "../chat-error.ts";
import { isSameKey } from "../identity/ed25519.ts";
import { MlsError } from "../mls/mls.ts";
import { sleep } from "../patience.ts";
import type { Store, StoreChange } from "../store/store.ts";
import { toChatError } from "./failure.ts";

const PREFIX = "reconcile/";
const MARK_BYTES = 8;

/**
 * After which refusals a wish is given up, of those that a repetition does not change. Only what can never be done is: this
 * person has no part in the conversation any more, or nobody has said anything there yet, and whoever does brings in the
 * devices that there are then.
 *
 * Anything else is wrong now, or is said by a server that is, and the wish stays for the next run:
 * - `tampered`, `bad_frame`: what the server has shown or taken cannot be; nobody gives a device's place in a group up for that
 * - `not_allowed`, `too_large`, `too_many`: the group is as large as may be, or a later version knows better
 * - `blocked`: until the person does not block the other one any more
 * - `unauthenticated`, `signed_out`, `revoked`, `closed`, `store_failed`: says nothing of the conversation
 */
const FUTILE: ReadonlySet<ChatErrorCode> = new Set(["not_found"]);

export interface ReconciliationParts {
  readonly store: Pick<Store, "conversations" | "record" | "records">;
  change<T>(work: (write: { readonly changes: StoreChange[] }) => Promise<T>): Promise<T>;
  /** This person's devices are members of the conversation's group, and no others of theirs. @throws ChatError */
  want(conversation: ConversationId): Promise<void>;
  told(progress: Progress): void;
  /** Ends all of it. */
  readonly signal: AbortSignal;
}

/**
 * Brings a person's devices into all their conversations, and those that are gone out of them. What is still to be done stands
 * in the store, so it is done whatever breaks off; and as each device does it, it is done whichever of them dies. Each
 * begins somewhere else, so that they seldom meet.
 */
export class Reconciliation {
  readonly #parts: ReconciliationParts;
  /** What was refused in this run, to be tried again by the next. */
  readonly #refused = new Map<string, Uint8Array>();
  #running: Promise<void> = Promise.resolve();
  #total = 0;

  constructor(parts: ReconciliationParts) {
    this.#parts = parts;
  }

  /** From here on it will be done, in all conversations that there are. @param and what is to be written with it */
  async demand(...and: readonly StoreChange[]): Promise<void> {
    const conversations = await this.#parts.store.conversations();
    const wishes = conversations.map(({ conversation }): StoreChange => {
      // A wish that comes while an earlier one is being fulfilled is another one.
      const value = crypto.getRandomValues(new Uint8Array(MARK_BYTES));
      return { type: "record", key: PREFIX + conversation, value };
    });
    await this.#parts.change(async ({ changes }) => void changes.push(...wishes, ...and));
  }

  /** Resolves when nothing is left to do but what was refused, which stays for the next run. @throws ChatError closed */
  run(): Promise<void> {
    // One that is under way may have looked for the last time before this was asked for.
    this.#running = this.#running.catch(() => {}).then(() => this.#work());
    return this.#running;
  }

  /** For when several devices hear of the same. @throws ChatError closed */
  async runSoon(): Promise<void> {
    const range = MAX_RECONCILIATION_DELAY_MS - MIN_RECONCILIATION_DELAY_MS;
    await sleep(MIN_RECONCILIATION_DELAY_MS + Math.random() * range, this.#parts.signal);
    await this.run();
  }

  async #work(): Promise<void> {
    this.#total = 0;
    this.#refused.clear();
    for (let attempt = 0; ; ) {
      const left = await this.#left();
      if (left.length === 0) return;
      this.#tell(left.length);
      const done = await this.#pass(left);
      attempt = done > 0 ? 0 : attempt + 1;
      const isAllDone = done === left.length;
      const pause = Math.min(MEMBERSHIP_RETRY_MS * 2 ** attempt, MEMBERSHIP_RETRY_MAX_MS);
      if (!isAllDone) await sleep(pause, this.#parts.signal);
    }
  }

  async #left(): Promise<Wish[]> {
    const wishes = await this.#parts.store.records(PREFIX);
    return wishes.filter(([key, mark]) => !isSame(this.#refused.get(key), mark));
  }

  /** Each once. @returns how many are done, as far as this run can do them */
  async #pass(left: readonly Wish[]): Promise<number> {
    const waiting = shuffled(left);
    let done = 0;
    const worker = async () => {
      for (let wish = waiting.pop(); wish; wish = waiting.pop()) {
        if (!(await this.#fulfil(wish))) continue;
        done += 1;
        this.#tell(left.length - done);
      }
    };
    await Promise.all(Array.from({ length: PARALLEL_RECONCILIATIONS }, worker));
    return done;
  }

  /** @returns false if it has to be tried again in this run. @throws ChatError closed */
  async #fulfil([key, mark]: Wish): Promise<boolean> {
    const { store, want, change, signal } = this.#parts;
    try {
      await inTime(want(key.slice(PREFIX.length)), signal);
    } catch (error) {
      if (signal.aborted) throw new ChatError("closed", { cause: error });
      const refusal = refusalIn(error);
      if (!refusal) return false;
      if (!FUTILE.has(refusal)) {
        this.#refused.set(key, mark);
        return true;
      }
    }
    await change(async ({ changes }) => {
      const current = await store.record(key);
      if (isSame(current, mark)) changes.push({ type: "record", key, value: undefined });
    });
    return true;
  }

  #tell(left: number): void {
    this.#total = Math.max(this.#total, left);
    this.#parts.told({ done: this.#total - left, total: this.#total });
  }
}

type Wish = readonly [key: string, mark: Uint8Array];

function isSame(mark: Uint8Array | undefined, other: Uint8Array): boolean {
  return mark !== undefined && isSameKey(mark, other);
}

/** Undefined for what fails in passing. */
function refusalIn(error: unknown): ChatErrorCode | undefined {
  if (!(error instanceof ChatError || error instanceof MlsError)) return undefined;
  const { code, retryable } = toChatError(error);
  return retryable ? undefined : code;
}

/** Others have their turn meanwhile; the work itself goes on. @throws ChatError unavailable, closed */
async function inTime(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const over = new AbortController();
  const late = sleep(RECONCILIATION_TIMEOUT_MS, AbortSignal.any([signal, over.signal]));
  const tooLate = late.then(() => Promise.reject(new ChatError("unavailable")));
  await Promise.race([work, tooLate]).finally(() => over.abort());
}

/** Fisher and Yates. */
function shuffled<T>(items: readonly T[]): T[] {
  const order = [...items];
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [order[last], order[other]] = [order[other] as T, order[last] as T];
  }
  return order;
}
