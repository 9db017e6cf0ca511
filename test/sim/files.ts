/** The file store: what is too large for an object. */
export class Files {
  readonly #files = new Map<string, Uint8Array>();

  get isEmpty(): boolean {
    return this.#files.size === 0;
  }

  put(name: string, bytes: Uint8Array): void {
    this.#files.set(name, bytes);
  }

  get(name: string): Uint8Array | undefined {
    return this.#files.get(name);
  }

  delete(names: readonly string[]): void {
    for (const name of names) this.#files.delete(name);
  }

  deleteAll(prefix: string): void {
    for (const name of this.#files.keys()) if (name.startsWith(prefix)) this.#files.delete(name);
  }
}
