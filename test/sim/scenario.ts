import { type ConversationId, directMembers } from "../../shared/ids.ts";
import type { Device } from "./device.ts";
import type { FaultName } from "./faults.ts";
import { Mischief } from "./mischief.ts";
import type { Random } from "./random.ts";
import type { World } from "./world.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** How long people may be away together: as long as it takes for something to happen by itself. */
const absences = {
  "device-long-away": [10 * MINUTE_MS, 8 * HOUR_MS],
  "grace-passed": [25 * HOUR_MS, 80 * HOUR_MS],
  "month-passed": [31 * DAY_MS, 40 * DAY_MS],
} as const satisfies Partial<Record<FaultName, readonly [number, number]>>;

/** An app that has crashed is there again after so long. */
const RESTARTED_WITHIN_MS = 5_000;
const EVERYBODY_WITHIN_MS = 5_000;

const FOUNDING = "the group";

/** Facts of the whole run, which strike whenever somebody sends. */
const circumstances: readonly FaultName[] = ["client-clock-wrong", "object-clocks-differ"];

/** What the platform does all the time. */
const everyday: readonly FaultName[] = ["user-hibernated", "conversation-evicted"];

/** What is planned and has not struck by itself is given this many further occasions. */
const MAX_EXTRA_ACTIONS = 150;

/** What people do, and what happens to them meanwhile. */
export class Scenario {
  readonly #world: World;
  readonly #random: Random;
  readonly #mischief: Mischief;
  readonly #check: () => void;
  /** Devices that stay away until told otherwise. */
  readonly #away = new Set<Device>();
  #messages = 0;
  #hasFounded = false;

  /** @param check is called now and then */
  constructor(world: World, check: () => void) {
    this.#world = world;
    this.#random = world.random.fork();
    this.#mischief = new Mischief(world);
    this.#check = check;
  }

  async run(): Promise<void> {
    for (const person of this.#world.plan.people) for (const device of person.devices) this.#world.link(device);
    await this.#world.timeline.runUntil(() => this.#isEverybodyHere, EVERYBODY_WITHIN_MS);
    await this.#bustle();
    for (const name of Object.keys(absences) as (keyof typeof absences)[]) {
      if (this.#world.faults.planned.has(name)) await this.#letTimePass(name);
    }
    await this.#bustle();
    await this.#meetPlan();
  }

  /** A while of people doing things, with the planned faults strewn over it. */
  async #bustle(): Promise<void> {
    const { plan, faults } = this.#world;
    const wanted = [...faults.planned].filter((name) => !circumstances.includes(name));
    const times = wanted.flatMap((name) => {
      const usual = this.#random.between(...plan.strikes);
      return Array.from({ length: everyday.includes(name) ? 3 * usual : usual }, () => name);
    });
    const due = times.map((name) => ({ name, at: this.#random.between(0, plan.actions - 1) }));
    for (let action = 0; action < plan.actions; action++) {
      for (const { name, at } of due) if (at === action) this.#mischief.want(name);
      await this.#actAndPause();
    }
  }

  /** Whom nobody can add to a group cannot be written to. */
  get #isEverybodyHere(): boolean {
    const planned = this.#world.plan.people.flatMap(({ devices }) => devices);
    return planned.every(({ device }) => this.#world.devices.get(device)?.phase === "live");
  }

  /** As soon as the first of its people is there; by another device of theirs, if that one has gone before it was done. */
  #foundGroup(): void {
    const { group, people } = this.#world.plan;
    if (!group || this.#hasFounded) return;
    const devices = this.#world.devicesOf(people[0]?.user ?? "");
    this.#hasFounded = this.#world.membersOf(group.id).length > 0;
    if (this.#hasFounded || devices.some(({ wishes }) => wishes.has(FOUNDING))) return;
    devices[0]?.want(FOUNDING, group.id, { isNew: true, add: group.members });
  }

  async #actAndPause(): Promise<void> {
    this.#foundGroup();
    this.#act();
    this.#mischief.attempt();
    await this.#world.timeline.runFor(this.#pause());
    this.#mischief.attempt();
    if (this.#random.chance(0.3)) this.#check();
  }

  #pause(): number {
    const [least, most] = {
      short: [0, 40] as const,
      beat: [40, 400] as const,
      breath: [400, 8_000] as const,
      rest: [20_000, 100_000] as const,
    }[this.#random.weighted({ short: 40, beat: 40, breath: 17, rest: 3 })];
    return this.#random.between(least, most);
  }

  /** Everything planned strikes while something is under way: all come back, one person goes and is written to, and so on. */
  async #meetPlan(): Promise<void> {
    const { faults, usable, plan } = this.#world;
    faults.insist();
    for (let action = 0; action < MAX_EXTRA_ACTIONS && faults.outstanding.length > 0; action++) {
      if (action % 5 === 0) {
        for (const name of faults.outstanding) this.#mischief.want(name);
        if (faults.outstanding.includes("client-crash-over-commit")) this.#mischief.want("client-loses-place");
        for (const device of usable) this.#return(device);
        for (const device of this.#world.devicesOf(this.#random.pick(plan.people).user)) this.#leave(device);
      }
      await this.#actAndPause();
    }
  }

  // ── what one person does ──────────────────────────────────────────────────────────────────────────────────────────

  #act(): void {
    const device = this.#random.pick(this.#present);
    const conversation = this.#random.pick(this.#conversationsOf(device));
    const action = this.#random.weighted({ send: 46, burst: 8, read: 16, type: 4, connect: 16, disconnect: 10 });
    switch (action) {
      case "send":
        return this.#send(device, conversation);
      case "burst":
        return this.#burst(device, conversation);
      case "read":
        return device.read(conversation);
      case "type":
        return device.type(conversation);
      case "connect":
        return device.connect();
      case "disconnect":
        return device.disconnect();
    }
  }

  #burst(device: Device, conversation: ConversationId): void {
    for (let count = this.#random.between(2, 5); count > 0; count--) this.#send(device, conversation);
  }

  #send(device: Device, conversation: ConversationId): void {
    if (device.phase === "crashed" || device.phase === "opening") return;
    const { faults, plan } = this.#world;
    const text = `${++this.#messages} from ${device.name} `;
    const length = this.#random.chance(0.5) ? this.#random.between(0, plan.maxBodyBytes) : 0;
    device.send(conversation, text.padEnd(length, "."));
    if (device.config.skewMs !== 0 && faults.planned.has("client-clock-wrong")) faults.struck("client-clock-wrong");
    if (faults.planned.has("object-clocks-differ")) faults.struck("object-clocks-differ");
  }

  get #present(): Device[] {
    const present = this.#world.usable.filter((device) => !this.#away.has(device));
    return present.length > 0 ? present : this.#world.usable;
  }

  #conversationsOf(device: Device): readonly ConversationId[] {
    const all = this.#world.plan.people.find((person) => person.user === device.config.user)?.conversations ?? [];
    // In a group only members can say something; a conversation of two begins with what is said.
    return all.filter((conversation) => directMembers(conversation).length > 0 || device.isMember(conversation));
  }

  // ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Some go first and miss something; then all are away, one with a message unsent; then some come back. */
  async #letTimePass(name: keyof typeof absences): Promise<void> {
    const { timeline, faults } = this.#world;
    for (const device of this.#world.usable) if (this.#random.chance(0.4)) this.#leave(device);
    for (let action = 0; action < 4; action++) await this.#actAndPause();
    this.#world.isQuiet = true;
    for (const device of this.#world.usable) this.#leave(device);
    await timeline.runFor(RESTARTED_WITHIN_MS);
    const last = this.#random.pick(this.#world.usable);
    this.#send(last, this.#random.pick(this.#conversationsOf(last)));
    const [least, most] = absences[name];
    await timeline.runFor(this.#random.between(least, most));
    faults.struck(name);
    this.#world.isQuiet = false;
    for (const device of this.#world.usable) if (this.#random.chance(0.7)) this.#return(device);
    if (this.#world.usable.every((device) => this.#away.has(device))) this.#return(last);
  }

  #leave(device: Device): void {
    this.#away.add(device);
    device.disconnect();
  }

  #return(device: Device): void {
    this.#away.delete(device);
    device.connect();
  }
}
