import { GroupStore } from "../../durable-objects/conversation/group-store.ts";
import { decodeCertificate } from "../../shared/certificate.ts";
import { type ConversationId, directConversation, directPeer } from "../../shared/ids.ts";
import { IDLE_WARNING_MS, MAX_RECONCILIATION_DELAY_MS } from "../../shared/limits.ts";
import type { Device } from "./device.ts";
import type { Invariants } from "./invariants.ts";
import { short } from "./platform.ts";
import type { World } from "./world.ts";

const RECONNECT_WITHIN_MS = 60_000;
const SENT_WITHIN_MS = 180_000;
const DRAIN_WITHIN_MS = 30_000;
const LIVE_WITHIN_MS = 5_000;
const REMOVED_WITHIN_MS = 60_000;
/** Log tables are looked at a day, a week and a month after the last message; nothing else is left to do. */
const MAX_STEPS_AFTER_THE_END = 500;

/** How every run ends: everything heals, and then everything must come right without anybody doing anything. */
export class Ending {
  readonly #world: World;
  readonly #invariants: Invariants;
  readonly #tails = new Map<ConversationId, Device>();

  constructor(world: World, invariants: Invariants) {
    this.#world = world;
    this.#invariants = invariants;
  }

  async run(): Promise<void> {
    await this.#heal();
    // What the send rate holds back is let through first; nothing else may take longer.
    const { timeline } = this.#world;
    await timeline.runUntil(() => this.#devices.every(({ hasSentAll }) => hasSentAll), SENT_WITHIN_MS);
    await timeline.runFor(DRAIN_WITHIN_MS);
    this.#expectDrained("after healing");
    await this.#tail();
    await this.#expectAgreement();
    await this.#readEverything();
    for (const device of this.#devices) await device.finalRead();
    this.#invariants.check();
  }

  /** Nobody is there any more; what is still to happen comes to an end, and after a year so does everybody's account. */
  async fallSilent(): Promise<void> {
    const { timeline, hosts } = this.#world;
    for (const device of this.#devices) device.disconnect();
    const steps = timeline.steps;
    await timeline.runFor(IDLE_WARNING_MS / 2);
    const after = timeline.steps - steps;
    if (after > MAX_STEPS_AFTER_THE_END) this.#world.problem(`${after} steps after everybody had gone`);
    this.#invariants.check();
    await this.#removeOne();
    for (const device of this.#devices) device.stop();
    await timeline.runDry();
    for (const host of hosts) if (!host.storage.isEmpty) this.#world.problem(`R14 ${host.name} still holds something`);
    if (!this.#world.files.isEmpty) this.#world.problem("R14 a file is left over");
  }

  /** While the others write to them: nothing of them may stay, or come back, with anybody. */
  async #removeOne(): Promise<void> {
    const { plan, random, timeline, hosts } = this.#world;
    const { user: leaver } = random.pick([...plan.people]);
    const others = this.#devices.filter(({ config }) => config.user !== leaver);
    for (const device of others) device.connect();
    await timeline.runFor(random.between(0, 2_000));
    for (const device of others) device.send(directConversation(device.config.user, leaver), "wait!");
    await timeline.runFor(random.between(0, 60));
    this.#world.remove(leaver);
    await timeline.runFor(random.between(0, 60));
    for (const device of others) device.send(directConversation(device.config.user, leaver), "gone?");
    await timeline.runFor(REMOVED_WITHIN_MS);
    for (const host of hosts) {
      if (host.storage.mentions(leaver)) this.#world.problem(`R14 ${host.name} still names ${short(leaver)}`);
    }
  }

  get #devices(): Device[] {
    return this.#world.usable;
  }

  async #heal(): Promise<void> {
    const { faults, hosts, users, timeline } = this.#world;
    faults.heal();
    for (const host of hosts) host.heal();
    for (const user of users.values()) for (const link of user.links) link.reveal();
    for (const device of this.#devices) device.link?.reveal();
    await timeline.runFor(10);
    for (const device of this.#devices) {
      device.start();
      device.connect();
    }
    const isBack = await timeline.runUntil(
      () => this.#devices.every(({ phase }) => phase === "live"),
      RECONNECT_WITHIN_MS,
    );
    if (!isBack) this.#world.problem("not everybody is connected after healing");
  }

  #expectDrained(when: string): void {
    for (const device of this.#devices) {
      if (!device.isCaughtUp) this.#world.problem(`${device.name} is not drained ${when}`);
      for (const wish of device.wishes.keys()) this.#world.problem(`${device.name} still waits for ${wish} ${when}`);
      for (const conversation of this.#conversationsOf(device)) {
        const lacks = this.#invariants.entriesAbove(conversation, device.book.cursor(conversation));
        if (lacks > 0) this.#world.problem(`${device.name} lacks ${lacks} of ${short(conversation)} ${when}`);
      }
    }
  }

  /** Every device of every member is in the group, no other is, and all are in the same epoch with the same members. */
  async #expectAgreement(): Promise<void> {
    for (const { id, storage } of this.#world.conversations.values()) {
      const { epoch } = this.#invariants.stateOf(id);
      const group = epoch === null ? undefined : new GroupStore(storage).group();
      if (!group) continue;
      const expected = group.leaves.map((leaf) => (leaf === null || leaf === "nobody" ? "" : leaf.device));
      while (expected.at(-1) === "") expected.pop();
      const owed = this.#world.membersOf(id).flatMap((user) => this.#world.devicesOf(user));
      const present = owed.map(({ config }) => config.device).filter((device) => expected.includes(device));
      const isStranger = (device: string) => !present.includes(device) && !this.#cameTooLate(id, device);
      const strangers = expected.filter((device) => device !== "" && isStranger(device));
      for (const device of strangers) this.#world.problem(`${short(id)}: ${short(device)} is still in the group`);
      for (const device of owed) await this.#expectMember(device, id, { epoch, devices: expected });
    }
  }

  /** Added by somebody who had asked for its keys before it was revoked, and by when nobody looked for it any more. */
  #cameTooLate(conversation: ConversationId, device: string): boolean {
    const { revokedAt = Number.POSITIVE_INFINITY } = this.#world.devices.get(device) ?? {};
    const { at } = this.#world.groups.entered(conversation, device) ?? { at: 0 };
    return at > revokedAt - MAX_RECONCILIATION_DELAY_MS;
  }

  async #expectMember(
    device: Device,
    id: ConversationId,
    { epoch, devices }: { epoch: number | null; devices: readonly string[] },
  ): Promise<void> {
    const keys = await device.keys(id);
    const members: string[] = [];
    for (const { leaf, credential } of keys?.group?.members ?? []) members[leaf] = decodeCertificate(credential).device;
    const has = Array.from(members, (member) => member ?? "");
    // MLS as it is here cannot let the only member of a group join anew.
    if (this.#world.plan.mls === "real" && devices.length === 1 && keys?.status === "broken") return;
    if (keys?.status === "member" && keys.group?.epoch === epoch && has.join() === devices.join()) return;
    // Removed, and taken in again by a commit that it never saw: that the server says so is not enough.
    if (keys?.status === "removed" && this.#world.hasMissedBeginning(device, id)) return;
    const stands = `${keys?.status}, in epoch ${keys?.group?.epoch} with ${has.map(short)}`;
    this.#world.problem(`${device.name} is ${stands} in ${short(id)}, which is in ${epoch} with ${devices.map(short)}`);
  }

  /** One more message in each conversation reaches everybody by live delivery: nobody has to ask for it. */
  async #tail(): Promise<void> {
    const { random, timeline, plan } = this.#world;
    const before = [];
    for (const device of this.#devices) {
      const skips = this.#skipsExpired(device) || (await this.#isBehind(device));
      before.push({ device, requests: device.requests, skips });
    }
    for (const person of plan.people) {
      for (const conversation of person.conversations.filter((id) => !this.#tails.has(id))) {
        if (!this.#world.membersOf(conversation).includes(person.user)) continue;
        const device = random.pick(this.#world.devicesOf(person.user));
        this.#tails.set(conversation, device);
        device.send(conversation, `tail of ${conversation}`);
      }
    }
    await timeline.runFor(LIVE_WITHIN_MS);
    // They have to begin anew first.
    if (before.some(({ skips }) => skips)) await timeline.runFor(DRAIN_WITHIN_MS);
    this.#expectDrained("after the tail");
    for (const { device, requests, skips } of before) {
      if (device.requests !== requests && !skips) this.#world.problem(`${device.name} had to ask for the tail`);
    }
  }

  /** What has left the log before a device had it looks like a gap when the next message comes. */
  #skipsExpired(device: Device): boolean {
    return this.#conversationsOf(device).some((id) => device.book.cursor(id) < this.#invariants.headOf(id));
  }

  /** What led to the epoch that holds has left the log: it learns that from the server alone. */
  async #isBehind(device: Device): Promise<boolean> {
    for (const id of this.#conversationsOf(device)) {
      const { epoch } = this.#invariants.stateOf(id);
      const keys = await device.keys(id);
      if (epoch !== null && keys?.group?.epoch !== epoch) return true;
    }
    return false;
  }

  async #readEverything(): Promise<void> {
    for (const device of this.#devices) for (const id of this.#conversationsOf(device)) device.read(id);
    await this.#world.timeline.runFor(LIVE_WITHIN_MS);
    for (const [conversation, device] of this.#tails) {
      const others = this.#world.membersOf(conversation).filter((user) => user !== device.config.user);
      if (others.length === 0) continue;
      const peer = directPeer(conversation, device.config.user);
      const head = this.#invariants.headOf(conversation);
      const seen = device.seenBy(conversation, peer);
      if (seen !== head) this.#world.problem(`${device.name} sees ${seen} of ${head} read in ${short(conversation)}`);
    }
  }

  #conversationsOf(device: Device): readonly ConversationId[] {
    const { user } = device.config;
    const all = this.#world.plan.people.find((person) => person.user === user)?.conversations ?? [];
    return all.filter((conversation) => this.#world.membersOf(conversation).includes(user));
  }
}
