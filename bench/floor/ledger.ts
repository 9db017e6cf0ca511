interface Flight {
  startMs: number;
  sent: boolean;
  delivered: boolean;
}

/** What becomes of one pair's messages, numbered from 0. A message is finished when it is both sent and delivered. */
export class Ledger {
  duplicated = 0;
  reordered = 0;
  sentMs: number[] = [];
  deliveredMs: number[] = [];
  #nextId = 0;
  #highestDelivered = -1;
  #flights = new Map<number, Flight>();

  get unfinished(): number {
    return this.#flights.size;
  }

  get undelivered(): number {
    return [...this.#flights.values()].filter((flight) => !flight.delivered).length;
  }

  start(nowMs: number): number {
    const id = this.#nextId++;
    this.#flights.set(id, { startMs: nowMs, sent: false, delivered: false });
    return id;
  }

  /** Says whether this finished the message. */
  note(kind: "sent" | "delivered", id: number, nowMs: number): boolean {
    if (!(id >= 0 && id < this.#nextId)) throw new Error(`message ${id} was ${kind} but never started`);
    const flight = this.#flights.get(id);
    if (!flight || flight[kind]) {
      if (kind === "delivered") this.duplicated++;
      return false;
    }
    if (kind === "delivered") {
      if (id < this.#highestDelivered) this.reordered++;
      this.#highestDelivered = Math.max(this.#highestDelivered, id);
    }
    flight[kind] = true;
    this[`${kind}Ms`].push(nowMs - flight.startMs);
    if (!flight.sent || !flight.delivered) return false;
    return this.#flights.delete(id);
  }

  forgetLatencies(): void {
    this.sentMs = [];
    this.deliveredMs = [];
  }
}
