import { type ConversationId, type DeviceId, directMembers, type UserId } from "../../shared/ids.ts";
import { ACKED_GRACE_MS, RETENTION_MS } from "../../shared/limits.ts";
import { Calls } from "./calls.ts";
import { ConversationHost, type DroppedSegment } from "./conversation-host.ts";
import { Device } from "./device.ts";
import type { DeviceConfig } from "./device-book.ts";
import { Faults } from "./faults.ts";
import { History } from "./history.ts";
import type { Plan } from "./plan.ts";
import { type Platform, short } from "./platform.ts";
import { PushQueue } from "./push-queue.ts";
import { Random } from "./random.ts";
import type { Sabotage } from "./sabotage.ts";
import { Timeline } from "./timeline.ts";
import { UserHost } from "./user-host.ts";

const START = Date.UTC(2026, 0, 1);
/** Objects' clocks differ a little. */
const CLOCKS_DIFFER_MS = 1_000;

/** People's objects, conversations, devices and what lies between them. */
export class World implements Platform {
  readonly plan: Plan;
  readonly timeline = new Timeline(START);
  readonly history = new History(this.timeline);
  readonly random: Random;
  readonly faults: Faults;
  readonly sabotage: Sabotage;
  readonly problems: string[] = [];
  readonly users = new Map<UserId, UserHost>();
  readonly conversations = new Map<ConversationId, ConversationHost>();
  readonly devices = new Map<DeviceId, Device>();
  readonly #registeredAt = new Map<DeviceId, number>();
  /** Everybody is away, and nobody comes by themself. */
  isQuiet = false;
  readonly #calls = new Calls(this);
  readonly #queue = new PushQueue(this);

  constructor(plan: Plan, sabotage: Sabotage) {
    this.plan = plan;
    this.sabotage = sabotage;
    this.random = new Random(plan.seed + 0x1_0000_0000);
    this.faults = new Faults(plan.faults, this.random.fork(), this.history);
  }

  problem(text: string): void {
    this.problems.push(text);
    this.timeline.note(`  ! ${text}`);
  }

  user(id: UserId): UserHost {
    const known = this.users.get(id);
    if (known) return known;
    const user = new UserHost(
      id,
      {
        calls: this.#calls,
        queue: this.#queue,
        sendsPerMinute: this.plan.sendsPerMinute,
        find: (request) => (request.to === "user" ? this.user(request.id) : this.conversation(request.id)),
      },
      this,
    );
    this.users.set(id, user);
    return user;
  }

  conversation(id: ConversationId): ConversationHost {
    const known = this.conversations.get(id);
    if (known) return known;
    const surroundings = {
      calls: this.#calls,
      user: (user: UserId) => this.user(user),
      dropped: (conversation: ConversationId, segment: DroppedSegment) => this.#dropped(conversation, segment),
    };
    const conversation = new ConversationHost(id, surroundings, this);
    this.conversations.set(id, conversation);
    return conversation;
  }

  get hosts(): (UserHost | ConversationHost)[] {
    return [...this.users.values(), ...this.conversations.values()];
  }

  membersOf(conversation: ConversationId): readonly UserId[] {
    const { group } = this.plan;
    return group?.id === conversation ? group.members : directMembers(conversation);
  }

  devicesOf(user: UserId): Device[] {
    return [...this.devices.values()].filter((device) => device.config.user === user);
  }

  /** As the gateway does, until it has succeeded. */
  createGroup(): void {
    const { group } = this.plan;
    if (!group) return;
    for (const user of group.members) this.history.add({ type: "ok", op: "join", user, conversation: group.id });
    const args = { members: [...group.members], requestId: "create" };
    this.#insist(
      () => this.conversation(group.id),
      "createGroup",
      args,
      () => {},
    );
  }

  /** As the gateway does at sign-in; the app starts when it has succeeded. */
  link(config: DeviceConfig): void {
    const args = { device: config.device, name: short(config.device), requestId: "register" };
    this.#insist(
      () => this.user(config.user),
      "registerDevice",
      args,
      () => {
        this.#befriend(config.user);
        const device = new Device(config, this.user(config.user), this);
        device.wantsOnline = !this.isQuiet;
        this.devices.set(config.device, device);
        this.#registeredAt.set(config.device, this.timeline.now);
        device.book.registered();
        void device.start();
      },
    );
  }

  /** Strangers see no ticks; these people know each other as soon as both are here. */
  #befriend(user: UserId): void {
    const peers = new Set([...this.devices.values()].map(({ config }) => config.user));
    peers.delete(user);
    for (const peer of peers) {
      for (const [one, other] of [[user, peer] as const, [peer, user] as const]) {
        const args = { peer: other, change: "accept", requestId: "befriend" };
        this.#insist(
          () => this.user(one),
          "setPeer",
          args,
          () => {},
        );
      }
    }
  }

  /** As the gateway does, when the person asks for it. */
  remove(user: UserId): void {
    const args = { requestId: "remove" };
    this.#insist(
      () => this.user(user),
      "removePerson",
      args,
      () => {},
    );
  }

  comeBack(user: UserId): void {
    const away = this.devicesOf(user).filter(({ phase }) => phase === "offline");
    if (away.length === 0 || this.isQuiet) return;
    const device = this.random.pick(away);
    this.timeline.after(this.random.between(1, 200), `${device.name} comes back`, () => {
      if (!this.isQuiet) device.connect();
    });
  }

  #insist(to: () => UserHost | ConversationHost, method: string, args: unknown, done: () => void): void {
    this.#calls.call("gateway", to(), method, args, (result) => {
      if (result.ok) done();
      else this.timeline.after(100, `gateway repeats ${method}`, () => this.#insist(to, method, args, done));
    });
  }

  /** A part of the log may go when its month is over, or a day after every device had it. */
  #dropped(conversation: ConversationId, { entries, age }: DroppedSegment): void {
    const through = entries.at(-1)?.seq ?? 0;
    this.history.add({ type: "info", op: "expire", conversation, cursor: through });
    if (age >= RETENTION_MS) return;
    if (age < ACKED_GRACE_MS) this.problem(`${short(conversation)} drops ${through} after only ${age} ms`);
    for (const device of this.membersOf(conversation).flatMap((user) => this.devicesOf(user))) {
      const lacks = entries.find((entry) => this.#isLacking(device, conversation, entry));
      if (lacks) this.problem(`${short(conversation)} drops ${lacks.seq}, which ${device.name} lacks`);
    }
  }

  /** What a device wrote itself it has; what is older than the device was not meant for it. */
  #isLacking(device: Device, conversation: ConversationId, entry: DroppedSegment["entries"][number]): boolean {
    const { device: id } = device.config;
    const isItsOwn = entry.device === id;
    const isOlder = entry.at - CLOCKS_DIFFER_MS <= (this.#registeredAt.get(id) ?? 0);
    return !isItsOwn && !isOlder && device.book.cursor(conversation) < entry.seq;
  }
}
