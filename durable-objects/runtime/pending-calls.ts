/** Incoming calls that a core answers later, by number. */
export class PendingCalls {
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  #last = 0;

  /** Starts a call and hands its number to `begin`; settles when the core answers. */
  wait<T>(begin: (call: number) => void): Promise<T> {
    const call = ++this.#last;
    const settled = Promise.withResolvers<unknown>();
    this.#pending.set(call, settled);
    begin(call);
    return settled.promise as Promise<T>;
  }

  reply(call: number, value: unknown): void {
    this.#pending.get(call)?.resolve(value);
    this.#pending.delete(call);
  }

  fail(call: number, error: Error): void {
    this.#pending.get(call)?.reject(error);
    this.#pending.delete(call);
  }

  failAll(error: Error): void {
    for (const call of [...this.#pending.keys()]) this.fail(call, error);
  }
}
