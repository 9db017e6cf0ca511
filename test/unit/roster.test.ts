import { describe, expect, it } from "vitest";
import { makeKeyPair } from "../../client/identity/ed25519.ts";
import type { DeviceKeys, Group } from "../../client/mls/mls.ts";
import { createMls } from "../../client/mls/ts-mls.ts";
import {
  type Change,
  checkChange,
  type Leaf,
  leavesAfter,
  type Roster,
} from "../../durable-objects/conversation/roster.ts";
import { newMember, type Role } from "../../durable-objects/conversation/state.ts";
import { MAX_DEVICES_PER_USER, MAX_LEAVES_PER_GROUP, MAX_MEMBERS_PER_CONVERSATION } from "../../shared/limits.ts";
import type { LeafOwner } from "../../shared/rpc.ts";

/** "a1" is the device 1 of the person a. */
const of = (name: string): LeafOwner => ({ user: name[0] ?? "", device: name });
const leavesOf = (names: string): Leaf[] =>
  names.split(" ").map((name) => (name === "-" ? null : name === "?" ? "nobody" : of(name)));
const shown = (leaves: readonly Leaf[]) =>
  leaves.map((leaf) => (leaf === null ? "-" : leaf === "nobody" ? "?" : leaf.device)).join(" ");

interface Case {
  readonly leaves: string;
  readonly by: string;
  readonly adds?: string;
  readonly removes?: readonly number[];
  /** Joins by it. */
  readonly isExternal?: boolean;
}

function changeOf({ leaves, by, adds = "", removes = [], isExternal = false }: Case): Change {
  const leaf = isExternal ? null : Math.max(0, leaves.split(" ").indexOf(by));
  return { ...of(by), leaf, adds: adds === "" ? [] : adds.split(" ").map(of), removes: [...removes] };
}

const rolesInGroup: Record<string, Role> = { o: "owner", a: "admin" };

/** Of a group o is the owner, a and A are admins, everybody else is a member. */
function groupOf(leaves: string, isNew = false): Roster {
  const owners = leavesOf(leaves).flatMap((leaf) => (leaf === null || leaf === "nobody" ? [] : leaf.user));
  const roleOf = (user: string) => (isNew ? "owner" : (rolesInGroup[user.toLowerCase()] ?? "member"));
  const members = new Map(owners.map((user) => [user, newMember(0, roleOf(user))]));
  return { isDirect: false, isNew, members, leaves: leavesOf(leaves) };
}

/** Between a and b. */
function directOf(leaves: string, isNew = false): Roster {
  const members = new Map(["a", "b"].map((user) => [user, newMember(0, "member")]));
  return { isDirect: true, isNew, members, leaves: leavesOf(leaves) };
}

const outcome = (roster: Roster, change: Change): string => {
  try {
    return shown(checkChange(roster, change));
  } catch (error) {
    return (error as { code: string }).code;
  }
};
const inGroup = (given: Case, isNew?: boolean) => outcome(groupOf(given.leaves, isNew), changeOf(given));
const inDirect = (given: Case, isNew?: boolean) => outcome(directOf(given.leaves, isNew), changeOf(given));

describe("the leaves after a commit", () => {
  it.each<[string, Case, string]>([
    ["adds go to the right", { leaves: "o1", by: "o1", adds: "b1 c1" }, "o1 b1 c1"],
    [
      "adds fill blank leaves from the left",
      { leaves: "o1 - b1 - c1", by: "o1", adds: "d1 e1 f1" },
      "o1 d1 b1 e1 c1 f1",
    ],
    ["removes come first", { leaves: "o1 b1 c1", by: "o1", adds: "d1", removes: [1] }, "o1 d1 c1"],
    ["the right end is cut", { leaves: "o1 - b1 - c1", by: "o1", removes: [4] }, "o1 - b1"],
    ["who joins fills the leftmost blank leaf", { leaves: "o1 - c1", by: "c2", isExternal: true }, "o1 c2 c1"],
    ["who joins anew takes their own", { leaves: "o1 b1 c1", by: "b1", removes: [1], isExternal: true }, "o1 b1 c1"],
    ["who joins anew from the end", { leaves: "o1 - c1", by: "c1", removes: [2], isExternal: true }, "o1 c1"],
  ])("%s", (_, given, expected) => {
    expect(inGroup(given)).toBe(expected);
  });

  it("are those of the real group, whoever is added, removed, and joins without help", {
    timeout: 120_000,
  }, async () => {
    const real = await RealGroup.begin(of("o0"));
    const random = randomFrom(20_261_120);
    let leaves: Leaf[] = [of("o0")];
    for (let round = 1; round <= 250; round++) {
      const occupied = leaves.flatMap((leaf, index) => (leaf && index > 0 ? [index] : []));
      const joins = random() < 0.25;
      const again = joins && random() < 0.5 ? occupied.find((leaf) => real.canRejoin(leaf)) : undefined;
      const removes = occupied.filter(() => random() < (round % 40 < 20 ? 0.15 : 0.35));
      const adds = Array.from({ length: Math.floor(random() * 4) }, (_, n) => of(`m${round}/${n}`));
      const change = joins ? await real.join(`j${round}`, again) : await real.commit(adds, removes);
      leaves = leavesAfter(leaves, change);
      expect(shown(leaves), `round ${round}`).toBe(real.shown());
    }
    expect(real.rejoined).toBeGreaterThan(10);
  });
});

/** A group of real keys, as its first device sees it. */
class RealGroup {
  readonly #mls = createMls({ authenticate: async () => true });
  readonly #own: LeafOwner;
  #group!: Group;
  /** Of those who have joined without help, by name. */
  readonly #joiners = new Map<string, DeviceKeys>();
  /** What somebody needs to join. */
  #last: { groupInfo: Uint8Array; tree: Uint8Array } | undefined;
  rejoined = 0;

  private constructor(own: LeafOwner) {
    this.#own = own;
  }

  static async begin(own: LeafOwner): Promise<RealGroup> {
    const real = new RealGroup(own);
    const id = new TextEncoder().encode("group");
    real.#group = await real.#mls.create(id, 1, await newKeys(own.device), Date.now());
    return real;
  }

  async commit(adds: LeafOwner[], removes: number[]): Promise<Change> {
    const lifetime = { notBefore: Date.now() - 1_000, notAfter: Date.now() + 3_600_000 };
    const packages = adds.map(async ({ device }) => this.#mls.makeKeyPackage(await newKeys(device), 1, lifetime));
    const add = (await Promise.all(packages)).map(({ keyPackage }) => keyPackage);
    const { commit: _, group, ...rest } = await this.#mls.commit(this.#group, { add, remove: removes });
    this.#group = group;
    this.#last = rest;
    return { ...this.#own, leaf: 0, adds, removes };
  }

  /** @param again the leaf of the device that joins anew; otherwise it is a new one */
  async join(name: string, again?: number): Promise<Change> {
    const { groupInfo, tree } = this.#last ?? (await this.#entrance());
    const device = again === undefined ? name : this.#nameAt(again);
    const keys = this.#joiners.get(device) ?? (await newKeys(device));
    this.#joiners.set(device, keys);
    const made = await this.#mls.joinExternally(groupInfo, tree, keys, Date.now());
    const opened = await this.#mls.open(this.#group, made.commit);
    if (opened.kind !== "commit") throw new Error(opened.kind);
    this.#group = opened.group;
    this.#last = made;
    if (again !== undefined) this.rejoined++;
    return { ...of(device), leaf: null, adds: [], removes: again === undefined ? [] : [again] };
  }

  canRejoin(leaf: number): boolean {
    return this.#joiners.has(this.#nameAt(leaf));
  }

  shown(): string {
    const names = new Map(this.#group.members.map(({ leaf, credential }) => [leaf, textOf(credential)]));
    const width = 1 + Math.max(...names.keys());
    return Array.from({ length: width }, (_, leaf) => names.get(leaf) ?? "-").join(" ");
  }

  async #entrance(): Promise<{ groupInfo: Uint8Array; tree: Uint8Array }> {
    await this.commit([], []);
    if (!this.#last) throw new Error("a commit brings it");
    return this.#last;
  }

  #nameAt(leaf: number): string {
    return textOf(this.#group.members.find((member) => member.leaf === leaf)?.credential ?? new Uint8Array());
  }
}

const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

async function newKeys(name: string): Promise<DeviceKeys> {
  const { publicKey, seed } = await makeKeyPair();
  return { publicKey, privateKey: seed, credential: new TextEncoder().encode(name) };
}

describe("R16 in a group a commit", () => {
  it.each<[string, Case]>([
    ["by the owner adds somebody", { leaves: "o1 b1", by: "o1", adds: "c1 c2" }],
    ["by an admin adds somebody", { leaves: "o1 a1", by: "a1", adds: "c1" }],
    ["by anybody adds their own device", { leaves: "o1 b1", by: "b1", adds: "b2" }],
    ["by the owner removes anybody", { leaves: "o1 a1 b1 b2", by: "o1", removes: [1, 2, 3] }],
    ["by an admin removes members and other admins", { leaves: "o1 a1 A1 b1", by: "a1", removes: [2, 3] }],
    ["by anybody removes their own device", { leaves: "o1 b1 b2", by: "b2", removes: [1] }],
    ["by anybody removes what is nobody's", { leaves: "o1 ? b1", by: "b1", removes: [1] }],
    ["replaces a device in one go", { leaves: "o1 b1 b2", by: "b2", removes: [1], adds: "b3" }],
    ["adds a device again that it removes", { leaves: "o1 b1 b2", by: "b2", removes: [1], adds: "b1" }],
    ["changes nothing but keys", { leaves: "o1 b1", by: "b1" }],
    ["by a device that is not in it joins", { leaves: "o1 b1", by: "b2", isExternal: true }],
  ])("%s", (_, given) => {
    expect(inGroup(given)).not.toBe("not_allowed");
  });

  it.each<[string, Case]>([
    ["by a member adds somebody", { leaves: "o1 b1", by: "b1", adds: "c1" }],
    ["by the owner adds a device of somebody who is in it", { leaves: "o1 b1", by: "o1", adds: "b2" }],
    ["by the owner replaces somebody's device", { leaves: "o1 b1", by: "o1", removes: [1], adds: "b2" }],
    ["by a member removes another member", { leaves: "o1 b1 c1", by: "b1", removes: [2] }],
    ["by an admin removes the owner", { leaves: "o1 a1", by: "a1", removes: [0] }],
    ["by an admin removes one of the owner's devices", { leaves: "o1 o2 a1", by: "a1", removes: [1] }],
    ["removes its own leaf", { leaves: "o1 b1", by: "b1", removes: [1] }],
    ["removes a blank leaf", { leaves: "o1 - b1", by: "o1", removes: [1] }],
    ["removes a leaf that is not there", { leaves: "o1 b1", by: "o1", removes: [7] }],
    ["removes a leaf twice", { leaves: "o1 b1", by: "o1", removes: [1, 1] }],
    ["adds a device that is in it", { leaves: "o1 b1", by: "b1", adds: "b1" }],
    ["adds a device twice", { leaves: "o1 b1", by: "b1", adds: "b2 b2" }],
    ["joins and adds somebody", { leaves: "o1 b1", by: "o2", adds: "c1", isExternal: true }],
    ["joins and adds their own device", { leaves: "o1 b1", by: "b2", adds: "b3", isExternal: true }],
    ["joins and removes another of their devices", { leaves: "o1 b1", by: "b2", removes: [1], isExternal: true }],
    ["joins and removes somebody, as the owner", { leaves: "o1 b1", by: "o2", removes: [1], isExternal: true }],
    ["joins and removes what is nobody's", { leaves: "o1 ?", by: "o2", removes: [1], isExternal: true }],
    ["joins a second time", { leaves: "o1 b1", by: "b1", isExternal: true }],
  ])("does not pass that %s", (_, given) => {
    expect(inGroup(given)).toBe("not_allowed");
  });

  it("comes from the caller's own leaf", () => {
    const roster = groupOf("o1 b1 b2 - ?");
    for (const leaf of [0, 2, 3, 4, 5, 4_294_967_295]) {
      expect(outcome(roster, { ...of("b1"), leaf, adds: [], removes: [] }), `leaf ${leaf}`).toBe("not_allowed");
    }
    expect(outcome(roster, { ...of("b1"), leaf: 1, adds: [], removes: [] })).toBe("o1 b1 b2 - ?");
    expect(outcome(roster, { user: "c", device: "b1", leaf: 1, adds: [], removes: [] })).toBe("not_allowed");
  });

  it("that begins it adds anybody, from leaf 0", () => {
    expect(inGroup({ leaves: "b1", by: "b1", adds: "b2 c1 d1" }, true)).toBe("b1 b2 c1 d1");
    expect(outcome(groupOf("b1", true), { ...of("b1"), leaf: 1, adds: [], removes: [] })).toBe("not_allowed");
    expect(inGroup({ leaves: "b1", by: "b1", removes: [0] }, true)).toBe("not_allowed");
  });
});

describe("R16 in a 1:1 conversation a commit", () => {
  it("that begins it adds the devices of both, and of nobody else", () => {
    expect(inDirect({ leaves: "a1", by: "a1", adds: "a2 b1 b2" }, true)).toBe("a1 a2 b1 b2");
    expect(inDirect({ leaves: "a1", by: "a1", adds: "b1 c1" }, true)).toBe("not_allowed");
  });

  it.each<[string, Case, string]>([
    ["adds one's own devices", { leaves: "a1 b1", by: "a1", adds: "a2" }, "a1 b1 a2"],
    ["adds no device of the other one later", { leaves: "a1 b1", by: "a1", adds: "b2" }, "not_allowed"],
    ["adds nobody else", { leaves: "a1 b1", by: "a1", adds: "c1" }, "not_allowed"],
    ["removes one's own devices", { leaves: "a1 b1 a2", by: "a1", removes: [2] }, "a1 b1"],
    ["removes no device of the other one", { leaves: "a1 b1 b2", by: "a1", removes: [2] }, "not_allowed"],
    ["joins either", { leaves: "a1 b1", by: "b2", isExternal: true }, "a1 b1 b2"],
  ])("%s", (_, given, expected) => {
    expect(inDirect(given)).toBe(expected);
  });
});

describe("R16 a group has its limits", () => {
  const many = (prefix: string, count: number) => Array.from({ length: count }, (_, n) => `${prefix}${n}`).join(" ");

  it("of devices a person, which those that go do not count towards", () => {
    const full = `o1 ${many("b", MAX_DEVICES_PER_USER)}`;
    expect(inGroup({ leaves: full, by: "b0", adds: "b9" })).toBe("not_allowed");
    expect(inGroup({ leaves: full, by: "b0", adds: "b9", removes: [2] })).toContain("b9");
    expect(inGroup({ leaves: "o1", by: "o1", adds: many("b", MAX_DEVICES_PER_USER) })).toContain("b4");
    expect(inGroup({ leaves: "o1", by: "o1", adds: many("b", MAX_DEVICES_PER_USER + 1) })).toBe("not_allowed");
  });

  it("of devices a person, within which somebody who has lost all of theirs can come back", () => {
    const full = `o1 ${many("b", MAX_DEVICES_PER_USER)}`;
    expect(inGroup({ leaves: full, by: "bx", isExternal: true })).toContain("bx");
    const twice = `o1 ${many("b", 2 * MAX_DEVICES_PER_USER)}`;
    expect(inGroup({ leaves: twice, by: "bx", isExternal: true })).toBe("not_allowed");
    expect(inGroup({ leaves: twice, by: "b0", removes: [2, 3] })).toContain("b0 - - b3");
    expect(inGroup({ leaves: twice, by: "o1", adds: "c1" })).toContain("c1");
  });

  it("of people", () => {
    const people = (count: number): Leaf[] => [
      of("o1"),
      ...Array.from({ length: count - 1 }, (_, n) => ({ user: `u${n}`, device: `u${n}` })),
    ];
    const with1More = (count: number) => {
      const roster = { ...groupOf("o1"), leaves: people(count) };
      return outcome(roster, { ...of("o1"), leaf: 0, adds: [of("z1")], removes: [] });
    };
    expect(with1More(MAX_MEMBERS_PER_CONVERSATION - 1)).toContain("z1");
    expect(with1More(MAX_MEMBERS_PER_CONVERSATION)).toBe("not_allowed");
  });

  it("of leaves", () => {
    const leaves = (count: number): Leaf[] => [of("o1"), ...Array.from({ length: count - 1 }, (): Leaf => "nobody")];
    const with1More = (count: number) =>
      outcome({ ...groupOf("o1"), leaves: leaves(count) }, { ...of("o1"), leaf: 0, adds: [of("z1")], removes: [] });
    expect(with1More(MAX_LEAVES_PER_GROUP - 1)).toContain("z1");
    expect(with1More(MAX_LEAVES_PER_GROUP)).toBe("not_allowed");
  });
});

/** Repeatable: the same seed, the same numbers in [0, 1) (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
