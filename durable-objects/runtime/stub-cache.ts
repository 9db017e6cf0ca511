/** Stubs kept between calls: making one costs as much as calling it. One that has failed is thrown away, it stays broken. */
export class StubCache<Stub> {
  readonly #stubs = new Map<string, Stub>();
  readonly #make: (name: string) => Stub;
  readonly #maxStubs: number;

  constructor(maxStubs: number, make: (name: string) => Stub) {
    this.#maxStubs = maxStubs;
    this.#make = make;
  }

  get(name: string): Stub {
    const known = this.#stubs.get(name);
    if (known) return known;
    if (this.#stubs.size >= this.#maxStubs) this.#stubs.clear();
    const stub = this.#make(name);
    this.#stubs.set(name, stub);
    return stub;
  }

  failed(name: string): void {
    this.#stubs.delete(name);
  }
}
