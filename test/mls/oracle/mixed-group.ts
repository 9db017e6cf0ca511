import type { Proposal } from "ts-mls/proposal.js";
import type { Mls, Suite } from "../../../client/mls/mls.ts";
import { readMessage } from "../../../client/mls/wire.ts";
import type { Random } from "../../sim/random.ts";
import { lifetime, makeKeys, text, utf8 } from "../device.ts";
import { OracleDevice } from "./oracle-device.ts";
import { commitSecretly, exportedBy, followSecretly, inNewEpoch, type OurDevice } from "./secret-handshake.ts";

/** Stands for suite 1, with another cipher. */
const SUITE = 3 as Suite;

/** A group of devices of ours and of the oracle's. Every step ends with all of one mind, or throws. */
export class MixedGroup {
  readonly #mls: Mls;
  #ours: OurDevice[] = [];
  #oracles: OracleDevice[] = [];
  #names = 0;

  constructor(mls: Mls) {
    this.#mls = mls;
  }

  get size(): number {
    return this.#ours.length + this.#oracles.length;
  }

  /** Of each kind one; founded by ours, or by the oracle. */
  async found(by: "ours" | "oracle"): Promise<void> {
    if (by === "oracle") {
      const oracle = new OracleDevice(this.#name());
      oracle.create("group");
      this.#oracles.push(oracle);
      return this.oracleAdds(0);
    }
    const name = this.#name();
    const group = await this.#mls.create(utf8("group"), SUITE, await makeKeys(name), Date.now());
    this.#ours.push(inNewEpoch(name, group));
    return this.weCommit(0, { addOracles: 1 });
  }

  /** @param by of our devices @param remove names */
  async weCommit(by: number, change: { addOurs?: number; addOracles?: number; remove?: string[] }): Promise<void> {
    const committer = this.#ours[by]!;
    const { addOurs = 0, addOracles = 0, remove = [] } = change;
    const newOurs = await Promise.all(Array.from({ length: addOurs }, () => this.#newcomer()));
    const newOracles = Array.from({ length: addOracles }, () => new OracleDevice(this.#name()));
    const packages = [...newOurs.map(({ made }) => made.keyPackage), ...newOracles.map((each) => each.keyPackage())];
    const leaves = committer.group.members.filter(({ credential }) => remove.includes(text(credential)));
    const proposals: Proposal[] = [
      ...leaves.map(({ leaf }): Proposal => ({ proposalType: "remove", remove: { removed: leaf } })),
      ...packages.map(readKeyPackage).map((keyPackage): Proposal => ({ proposalType: "add", add: { keyPackage } })),
    ];
    const { commit, welcome, tree, device } = await commitSecretly(committer, proposals);
    const isLeft = ({ name }: { name: string }) => !remove.includes(name);
    this.#oracles = this.#oracles.filter(isLeft);
    for (const oracle of this.#oracles) oracle.receive(commit);
    const others = this.#ours.filter((each) => each !== committer && isLeft(each));
    this.#ours = [device, ...(await Promise.all(others.map((other) => followSecretly(other, [commit]))))];
    for (const newcomer of newOurs) await this.#join(newcomer, welcome, tree);
    for (const oracle of newOracles) oracle.join(welcome, tree);
    this.#oracles.push(...newOracles);
    await this.#assertAgreed();
  }

  /** Adds one of ours. @param by of the oracle's devices */
  async oracleAdds(by: number): Promise<void> {
    const oracle = this.#oracles[by]!;
    const newcomer = await this.#newcomer();
    const { welcome, tree, handshakes } = oracle.add(newcomer.made.keyPackage);
    for (const other of this.#oracles) if (other !== oracle) for (const message of handshakes) other.receive(message);
    this.#ours = await Promise.all(this.#ours.map((device) => followSecretly(device, handshakes)));
    await this.#join(newcomer, welcome, tree);
    await this.#assertAgreed();
  }

  /** Everybody says something, and everybody reads it; ours over what is tested. */
  async sayAll(): Promise<void> {
    for (const device of this.#ours) {
      const { message, group } = await this.#mls.seal(device.group, "01J", utf8(`from ${device.name}`));
      device.group = group;
      await this.#expectHeard(device, message);
    }
    for (const oracle of this.#oracles) await this.#expectHeard(oracle, oracle.seal(`from ${oracle.name}`));
  }

  async step(chance: Random): Promise<void> {
    const by = chance.between(0, this.#ours.length - 1);
    const removable = [...this.#ours.filter((_, at) => at !== by), ...this.#oracles.slice(1)].map(({ name }) => name);
    const isRoomy = this.size < 12;
    const what = chance.weighted({
      say: 4,
      update: 3,
      add: isRoomy ? 4 : 0,
      oracleAdds: isRoomy ? 4 : 0,
      remove: removable.length > 2 ? 4 : 0,
      exchange: removable.length > 2 ? 2 : 0,
    });
    const some = () => [chance.pick(removable), chance.pick(removable)];
    if (what === "say") return this.sayAll();
    if (what === "oracleAdds") return this.oracleAdds(chance.between(0, this.#oracles.length - 1));
    const adds = { addOurs: chance.between(0, 1), addOracles: chance.between(0, 1) };
    if (what === "update") return this.weCommit(by, {});
    if (what === "add") return this.weCommit(by, adds);
    return this.weCommit(by, what === "remove" ? { remove: some() } : { ...adds, remove: some() });
  }

  async #expectHeard(sender: { readonly name: string }, message: Uint8Array): Promise<void> {
    for (const device of this.#ours) {
      if (device === sender) continue;
      const opened = await this.#mls.open(device.group, message);
      if (opened.kind !== "message") throw new Error(opened.kind);
      const isFrom = text(opened.sender.credential) === sender.name;
      if (!isFrom || text(opened.plaintext) !== `from ${sender.name}`) throw new Error(`${device.name} misread it`);
      device.group = opened.group;
    }
    for (const oracle of this.#oracles) {
      if (oracle === sender) continue;
      if (oracle.receive(message) !== `from ${sender.name}`) throw new Error(`${oracle.name} misread it`);
    }
  }

  async #assertAgreed(): Promise<void> {
    const ours = await Promise.all(this.#ours.map(exportedBy));
    const exported = [...ours, ...this.#oracles.map((oracle) => oracle.exported())];
    if (new Set(exported).size !== 1) throw new Error(`they are of different minds: ${exported}`);
    const names = this.#ours[0]?.group.members.map(({ credential }) => text(credential)).sort();
    const expected = [...this.#ours, ...this.#oracles].map(({ name }) => name).sort();
    if (names?.join() !== expected.join()) throw new Error(`members ${names}, devices ${expected}`);
  }

  async #join({ name, made }: Newcomer, welcome: Uint8Array, tree: Uint8Array): Promise<void> {
    this.#ours.push(inNewEpoch(name, (await this.#mls.join(welcome, tree, [made])).group));
  }

  async #newcomer(): Promise<Newcomer> {
    const name = this.#name();
    return { name, made: await this.#mls.makeKeyPackage(await makeKeys(name), SUITE, lifetime) };
  }

  #name(): string {
    return `device ${this.#names++}`;
  }
}

interface Newcomer {
  readonly name: string;
  readonly made: Awaited<ReturnType<Mls["makeKeyPackage"]>>;
}

function readKeyPackage(bytes: Uint8Array) {
  return readMessage(bytes, "mls_key_package").keyPackage;
}
