/** Times things of several kinds, and knows their medians. */
export class Stopwatch {
  readonly #times = new Map<string, number[]>();

  async time<T>(what: string, work: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    const result = await work();
    this.note(what, performance.now() - begun);
    return result;
  }

  note(what: string, ms: number): void {
    const times = this.#times.get(what) ?? [];
    this.#times.set(what, [...times, ms]);
  }

  medians(): Record<string, number> {
    const medians = [...this.#times].map(([what, times]) => [what, Number(medianOf(times).toFixed(3))] as const);
    return Object.fromEntries(medians);
  }
}

function medianOf(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
