import { type AccountKey, makeAccountKey } from "../../client/identity/account-key.ts";
import type { Leaf } from "../../durable-objects/conversation/roster.ts";
import { ConversationStore } from "../../durable-objects/conversation/store.ts";
import { type ConversationId, type DeviceId, directMembers, type MessageId, type UserId } from "../../shared/ids.ts";
import { ACKED_GRACE_MS, RETENTION_MS, TRANSCRIPT_BLOCK_PLACES } from "../../shared/limits.ts";
import { hashOf } from "../history/record.ts";
import { Calls } from "./calls.ts";
import { ConversationHost, type DroppedEntry, type DroppedSegment, type TakenCommit } from "./conversation-host.ts";
import type { Gateway } from "./delivery.ts";
import { Device } from "./device.ts";
import type { DeviceConfig } from "./device-book.ts";
import { Faults } from "./faults.ts";
import { Files } from "./files.ts";
import { Groups } from "./groups.ts";
import { History } from "./history.ts";
import { type MlsModule, mlsModules } from "./mls-module.ts";
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
  readonly mls: MlsModule;
  readonly files = new Files();
  readonly problems: string[] = [];
  readonly users = new Map<UserId, UserHost>();
  readonly conversations = new Map<ConversationId, ConversationHost>();
  /** Those that were revoked included. */
  readonly devices = new Map<DeviceId, Device>();
  readonly gateway: Gateway;
  readonly groups = new Groups(this.history);
  readonly #accountKeys = new Map<UserId, AccountKey>();
  readonly #registeredAt = new Map<DeviceId, number>();
  /** Which message each key has sealed. */
  readonly #sealed = new Map<string, string>();
  readonly #placed = new Set<string>();
  /** Up to where the log had gone before a device came back, by device and conversation. */
  readonly #holes = new Map<string, number>();
  /** Everybody is away, and nobody comes by themself. */
  isQuiet = false;
  readonly #calls = new Calls(this);
  readonly #queue = new PushQueue(this);

  constructor(plan: Plan, sabotage: Sabotage) {
    this.plan = plan;
    this.sabotage = sabotage;
    this.random = new Random(plan.seed + 0x1_0000_0000);
    this.faults = new Faults(plan.faults, this.random.fork(), this.history);
    this.mls = mlsModules[plan.mls];
    this.gateway = {
      ...{ calls: this.#calls, files: this.files, mls: this.mls },
      ...{ keyPackagesKept: plan.keyPackagesKept, maxInlineBytes: plan.maxInlineBytes },
      user: (id) => this.user(id),
      conversation: (id) => this.conversation(id),
      submitted: (commit) => this.groups.submitted(commit),
    };
  }

  /** For the clients. */
  get now(): number {
    return this.timeline.now;
  }

  async makeAccounts(): Promise<void> {
    for (const { user } of this.plan.people) this.#accountKeys.set(user, await makeAccountKey());
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
      ...{ calls: this.#calls, files: this.files },
      user: (user: UserId) => this.user(user),
      dropped: (conversation: ConversationId, segment: DroppedSegment) => this.#dropped(conversation, segment),
      placed: (device: DeviceId, id: MessageId) => void this.#placed.add(`${device} ${id}`),
      grouped: (conversation: ConversationId, commit: TakenCommit, leaves: readonly Leaf[]) =>
        this.groups.changed(conversation, commit, leaves),
    };
    const conversation = new ConversationHost(id, surroundings, this);
    this.conversations.set(id, conversation);
    return conversation;
  }

  get hosts(): (UserHost | ConversationHost)[] {
    return [...this.users.values(), ...this.conversations.values()];
  }

  /** Those that people still have. */
  get usable(): Device[] {
    return [...this.devices.values()].filter(({ isRevoked }) => !isRevoked);
  }

  /** As the conversation's disk has them. */
  membersOf(conversation: ConversationId): readonly UserId[] {
    const people = directMembers(conversation);
    if (people.length > 0) return people;
    const { storage, id } = this.conversation(conversation);
    return [...new ConversationStore(storage, id).load().members.keys()];
  }

  devicesOf(user: UserId): Device[] {
    return this.usable.filter((device) => device.config.user === user);
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
        const device = new Device(config, this.#accountKeyOf(config.user), this);
        device.wantsOnline = !this.isQuiet;
        this.devices.set(config.device, device);
        this.#registeredAt.set(config.device, this.timeline.now);
        device.book.registered();
        device.start();
      },
    );
  }

  /** As the gateway does, until it has succeeded; then the one who wanted it sees to it that the groups know. */
  revoke(device: Device, by: Device): void {
    device.revoke();
    const args = { device: device.config.device, requestId: "revoke" };
    this.#insist(
      () => this.user(device.config.user),
      "revokeDevice",
      args,
      () => by.reconcile(),
    );
  }

  /** Somebody whom nobody knows uses up what others need to add this person's devices. */
  drainKeys(user: UserId): void {
    for (const suite of [1, 83]) {
      for (let count = this.plan.keyPackagesKept + 1; count > 0; count--) {
        const args = { requester: "Z".padStart(26, "0"), suite, except: [] };
        this.#calls.call("gateway", this.user(user), "claimKeyPackages", args, () => {});
      }
    }
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

  /** A message leaves a device. No key may seal two: whoever has both would have what they say (RFC 9420 §9). */
  sealed(device: string, message: Uint8Array): void {
    const key = this.mls.keyOf(message);
    if (key === undefined) return;
    const hash = hashOf(message);
    if ((this.#sealed.get(key) ?? hash) !== hash) this.problem(`${device} sealed two messages with one key`);
    this.#sealed.set(key, hash);
  }

  /** It was refused because nobody can tell whether it was placed: that is so only if it was, long ago. */
  expired(device: DeviceId, id: MessageId): void {
    if (!this.#placed.has(`${device} ${id}`))
      this.problem(`${short(device)} had ${id} refused, which never had a place`);
  }

  #accountKeyOf(user: UserId): AccountKey {
    const key = this.#accountKeys.get(user);
    if (!key) throw new Error(`nobody of that name: ${user}`);
    return key;
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
    this.#loseFollowers(conversation, through, entries.findLast(({ isCommit }) => isCommit)?.seq ?? 0);
    if (age >= RETENTION_MS) return;
    if (age < ACKED_GRACE_MS) this.problem(`${short(conversation)} drops ${through} after only ${age} ms`);
    for (const device of this.membersOf(conversation).flatMap((user) => this.devicesOf(user))) {
      const lacks = entries.find((entry) => this.#isLacking(device, conversation, entry));
      if (lacks) this.problem(`${short(conversation)} drops ${lacks.seq}, which ${device.name} lacks`);
    }
  }

  /** What has left the log looks as if it had been withheld, to whom it concerned and as long as somebody may speak of it. */
  hasHole({ config }: Device, conversation: ConversationId, seq: number): boolean {
    const through = this.#holes.get(`${config.device} ${conversation}`) ?? Number.NEGATIVE_INFINITY;
    return seq - through <= 2 * TRANSCRIPT_BLOCK_PLACES;
  }

  /** The commit that brought it into the group has left the log before it had it. */
  hasMissedBeginning({ config }: Device, conversation: ConversationId): boolean {
    const { seq } = this.groups.entered(conversation, config.device) ?? { seq: Number.POSITIVE_INFINITY };
    return seq <= (this.#holes.get(`${config.device} ${conversation}`) ?? 0);
  }

  /** Without this commit a device of the group cannot go on from where it is. */
  #loseFollowers(conversation: ConversationId, through: number, commit: number): void {
    for (const { config, book } of this.usable) {
      if (book.cursor(conversation) < through) this.#holes.set(`${config.device} ${conversation}`, through);
      const entered = this.groups.entered(conversation, config.device);
      if (entered === undefined || entered.seq > commit || book.cursor(conversation) >= commit) continue;
      book.loses(conversation, commit);
    }
  }

  /** What a device wrote itself it has, but for commits; what is older than the device was not meant for it. */
  #isLacking({ config, book }: Device, conversation: ConversationId, entry: DroppedEntry): boolean {
    const isItsOwn = entry.device === config.device && !entry.isCommit;
    const isOlder = entry.at - CLOCKS_DIFFER_MS <= (this.#registeredAt.get(config.device) ?? 0);
    const isTheirs = this.groups.wasMember(conversation, config.user, entry.seq);
    return isTheirs && !isItsOwn && !isOlder && book.cursor(conversation) < entry.seq;
  }
}
