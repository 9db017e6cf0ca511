/**
 * An immutable map whose copies share what did not change: one `set` among 10,000 keys costs about as much as one among
 * ten. Keys are spread over 64 × 64 buckets by their hash, which also fixes the order of iteration.
 */
export class PersistentMap<V> implements Iterable<readonly [string, V]> {
  static readonly #none = new PersistentMap<never>([], 0);
  readonly #branches: readonly (Branch<V> | undefined)[];
  readonly size: number;

  private constructor(branches: readonly (Branch<V> | undefined)[], size: number) {
    this.#branches = branches;
    this.size = size;
  }

  static empty<V>(): PersistentMap<V> {
    return PersistentMap.#none;
  }

  get(key: string): V | undefined {
    const hash = hashOf(key);
    return this.#branches[hash >> 6]?.[hash & 63]?.find((entry) => entry[0] === key)?.[1];
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  set(key: string, value: V): PersistentMap<V> {
    const hash = hashOf(key);
    const branch = this.#branches[hash >> 6] ?? [];
    const bucket = branch[hash & 63] ?? [];
    const index = bucket.findIndex((entry) => entry[0] === key);
    const entry = [key, value] as const;
    const changed = index < 0 ? [...bucket, entry] : bucket.with(index, entry);
    const branches = replace(this.#branches, hash >> 6, replace(branch, hash & 63, changed));
    return new PersistentMap(branches, index < 0 ? this.size + 1 : this.size);
  }

  *[Symbol.iterator](): Generator<readonly [string, V]> {
    for (const branch of this.#branches) {
      for (const bucket of branch ?? []) yield* bucket ?? [];
    }
  }
}

type Bucket<V> = readonly (readonly [string, V])[];
type Branch<V> = readonly (Bucket<V> | undefined)[];

function replace<T>(items: readonly (T | undefined)[], index: number, item: T): (T | undefined)[] {
  const copy = items.slice();
  while (copy.length < index) copy.push(undefined);
  copy[index] = item;
  return copy;
}

/** FNV-1a, folded to 12 bits. */
function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < key.length; index++) hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193);
  return (hash ^ (hash >>> 12) ^ (hash >>> 24)) & 0xfff;
}
