import { type ConversationId, type DeviceId, directMembers, type UserId } from "../../shared/ids.ts";
import type { HistoryRecord } from "./record.ts";

/** From the commit that brought a device into the group to the one that took it out. */
interface Span {
  readonly from: number;
  to: number;
}

/** Something came in between that a device needs to follow the group. */
interface Loss {
  readonly cursor: number;
  /** What begins up to here is lost with it. */
  readonly seq: number;
}

/** Which devices were in which group between which places: only they can read what stands there. */
export class Memberships {
  readonly #spans = new Map<ConversationId, Map<DeviceId, Span[]>>();
  readonly #owners = new Map<DeviceId, UserId>();
  readonly #losses = new Map<string, Loss[]>();

  learn({ op, user, device, conversation, cursor, seq }: HistoryRecord): void {
    if (op === "enter") this.#enter(conversation!, user!, device!, seq!);
    else if (op === "leave") this.#spansOf(conversation!, device!).at(-1)!.to = seq!;
    else if (op === "lose") this.#lose(`${device} ${conversation}`, { cursor: cursor!, seq: seq ?? cursor! });
  }

  /** Whether what stands there is this person's to have. */
  isMember(conversation: ConversationId, user: UserId, seq: number): boolean {
    const people = directMembers(conversation);
    if (people.length > 0) return people.includes(user);
    const devices = [...(this.#spans.get(conversation) ?? [])].filter(([device]) => this.#owners.get(device) === user);
    return devices.some(([, spans]) => spans.some(({ from, to }) => from <= seq && seq <= to));
  }

  wasEverMember(conversation: ConversationId, user: UserId): boolean {
    const people = directMembers(conversation);
    const devices = [...(this.#spans.get(conversation)?.keys() ?? [])];
    return people.length > 0 ? people.includes(user) : devices.some((device) => this.#owners.get(device) === user);
  }

  /** Whether this device of theirs can read what stands there. */
  mayRead(conversation: ConversationId, user: UserId, device: DeviceId, seq: number): boolean {
    if (!this.isMember(conversation, user, seq)) return false;
    const devices = this.#spans.get(conversation);
    if (!devices) return true;
    return (devices.get(device) ?? []).some(({ from, to }) => from < seq && seq < to);
  }

  /** Whether this place lies between a loss and the device's next beginning. */
  isLost(conversation: ConversationId, device: DeviceId, place: number): boolean {
    const losses = this.#losses.get(`${device} ${conversation}`) ?? [];
    return losses.some(({ cursor, seq }) => {
      const begins = this.#spansOf(conversation, device).find(({ from }) => from > Math.max(cursor, seq));
      return place > cursor && place < (begins?.from ?? Number.POSITIVE_INFINITY);
    });
  }

  #enter(conversation: ConversationId, user: UserId, device: DeviceId, from: number): void {
    this.#owners.set(device, user);
    this.#spansOf(conversation, device).push({ from, to: Number.POSITIVE_INFINITY });
  }

  #spansOf(conversation: ConversationId, device: DeviceId): Span[] {
    const devices = this.#spans.get(conversation) ?? new Map<DeviceId, Span[]>();
    this.#spans.set(conversation, devices);
    const spans = devices.get(device) ?? [];
    devices.set(device, spans);
    return spans;
  }

  #lose(key: string, loss: Loss): void {
    this.#losses.set(key, [...(this.#losses.get(key) ?? []), loss]);
  }
}
