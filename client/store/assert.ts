/** For tests that run where no test framework does. @throws if the two are not the same in structure, bytes included */
export function assertEqual(actual: unknown, expected: unknown): void {
  if (isSame(actual, expected)) return;
  throw new Error(`expected ${show(expected)}\n     got ${show(actual)}`);
}

/** @throws if it is fulfilled */
export async function assertRejects(promise: Promise<unknown>): Promise<void> {
  const outcome = await promise.then(
    () => "fulfilled",
    () => "rejected",
  );
  assertEqual(outcome, "rejected");
}

/** A property that is undefined is the same as none. */
function isSame(a: unknown, b: unknown): boolean {
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object") return Object.is(a, b);
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  if (a instanceof Uint8Array) return isSameBytes(a, b as Uint8Array);
  const [some, others] = [new Map(Object.entries(a)), new Map(Object.entries(b))];
  return [...new Set([...some.keys(), ...others.keys()])].every((key) => isSame(some.get(key), others.get(key)));
}

function isSameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, index) => byte === b[index]);
}

function show(value: unknown): string {
  return JSON.stringify(value, (_, part) => (part instanceof Uint8Array ? `bytes ${[...part.slice(0, 64)]}` : part));
}
