/**
 * The objects of before for those items that have not changed, and the list of before if none has: whoever shows it sees
 * by identity what there is to do.
 */
export function keepSame<T>(
  before: readonly T[] | undefined,
  now: readonly T[],
  keyOf: (item: T) => string,
): readonly T[] {
  if (!before) return now;
  const known = new Map(before.map((item) => [keyOf(item), item]));
  const items = now.map((item) => {
    const same = known.get(keyOf(item));
    return same !== undefined && isSame(same, item) ? same : item;
  });
  const isUnchanged = items.length === before.length && items.every((item, index) => item === before[index]);
  return isUnchanged ? before : items;
}

/** Of plain data, as messages are made of. */
function isSame(a: unknown, b: unknown): boolean {
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object") return Object.is(a, b);
  const [some, others] = [Object.entries(a), new Map(Object.entries(b))];
  return some.length === others.size && some.every(([key, value]) => others.has(key) && isSame(value, others.get(key)));
}
