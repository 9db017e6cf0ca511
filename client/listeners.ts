/** Typed subscriptions. */
export class Listeners<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>();

  add<T extends keyof Events>(type: T, listener: (event: Events[T]) => void): () => void {
    const known = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, known.add(listener));
    return () => known.delete(listener);
  }

  tell<T extends keyof Events>(type: T, event: Events[T]): void {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) {
      callSafely(listener as (event: Events[T]) => void, event);
    }
  }
}

/** A listener that throws is its author's matter, as with DOM events: the others hear the event all the same. */
function callSafely<E>(listener: (event: E) => void, event: E): void {
  try {
    listener(event);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
