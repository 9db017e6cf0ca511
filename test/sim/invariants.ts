import { isCommit, type Member, type State } from "../../durable-objects/conversation/state.ts";
import { ConversationStore } from "../../durable-objects/conversation/store.ts";
import { UserStore } from "../../durable-objects/user/store.ts";
import type { ConversationId, UserId } from "../../shared/ids.ts";
import type { Entry } from "../../shared/rpc.ts";
import type { ConversationHost } from "./conversation-host.ts";
import type { Device } from "./device.ts";
import { short } from "./platform.ts";
import type { World } from "./world.ts";

const MANY = Number.MAX_SAFE_INTEGER;

/** What must hold on the objects' disks at any moment, for at any moment they may have nothing else. */
export class Invariants {
  readonly #world: World;
  readonly #before = new Map<string, Readonly<Member>>();

  constructor(world: World) {
    this.#world = world;
  }

  check(): void {
    for (const conversation of this.#world.conversations.values()) {
      const { members } = new ConversationStore(conversation.storage, conversation.id).load();
      for (const [user, member] of members) {
        this.#onlyRises(conversation, user, member);
        if (member.dormant) this.#marksAll(conversation, user);
        this.#promisesStand(conversation, user);
      }
    }
  }

  /** As stored. */
  stateOf(id: ConversationId): State {
    return new ConversationStore(this.#world.conversation(id).storage, id).load();
  }

  /** Last place taken, as stored. */
  headOf(id: ConversationId): number {
    return this.stateOf(id).head;
  }

  /** How many messages the log holds there. */
  entriesAbove(id: ConversationId, cursor: number): number {
    const conversation = this.#world.conversation(id);
    return new ConversationStore(conversation.storage, id).entries(cursor, MANY).length;
  }

  #onlyRises(conversation: ConversationHost, user: UserId, member: Member): void {
    const key = `${conversation.id} ${user}`;
    const before = this.#before.get(key);
    this.#before.set(key, { ...member });
    if (!before) return;
    for (const part of ["delivered", "read", "kept"] as const) {
      if (member[part] >= before[part]) continue;
      this.#world.problem(`${conversation.name}: ${part} of ${short(user)} ${before[part]} → ${member[part]}`);
    }
  }

  /** dormant(conversation, user) ⇒ dirty(device) or suspect, for every device of the user (design §5). */
  #marksAll(conversation: ConversationHost, user: UserId): void {
    for (const device of new UserStore(this.#world.user(user).storage).devices()) {
      if (device.isSuspect || device.dirty.has(conversation.id)) continue;
      this.#world.problem(`${conversation.name}: ${short(user)} is dormant but ${short(device.id)} is not marked`);
    }
  }

  /**
   * A ✓ is a promise: what a device that is away lacks of it is marked there, or an alarm will see to it. Nothing else is
   * left once nothing is under way.
   */
  #promisesStand(conversation: ConversationHost, user: UserId): void {
    const host = this.#world.user(user);
    if (conversation.storage.alarmAt() !== null || !conversation.isIdle || !host.isIdle) return;
    for (const stored of new UserStore(host.storage).devices()) {
      const device = this.#world.devices.get(stored.id);
      if (!device || stored.isOpen || stored.isSuspect) continue;
      const since = stored.dirty.get(conversation.id)?.since ?? Number.POSITIVE_INFINITY;
      const lacks = this.#lacks(conversation, device, since);
      if (lacks) this.#world.problem(`${conversation.name}: nobody will tell ${device.name} of ${lacks.seq}`);
    }
  }

  /** The first message up to there that is ✓ and that the device neither has nor wrote itself. */
  #lacks(conversation: ConversationHost, { config, book }: Device, upTo: number): Entry | undefined {
    const above = new ConversationStore(conversation.storage, conversation.id).entries(
      book.cursor(conversation.id),
      MANY,
    );
    const isOwn = (entry: Entry) => entry.device === config.device && !isCommit(entry);
    return above.find((entry) => entry.seq <= upTo && !isOwn(entry) && this.#world.history.isPromised(entry));
  }
}
