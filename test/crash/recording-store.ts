import type { Store } from "../../client/index.ts";
import type { DeviceBook } from "./device-book.ts";

type Changes = Parameters<Store["persist"]>[0];

/** One run of the app on a device's store. What reaches the store is history; after a crash nothing reaches it any more. */
export class RecordingStore implements Store {
  readonly #store: Store;
  readonly #book: DeviceBook;
  #isCut = false;

  constructor(store: Store, book: DeviceBook) {
    this.#store = store;
    this.#book = book;
  }

  /** The app dies: whatever it still wants to write is not written. */
  cut(): void {
    this.#isCut = true;
  }

  load(owner: Parameters<Store["load"]>[0]): ReturnType<Store["load"]> {
    return this.#store.load(owner);
  }

  async persist(changes: Changes): Promise<void> {
    if (this.#isCut) throw new Error("the app is dead");
    await this.#store.persist(changes);
    this.#book.persisted(changes);
  }

  record(...asked: Parameters<Store["record"]>): ReturnType<Store["record"]> {
    return this.#store.record(...asked);
  }

  records(...asked: Parameters<Store["records"]>): ReturnType<Store["records"]> {
    return this.#store.records(...asked);
  }

  scan(...span: Parameters<Store["scan"]>): ReturnType<Store["scan"]> {
    return this.#store.scan(...span);
  }

  find(...asked: Parameters<Store["find"]>): ReturnType<Store["find"]> {
    return this.#store.find(...asked);
  }

  messages(...page: Parameters<Store["messages"]>): ReturnType<Store["messages"]> {
    return this.#store.messages(...page);
  }

  conversations(): ReturnType<Store["conversations"]> {
    return this.#store.conversations();
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}
