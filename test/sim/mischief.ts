import type { Wish } from "../../client/encryption/membership.ts";
import type { Device } from "./device.ts";
import type { FaultName } from "./faults.ts";
import { short } from "./platform.ts";
import type { World } from "./world.ts";

/** Brings about the faults that do not wait for an opportunity. */
export class Mischief {
  readonly #world: World;
  readonly #pending: FaultName[] = [];
  #hasLateDevice = false;
  #hasRevoked = false;

  constructor(world: World) {
    this.#world = world;
  }

  /** The fault is to strike as soon as it can. */
  want(name: FaultName): void {
    if (name in this.#attempts) this.#pending.push(name);
    else this.#world.faults.arm(name);
  }

  /** Tries what is still wanted; mostly when something is under way, for else it proves little. */
  attempt(): void {
    const { random, history } = this.#world;
    if (!history.strikes.isAnythingUnderWay && random.chance(0.7)) return;
    for (const name of this.#pending.splice(0)) {
      if (this.#attempts[name]?.()) this.#world.faults.struck(name);
      else this.#pending.push(name);
    }
  }

  readonly #attempts: Partial<Record<FaultName, () => boolean>> = {
    "user-hibernated": () => {
      const idle = [...this.#world.users.values()].filter(
        (user) => user.isAwake && user.mayRest && user.links.size > 0,
      );
      // What matters is what was sent and has not arrived.
      const stranded = idle.filter(({ links }) => [...links].some((link) => link.isSevered));
      return this.#one(stranded.length > 0 ? stranded : idle, (user) => user.rest());
    },
    "conversation-evicted": () => {
      const idle = [...this.#world.conversations.values()].filter(
        (conversation) => conversation.isAwake && conversation.mayRest,
      );
      return this.#one(idle, (conversation) => conversation.rest());
    },
    "socket-cut": () =>
      this.#one(this.#connected, ({ link }) => {
        const { random } = this.#world;
        link?.sever({ device: random.between(1, 300), server: random.between(1, 500) });
      }),
    "socket-half-open": () => this.#one(this.#connected, (device) => this.#halfOpen(device)),
    "client-crash": () =>
      this.#one(
        this.#world.usable.filter((device) => device.phase !== "crashed"),
        (device) => device.crash(),
      ),
    /** Where there are others: alone nobody could go on without it. */
    "client-loses-place": () => {
      const running = this.#world.usable.filter(({ phase }) => phase !== "crashed" && phase !== "opening");
      const members = running.flatMap((device) =>
        [...device.statuses].flatMap(([id, status]) =>
          status === "member" && this.#world.groups.sizeOf(id) > 1 ? [{ device, id }] : [],
        ),
      );
      return this.#one(members, ({ device, id }) => {
        this.#world.timeline.stir();
        void device.losePlace(id);
      });
    },
    "device-linked-late": () => {
      if (this.#hasLateDevice || !this.#world.history.strikes.isAnythingUnderWay) return false;
      this.#hasLateDevice = true;
      this.#world.link(this.#world.plan.lateDevice);
      return true;
    },
    /** By another device of the same person, once. */
    "device-revoked": () => {
      if (this.#hasRevoked || !this.#world.history.strikes.isAnythingUnderWay) return false;
      const pairs = this.#world.usable.flatMap((device) =>
        this.#world.devicesOf(device.config.user).flatMap((by) => (by === device ? [] : [{ device, by }])),
      );
      return this.#one(pairs, ({ device, by }) => {
        this.#hasRevoked = true;
        this.#world.revoke(device, by);
      });
    },
    "member-comes": () => this.#changeGroup("add"),
    "member-goes": () => this.#changeGroup("remove"),
    "keys-run-out": () => this.#one(this.#world.plan.people, ({ user }) => this.#world.drainKeys(user)),
  };

  /** By a device of the one who has founded it. Who is to come, or to go, must first have gone, or come. */
  #changeGroup(how: "add" | "remove"): boolean {
    const { plan, random, history } = this.#world;
    const { group, people } = plan;
    const [founder, ...others] = people.map(({ user }) => user);
    const by = this.#world.devicesOf(founder ?? "").filter((device) => group && device.isMember(group.id));
    if (!group || by.length === 0 || !history.strikes.isAnythingUnderWay) return false;
    const members = this.#world.membersOf(group.id);
    const [inside, outside] = [
      others.filter((user) => members.includes(user)),
      others.filter((user) => !members.includes(user)),
    ];
    const candidates = how === "add" ? outside : inside;
    const user = random.pick(candidates.length > 0 ? candidates : others);
    const isIn = inside.includes(user);
    const wish: Wish = isIn ? { remove: [user] } : { add: [user] };
    random.pick(by).want(`${short(user)} ${isIn ? "out" : "in"}`, group.id, wish);
    return candidates.length > 0;
  }

  get #connected(): Device[] {
    return this.#world.usable.filter((device) => device.link && !device.link.isSevered);
  }

  /** One of the ends learns late, or the device never. */
  #halfOpen({ link }: Device): void {
    const { random } = this.#world;
    const told = {
      serverLate: { device: random.between(1, 300), server: random.between(5_000, 120_000) },
      deviceLate: { device: random.between(5_000, 60_000), server: random.between(1, 500) },
      deviceNever: { server: random.between(20_000, 120_000) },
    };
    link?.sever(told[random.weighted({ serverLate: 2, deviceLate: 1, deviceNever: 1 })]);
  }

  #one<T>(candidates: readonly T[], strike: (candidate: T) => void): boolean {
    if (candidates.length === 0) return false;
    strike(this.#world.random.pick(candidates));
    return true;
  }
}
