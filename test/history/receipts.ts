import type { ConversationId, UserId } from "../../shared/ids.ts";
import { type Facts, membersOf } from "./facts.ts";
import type { Places } from "./places.ts";
import type { HistoryRecord } from "./record.ts";
import type { Finding } from "./verdict.ts";

/** How far one person has got in one conversation, as of some moment of the history. */
interface Progress {
  readonly applied: Set<number>;
  /** Everything up to here that others wrote is applied by one of the devices. */
  complete: number;
  read: number;
}

/**
 * Receipts only rise, a message is delivered before it is read, and none comes before some device of the reader has the
 * message, or before the person has read it.
 */
export class ReceiptRules {
  readonly #facts: Facts;
  readonly #places: Places;
  readonly #progress = new Map<string, Progress>();
  /** Of each device, about each peer. */
  readonly #known = new Map<string, number>();
  readonly #gone = new Map<ConversationId, number>();

  constructor(facts: Facts, places: Places) {
    this.#facts = facts;
    this.#places = places;
  }

  judge(history: readonly HistoryRecord[]): Finding[] {
    return history.flatMap((record) => {
      const reason = this.#judge(record);
      if (!reason) return [];
      const { device, conversation, op, cursor } = record;
      return [{ fault: "receiptRegressions" as const, text: `${device} ${conversation}: ${op} ${cursor} ${reason}` }];
    });
  }

  #judge(record: HistoryRecord): string | undefined {
    const { op, user, conversation, cursor } = record;
    switch (op) {
      case "apply":
        this.#of(user!, conversation!).applied.add(record.seq!);
        return undefined;
      case "read": {
        const progress = this.#of(user!, conversation!);
        progress.read = Math.max(progress.read, cursor!);
        return undefined;
      }
      case "expire":
        this.#gone.set(conversation!, Math.max(cursor!, this.#gone.get(conversation!) ?? 0));
        return undefined;
      case "delivered":
      case "seen":
        return this.#receipt(op, record);
      default:
        return undefined;
    }
  }

  #receipt(op: "delivered" | "seen", { user, device, conversation, cursor, peer }: HistoryRecord): string | undefined {
    const about = `${device} ${conversation} ${peer ?? "all"}`;
    const before = this.#known.get(`${about} ${op}`) ?? 0;
    this.#known.set(`${about} ${op}`, cursor!);
    if (cursor! < before) return `after ${before}`;
    if (op === "seen" && cursor! > (this.#known.get(`${about} delivered`) ?? 0)) return "but not delivered";
    const members = membersOf(this.#facts, conversation!);
    if (peer !== undefined && !members.has(peer)) return "of somebody who is no member";
    const peers = peer === undefined ? [...members].filter((member) => member !== user) : [peer];
    const early = peers.find((member) => !this.#hasGot(op, member, conversation!, cursor!));
    return early && `before ${early} had got there`;
  }

  #hasGot(op: "delivered" | "seen", member: UserId, conversation: ConversationId, cursor: number): boolean {
    const progress = this.#of(member, conversation);
    if (op === "seen") return cursor <= progress.read;
    while (progress.complete < cursor && this.#isSettled(member, conversation, progress.complete + 1))
      progress.complete++;
    return progress.complete >= cursor;
  }

  /** Applied, or written by the member, or gone; a place that nobody ever heard of is the business of another rule. */
  #isSettled(member: UserId, conversation: ConversationId, seq: number): boolean {
    const place = this.#places.get(conversation)?.get(seq);
    if (!place || place.author === member || seq <= (this.#gone.get(conversation) ?? 0)) return true;
    return this.#of(member, conversation).applied.has(seq);
  }

  #of(user: UserId, conversation: ConversationId): Progress {
    const key = `${user} ${conversation}`;
    const known = this.#progress.get(key) ?? { applied: new Set(), complete: 0, read: 0 };
    this.#progress.set(key, known);
    return known;
  }
}
