import { type ConversationId, type DeviceId, directMembers, type UserId } from "../../shared/ids.ts";
import type { Facts } from "./facts.ts";
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
  /** Of groups, as of that moment: who is in it, with which devices. */
  readonly #members = new Map<ConversationId, Map<UserId, Set<DeviceId>>>();
  /** Where somebody's time in a group began, by person and conversation. */
  readonly #since = new Map<string, number>();

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
      case "enter":
      case "leave":
        this.#follow(record);
        return undefined;
      // What a device cannot read it has all the same.
      case "apply":
      case "pass":
      case "unreadable":
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
    const members = this.#membersOf(conversation!);
    // What was on its way when somebody was removed still comes.
    const isKnown = peer === undefined || this.#facts.memberships.wasEverMember(conversation!, peer);
    if (!isKnown) return "of somebody who is no member";
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

  /**
   * Applied, or written by the member, or gone, or not theirs to have; a place that nobody ever heard of is the business of
   * another rule.
   */
  #isSettled(member: UserId, conversation: ConversationId, seq: number): boolean {
    const place = this.#places.get(conversation)?.get(seq);
    if (!place || place.author === member || seq <= (this.#gone.get(conversation) ?? 0)) return true;
    const isBefore = seq < (this.#since.get(`${member} ${conversation}`) ?? 0);
    if (isBefore || !this.#facts.memberships.isMember(conversation, member, seq)) return true;
    return this.#of(member, conversation).applied.has(seq);
  }

  #membersOf(conversation: ConversationId): ReadonlySet<UserId> {
    const people = directMembers(conversation);
    return new Set(people.length > 0 ? people : this.#members.get(conversation)?.keys());
  }

  /** What lies before a person's time in a group counts as had and read, also what was theirs an earlier time. */
  #follow({ op, conversation, user, device, seq }: HistoryRecord): void {
    const members = this.#members.get(conversation!) ?? new Map<UserId, Set<DeviceId>>();
    this.#members.set(conversation!, members);
    const devices = members.get(user!) ?? new Set();
    members.set(user!, devices);
    if (devices.size === 0) {
      const progress = this.#of(user!, conversation!);
      progress.read = Math.max(progress.read, seq! - 1);
      this.#since.set(`${user} ${conversation}`, seq!);
    }
    if (op === "enter") devices.add(device!);
    else devices.delete(device!);
    if (devices.size === 0) members.delete(user!);
  }

  #of(user: UserId, conversation: ConversationId): Progress {
    const key = `${user} ${conversation}`;
    const known = this.#progress.get(key) ?? { applied: new Set(), complete: 0, read: 0 };
    this.#progress.set(key, known);
    return known;
  }
}
