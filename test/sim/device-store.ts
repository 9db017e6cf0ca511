import type { Store, StoreChange } from "../../client/store/store.ts";
import type { DeviceBook } from "./device-book.ts";

/** A device's store as one run of its app has it. What reaches it is history; after a crash nothing reaches it any more. */
export class DeviceStore implements Store {
  readonly #store: Store;
  readonly #book: DeviceBook;
  readonly #spoil: (changes: readonly StoreChange[]) => readonly StoreChange[];
  #isCut = false;

  /** @param spoil what is stored instead */
  constructor(
    store: Store,
    book: DeviceBook,
    spoil: (changes: readonly StoreChange[]) => readonly StoreChange[] = (changes) => changes,
  ) {
    this.#store = store;
    this.#book = book;
    this.#spoil = spoil;
  }

  /** The app dies: whatever it still wants to write it never hears of. */
  cut(): void {
    this.#isCut = true;
  }

  async persist(changes: readonly StoreChange[]): Promise<void> {
    if (this.#isCut) return new Promise(() => {});
    await this.#store.persist(this.#spoil(changes));
    this.#book.persisted(changes);
  }

  readonly load: Store["load"] = (owner) => this.#store.load(owner);
  readonly record: Store["record"] = (key) => this.#store.record(key);
  readonly records: Store["records"] = (prefix) => this.#store.records(prefix);
  readonly scan: Store["scan"] = (...range) => this.#store.scan(...range);
  readonly find: Store["find"] = (...which) => this.#store.find(...which);
  readonly messages: Store["messages"] = (...page) => this.#store.messages(...page);
  readonly conversations: Store["conversations"] = () => this.#store.conversations();
  readonly close: Store["close"] = () => this.#store.close();
}
