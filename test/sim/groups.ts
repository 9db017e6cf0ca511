import type { Leaf } from "../../durable-objects/conversation/roster.ts";
import { type ConversationId, type DeviceId, directMembers, type UserId } from "../../shared/ids.ts";
import type { LeafOwner, SubmitCommit } from "../../shared/rpc.ts";
import type { TakenCommit } from "./conversation-host.ts";
import type { History } from "./history.ts";

interface Entered extends LeafOwner {
  readonly seq: number;
  /** Ms since 1970. */
  readonly at: number;
}

/** Which devices are in which group: written into the history as the server takes one commit after the other. */
export class Groups {
  readonly #history: History;
  /** Commits by which a device joins without help, also where it was in the group before. */
  readonly #external = new Set<string>();
  readonly #entered = new Map<ConversationId, Map<DeviceId, Entered>>();
  /** When people were in groups, both ends included. */
  readonly #spans = new Map<string, { from: number; to: number }[]>();

  constructor(history: History) {
    this.#history = history;
  }

  submitted({ device, id, leaf }: SubmitCommit): void {
    if (leaf === null) this.#external.add(`${device} ${id}`);
  }

  /** What a commit has made of the group. */
  changed(conversation: ConversationId, commit: TakenCommit, leaves: readonly Leaf[]): void {
    const entered = this.#entered.get(conversation) ?? new Map<DeviceId, Entered>();
    this.#entered.set(conversation, entered);
    const owners = leaves.filter((leaf) => leaf !== null && leaf !== "nobody");
    const now = new Map(owners.map((owner) => [owner.device, owner]));
    const isAnew = (device: DeviceId) => device === commit.device && this.#external.has(`${device} ${commit.id}`);
    for (const [device, owner] of [...entered]) {
      if (now.has(device) && !isAnew(device)) continue;
      this.#history.add({ type: "ok", op: "leave", ...idsOf(owner), conversation, seq: commit.seq });
      entered.delete(device);
    }
    for (const [device, owner] of now) {
      if (entered.has(device)) continue;
      this.#history.add({ type: "ok", op: "enter", ...idsOf(owner), conversation, seq: commit.seq });
      entered.set(device, { ...owner, seq: commit.seq, at: this.#history.now });
    }
    this.#followPeople(conversation, new Set(owners.map(({ user }) => user)), commit.seq);
  }

  /** Where the device's last time in the group began. */
  entered(conversation: ConversationId, device: DeviceId): Entered | undefined {
    return this.#entered.get(conversation)?.get(device);
  }

  /** How many devices are in it. */
  sizeOf(conversation: ConversationId): number {
    return this.#entered.get(conversation)?.size ?? 0;
  }

  wasMember(conversation: ConversationId, user: UserId, seq: number): boolean {
    if (directMembers(conversation).includes(user)) return true;
    return (this.#spans.get(`${conversation} ${user}`) ?? []).some(({ from, to }) => from <= seq && seq <= to);
  }

  #followPeople(conversation: ConversationId, people: ReadonlySet<UserId>, seq: number): void {
    for (const user of people) {
      const spans = this.#spans.get(`${conversation} ${user}`) ?? [];
      this.#spans.set(`${conversation} ${user}`, spans);
      if (spans.at(-1)?.to !== Number.POSITIVE_INFINITY) spans.push({ from: seq, to: Number.POSITIVE_INFINITY });
    }
    for (const [key, spans] of this.#spans) {
      const [where, user = ""] = key.split(" ");
      const last = spans.at(-1);
      if (where === conversation && !people.has(user) && last) last.to = Math.min(last.to, seq);
    }
  }
}

function idsOf({ user, device }: LeafOwner): LeafOwner {
  return { user, device };
}
