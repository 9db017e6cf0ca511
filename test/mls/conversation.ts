import {
  type DeviceKeys,
  type Group,
  type MadeCommit,
  MlsError,
  type Opened,
  type Suite,
} from "../../client/mls/mls.ts";
import type { Random } from "../sim/random.ts";
import { DeliveryService } from "./delivery-service.ts";
import { lifetime, makeKeys, mls, text, utf8 } from "./device.ts";

const MOST_MEMBERS = 10;

interface Device {
  readonly name: string;
  readonly keys: DeviceKeys;
  group: Group;
}

/** One of somebody who was removed: what they had, with which nothing that follows may be opened. */
interface Ghost {
  readonly name: string;
  readonly ratchets: Uint8Array;
  readonly tree: Uint8Array;
}

/**
 * Devices that come, go, write, commit and lose their memory as chance has it, over a delivery service that takes one
 * commit an epoch. Every step ends with everybody of one mind, or throws.
 */
export class Conversation {
  readonly #chance: Random;
  readonly #suite: Suite;
  readonly #service: DeliveryService;
  #devices: Device[];
  #outside: DeviceKeys[] = [];
  #ghost: Ghost | undefined;
  #names = 0;

  private constructor(chance: Random, suite: Suite, founder: Device, first: MadeCommit) {
    this.#chance = chance;
    this.#suite = suite;
    this.#devices = [{ ...founder, group: first.group }];
    this.#service = new DeliveryService(first);
  }

  static async found(chance: Random, suite: Suite, label: string): Promise<Conversation> {
    const keys = await makeKeys(`${label} founder`);
    const group = await mls.create(utf8(label), suite, keys, Date.now());
    return new Conversation(chance, suite, { name: "founder", keys, group }, await mls.commit(group, {}));
  }

  /** @returns what was done */
  async step(): Promise<string> {
    const [size, isRoomy] = [this.#devices.length, this.#devices.length < MOST_MEMBERS];
    const what = this.#chance.weighted({
      say: 30,
      update: 12,
      add: isRoomy ? 14 : 0,
      remove: size > 1 ? 10 : 0,
      exchange: size > 1 && isRoomy ? 6 : 0,
      joinFromOutside: isRoomy ? 6 : 0,
      resync: size > 1 ? 6 : 0,
      race: size > 1 ? 8 : 0,
      store: 8,
      sealInVain: 4,
    });
    await this.#steps[what]();
    this.#assertAgreed();
    return what;
  }

  readonly #steps = {
    say: () => this.#say(),
    update: () => this.#commit(this.#any(), 0, 0),
    add: () => this.#commit(this.#any(), this.#chance.between(1, 3), 0),
    remove: () => this.#commit(this.#any(), 0, this.#chance.between(1, 2)),
    exchange: () => this.#commit(this.#any(), this.#chance.between(1, 2), this.#chance.between(1, 2)),
    joinFromOutside: () => this.#joinFromOutside(),
    resync: () => this.#resync(),
    race: () => this.#race(),
    store: async () => this.#store(),
    sealInVain: () => this.#sealInVain(),
  };

  async #say(): Promise<void> {
    const sender = this.#any();
    const said = `${this.#chance.next()}`;
    const { message, group } = await mls.seal(sender.group, said, utf8(said));
    const { ownLeaf } = sender.group;
    sender.group = group;
    for (const device of this.#others(sender)) {
      const opened = await mls.open(device.group, message);
      if (opened.kind !== "message") throw new Error(`${device.name} opened a ${opened.kind}`);
      const isAsSent = text(opened.plaintext) === said && opened.id === said && opened.sender.leaf === ownLeaf;
      if (!isAsSent) throw new Error(`${device.name} read something else than ${sender.name} wrote`);
      device.group = opened.group;
    }
    await this.#assertShutOut(message);
  }

  /** A message that is never placed: the next one leaves a gap. */
  async #sealInVain(): Promise<void> {
    const sender = this.#any();
    const { group } = await mls.seal(sender.group, "lost", utf8("lost"));
    sender.group = group;
  }

  async #commit(committer: Device, adds: number, removes: number): Promise<void> {
    const newcomers = await Promise.all(Array.from({ length: adds }, () => this.#newcomer()));
    const packages = await Promise.all(newcomers.map((keys) => mls.makeKeyPackage(keys, this.#suite, lifetime)));
    const removed = this.#someOf(this.#others(committer), removes);
    const add = packages.map(({ keyPackage }) => keyPackage);
    const made = await mls.commit(committer.group, { add, remove: removed.map(({ group }) => group.ownLeaf) });
    if (!this.#service.submit(made, committer.group)) throw new Error("the delivery service did not take it");
    await this.#advance(made, committer, removed);
    for (const [at, keys] of newcomers.entries()) {
      const { group } = await mls.join(made.welcome ?? made.commit, made.tree, [packages[at]!]);
      this.#devices.push({ name: text(keys.credential), keys, group });
    }
  }

  /** Two commits in one epoch: the second is thrown away, and its maker follows the first. */
  async #race(): Promise<void> {
    const [winner, loser] = this.#someOf(this.#devices, 2) as [Device, Device];
    const [first, second] = [await mls.commit(winner.group, {}), await mls.commit(loser.group, {})];
    if (!this.#service.submit(first, winner.group)) throw new Error("the first commit was not taken");
    if (this.#service.submit(second, loser.group)) throw new Error("two commits were taken in one epoch");
    mls.forget(second.group);
    await this.#advance(first, winner, []);
    await this.#assertRefused(winner.group, second.commit, "the commit of the loser");
  }

  async #joinFromOutside(): Promise<void> {
    const keys = this.#outside.length > 0 && this.#chance.chance(0.5) ? this.#outside.pop()! : await this.#newcomer();
    const made = await mls.joinExternally(this.#service.groupInfo, this.#service.tree, keys, Date.now());
    if (!this.#service.submit(made)) throw new Error("the delivery service did not take it");
    await this.#advance(made, undefined, []);
    this.#devices.push({ name: text(keys.credential), keys, group: made.group });
  }

  /** A device that has lost its memory takes its place anew; whoever has a copy of what it was is out. */
  async #resync(): Promise<void> {
    const device = this.#any();
    const made = await mls.joinExternally(this.#service.groupInfo, this.#service.tree, device.keys, Date.now());
    if (!this.#service.submit(made)) throw new Error("the delivery service did not take it");
    await this.#advance(made, undefined, [device]);
    this.#devices.push({ ...device, group: made.group });
    this.#outside = this.#outside.filter((keys) => keys !== device.keys);
  }

  #store(): void {
    for (const device of this.#someOf(this.#devices, this.#chance.between(1, this.#devices.length))) {
      device.group = mls.decode(structuredClone(mls.encode(device.group)));
    }
  }

  async #advance(made: MadeCommit, committer: Device | undefined, removed: readonly Device[]): Promise<void> {
    await this.#assertShutOut(made.commit);
    for (const device of this.#devices) {
      if (device === committer) {
        mls.forget(device.group);
        device.group = made.group;
      } else if (removed.includes(device)) {
        await this.#shutOut(device, made.commit);
      } else {
        device.group = groupOf(await mls.open(device.group, made.commit));
      }
    }
    this.#devices = this.#devices.filter((device) => !removed.includes(device));
  }

  async #shutOut(device: Device, commit: Uint8Array): Promise<void> {
    const { ratchets, tree } = structuredClone(mls.encode(device.group));
    this.#ghost = { name: device.name, ratchets, tree };
    this.#outside.push(device.keys);
    const opened = await mls.open(device.group, commit);
    if (opened.kind !== "removed") throw new Error(`${device.name} was removed, and sees a ${opened.kind}`);
  }

  async #assertShutOut(message: Uint8Array): Promise<void> {
    if (this.#ghost) await this.#assertRefused(mls.decode(this.#ghost), message, `${this.#ghost.name}, who is removed`);
  }

  async #assertRefused(group: Group, message: Uint8Array, what: string): Promise<void> {
    const outcome = await mls.open(group, message).catch((error: unknown) => error);
    if (!(outcome instanceof MlsError)) throw new Error(`opened: ${what}`);
  }

  #assertAgreed(): void {
    const views = this.#devices.map(({ group }) =>
      JSON.stringify([group.epoch, group.members.map(({ leaf, credential }) => [leaf, text(credential)])]),
    );
    if (new Set(views).size > 1) throw new Error(`the members disagree:\n${views.join("\n")}`);
    const [first] = this.#devices;
    if (first?.group.epoch !== this.#service.epoch) throw new Error("the members are not where the log is");
    const names = first.group.members.map(({ credential }) => text(credential)).sort();
    const expected = this.#devices.map(({ keys }) => text(keys.credential)).sort();
    if (names.join() !== expected.join()) throw new Error(`members ${names}, devices ${expected}`);
  }

  #newcomer(): Promise<DeviceKeys> {
    return makeKeys(`device ${this.#names++}`);
  }

  #any(): Device {
    return this.#chance.pick(this.#devices);
  }

  #others(device: Device): Device[] {
    return this.#devices.filter((other) => other !== device);
  }

  #someOf(devices: readonly Device[], count: number): Device[] {
    const left = [...devices];
    const taken: Device[] = [];
    while (taken.length < count && left.length > 0)
      taken.push(...left.splice(this.#chance.between(0, left.length - 1), 1));
    return taken;
  }
}

function groupOf(opened: Opened): Group {
  if (opened.kind !== "commit") throw new Error(`a commit was opened as ${opened.kind}`);
  return opened.group;
}
