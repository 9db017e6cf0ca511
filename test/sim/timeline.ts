import { settled } from "./surroundings.ts";

type Act = () => void | Promise<void>;

interface Due {
  readonly at: number;
  readonly order: number;
  readonly label: string;
  readonly act: Act;
}

/** A run that takes more steps than this is going round in circles. */
const MAX_STEPS = 200_000;

/** The virtual clock, and everything that is going to happen. Its log is what two runs of a seed must agree in. */
export class Timeline {
  /** Ms since 1970. */
  now: number;
  readonly log: string[] = [];
  #steps = 0;
  #order = 0;
  #isStirred = false;
  readonly #heap: Due[] = [];

  constructor(start: number) {
    this.now = start;
  }

  get steps(): number {
    return this.#steps;
  }

  /** A later call for the same moment happens later. */
  after(ms: number, label: string, act: Act): void {
    this.#push({ at: this.now + ms, order: this.#order++, label, act });
  }

  /** Something has begun, or goes on, that is not done when the act is: nothing else happens until it waits for the world. */
  stir(): void {
    this.#isStirred = true;
  }

  note(text: string): void {
    this.log.push(`${this.now} ${text}`);
  }

  /** Lets everything happen that is due by then. */
  async runFor(ms: number): Promise<void> {
    const end = this.now + ms;
    while (this.#heap[0] && this.#heap[0].at <= end) await this.#next();
    this.now = end;
  }

  /** Lets things happen until it holds, or for so long. @returns whether it holds */
  async runUntil(holds: () => boolean, withinMs: number): Promise<boolean> {
    const end = this.now + withinMs;
    while (!holds()) {
      if (!this.#heap[0] || this.#heap[0].at > end) {
        this.now = end;
        return holds();
      }
      await this.#next();
    }
    return true;
  }

  /** Lets everything happen that is still to come. */
  async runDry(): Promise<void> {
    while (this.#heap.length > 0) await this.#next();
  }

  async #next(): Promise<void> {
    const due = this.#pop();
    if (++this.#steps > MAX_STEPS) throw new Error(`${MAX_STEPS} steps and no end: ${due.label}`);
    this.now = Math.max(this.now, due.at);
    this.note(due.label);
    await due.act();
    if (this.#isStirred) await this.settle();
  }

  /** For whoever has begun something outside of any act. */
  async settle(): Promise<void> {
    this.#isStirred = false;
    await settled();
  }

  #push(due: Due): void {
    const heap = this.#heap;
    let index = heap.push(due) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (isBefore(heap[parent]!, due)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = due;
  }

  #pop(): Due {
    const heap = this.#heap;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return first;
    let index = 0;
    for (let child = 1; child < heap.length; child = 2 * index + 1) {
      const right = heap[child + 1];
      if (right && isBefore(right, heap[child]!)) child++;
      if (isBefore(last, heap[child]!)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
    return first;
  }
}

function isBefore(a: Due, b: Due): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
