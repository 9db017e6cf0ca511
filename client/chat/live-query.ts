import { Listeners } from "../listeners.ts";
import { toChatError } from "./failure.ts";

/** Platforms have timers of 31 bits: a longer one would fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * A value that is kept up to date for as long as anybody looks at it. The two functions are what
 * `useSyncExternalStore` of React wants, and can be passed on by themselves.
 */
export interface LiveQuery<T> {
  /** The same object until something has changed. @throws ChatError if the store cannot be read */
  readonly getSnapshot: () => T;
  /** @returns a function that ends the subscription */
  readonly subscribe: (listener: () => void) => () => void;
}

export interface LiveSource<T> {
  /** `before`: what was read last. What is the same again is to be the same object, and so are parts of it. */
  read(before: T | undefined): Promise<T>;
  /** Calls back whenever the value may have changed. @returns a function that ends it */
  watch(changed: () => void): () => void;
  /** In how many ms the value changes by itself, if it does. */
  changesIn?(value: T): number | undefined;
}

/**
 * Reads anew whenever something has changed: once for all that happens in one go, and once more if something happens
 * while it reads. Undefined until it has read for the first time, which is when somebody subscribes.
 */
export class LiveReading<T> implements LiveQuery<T | undefined> {
  readonly #source: LiveSource<T>;
  readonly #listeners = new Listeners<{ readonly changed: undefined }>();
  #subscribers = 0;
  #unwatch = () => {};
  #value: T | undefined;
  #failure: Error | undefined;
  #isDue = false;
  #isReading = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(source: LiveSource<T>) {
    this.#source = source;
  }

  readonly getSnapshot = (): T | undefined => {
    if (this.#failure) throw this.#failure;
    return this.#value;
  };

  readonly subscribe = (listener: () => void): (() => void) => {
    // Nobody's listener is taken for another's: each subscription ends by itself.
    const unlisten = this.#listeners.add("changed", () => listener());
    this.#subscribers += 1;
    if (this.#subscribers === 1) this.#begin();
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      unlisten();
      this.#subscribers -= 1;
      if (this.#subscribers === 0) this.#end();
    };
  };

  /** To be read again, for another reason than what is watched. */
  readonly refresh = (): void => {
    if (this.#isDue || this.#subscribers === 0) return;
    this.#isDue = true;
    if (!this.#isReading) queueMicrotask(() => void this.#read());
  };

  #begin(): void {
    this.#unwatch = this.#source.watch(this.refresh);
    this.refresh();
  }

  #end(): void {
    this.#unwatch();
    clearTimeout(this.#timer);
  }

  async #read(): Promise<void> {
    this.#isReading = true;
    while (this.#isDue) {
      this.#isDue = false;
      await this.#source.read(this.#value).then(
        (value) => this.#accept(value, undefined),
        (error) => this.#accept(this.#value, toChatError(error)),
      );
    }
    this.#isReading = false;
  }

  #accept(value: T | undefined, failure: Error | undefined): void {
    const hasChanged = value !== this.#value || failure !== this.#failure;
    this.#value = value;
    this.#failure = failure;
    if (this.#subscribers === 0) return;
    this.#startTimer(value);
    if (hasChanged) this.#listeners.tell("changed", undefined);
  }

  #startTimer(value: T | undefined): void {
    clearTimeout(this.#timer);
    const ms = value === undefined ? undefined : this.#source.changesIn?.(value);
    if (ms !== undefined) this.#timer = setTimeout(this.refresh, Math.min(Math.max(ms, 0), LONGEST_TIMER_MS));
  }
}
