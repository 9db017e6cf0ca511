import { type Certificate, decodeCertificate } from "../../shared/certificate.ts";
import { type ConversationId, directMembers, type UserId } from "../../shared/ids.ts";
import { MAX_HYBRID_LEAVES, MAX_REMOVES_PER_COMMIT } from "../../shared/limits.ts";
import { groupIdOf } from "../../shared/mls/framing.ts";
import { ChatError } from "../chat-error.ts";
import { isSameKey } from "../identity/ed25519.ts";
import {
  type Group,
  type MadeCommit,
  type MembershipChange,
  MlsError,
  type MlsMember,
  type Suite,
} from "../mls/mls.ts";
import { type Claimed, Claims, type Wanted } from "./claims.ts";
import type { GroupOnServer } from "./delivery-service.ts";
import { suites } from "./key-packages.ts";
import type { MembershipParts, Wish } from "./membership.ts";
import { mustBeTheirs } from "./opening.ts";

interface Owned extends MlsMember {
  readonly certificate: Certificate;
}

/** Makes groups, and changes of them out of what people wish; of those who do not fit into one commit the rest comes after it. */
export class GroupBuilder {
  readonly #parts: MembershipParts;
  readonly #claims: Claims;

  constructor(parts: MembershipParts) {
    this.#parts = parts;
    this.#claims = new Claims(parts);
  }

  /** A new group of this device, and the change that brings others in. @throws ChatError not_found, tampered, unavailable */
  async found(
    conversation: ConversationId,
    { add = [] }: Wish,
  ): Promise<{ readonly group: Group; readonly change: MembershipChange }> {
    const { owner, keys, mls, session } = this.#parts;
    const others = (people: readonly UserId[]) =>
      people.filter((user) => user !== owner.user).map((user) => ({ user, except: [] }));
    // First who decides whether it can begin at all: it is tried again and again, and own key packages would run out.
    const [first, rest] = [others(directMembers(conversation)), others([...new Set(add)])];
    const wanted = [...first, { user: owner.user, except: [owner.device] }, ...rest];
    const { suite, packages } = await this.#claimForGroup(wanted);
    const group = await mls.create(groupIdOf(conversation), suite, keys.device, session.now);
    return { group, change: { add: packages } };
  }

  /** What is still to be changed; undefined if nothing is. @throws ChatError not_found, tampered, unavailable */
  async changeFor(conversation: ConversationId, group: Group, wish: Wish): Promise<MembershipChange | undefined> {
    const members = group.members.map((member) => ({ ...member, certificate: certificateOf(member) }));
    const { packages: add } = await this.#claimAll(this.#wantedOf(members, wish), group.suite);
    const orphans = wish.orphans ? await this.#orphansOf(conversation, group.epoch, members) : [];
    const remove = new Set([...(await this.#unwantedOf(members, wish)), ...orphans]);
    remove.delete(group.ownLeaf);
    if (add.length + remove.size === 0) return undefined;
    return { add, remove: [...remove].slice(0, MAX_REMOVES_PER_COMMIT) };
  }

  /**
   * @param reached the epoch in which this device was last: those of before may have members who were removed since
   * @throws ChatError tampered
   */
  async joinFromOutside(
    conversation: ConversationId,
    { groupInfo, tree, epoch }: GroupOnServer,
    reached: number,
  ): Promise<MadeCommit> {
    const { keys, mls, session } = this.#parts;
    try {
      if (epoch < reached) throw new MlsError("wrong_epoch");
      const made = await mls.joinExternally(groupInfo, tree, keys.device, session.now);
      mustBeTheirs(conversation, made.group);
      if (made.group.epoch !== epoch + 1) throw new MlsError("wrong_epoch");
      return made;
    } catch (cause) {
      throw new ChatError("tampered", { cause });
    }
  }

  /** In the best suite that all devices have keys for; in the last one, without those that have none. */
  async #claimForGroup(wanted: readonly Wanted[]): Promise<Pick<Claimed, "packages"> & { readonly suite: Suite }> {
    const [hybrid, plain] = suites;
    if (wanted.length < MAX_HYBRID_LEAVES) {
      const { packages, isComplete } = await this.#claims.claim(wanted, hybrid);
      if (isComplete && packages.length < MAX_HYBRID_LEAVES) return { suite: hybrid, packages };
    }
    return { suite: plain, packages: (await this.#claimAll(wanted, plain)).packages };
  }

  /** Who has no device that could be brought in would be told nothing of what is said. @throws ChatError unavailable */
  async #claimAll(wanted: readonly Wanted[], suite: Suite): Promise<Claimed> {
    const claimed = await this.#claims.claim(wanted, suite);
    if (claimed.lacksSomebody) throw new ChatError("unavailable");
    return claimed;
  }

  #wantedOf(members: readonly Owned[], { add = [], ownDevices = false }: Wish): Wanted[] {
    const { user: self } = this.#parts.owner;
    const present = new Set(members.map(({ certificate }) => certificate.user));
    const others = add.filter((user) => !present.has(user)).map((user) => ({ user, except: [] }));
    const own = members.flatMap(({ certificate: { user, device } }) => (user === self ? [device] : []));
    return ownDevices ? [{ user: self, except: own }, ...others] : others;
  }

  /** Leaves of people who are to leave, of own devices that are gone, and of an identity that this person has given up. */
  async #unwantedOf(members: readonly Owned[], { remove = [], ownDevices = false }: Wish): Promise<number[]> {
    const { owner, service, keys } = this.#parts;
    const leaving = new Set(remove);
    const current = ownDevices ? new Set(await service.devices()) : undefined;
    const isUnwanted = ({ certificate: { user, device, accountKey } }: Owned) => {
      if (user !== owner.user) return leaving.has(user);
      return !isSameKey(accountKey, keys.account.publicKey) || (current !== undefined && !current.has(device));
    };
    return members.filter(isUnwanted).map(({ leaf }) => leaf);
  }

  /**
   * Leaves that are nobody's any more. Who is removed is so with all their devices: a server that names some of somebody's
   * leaves says what cannot be, and this person's own are not its to name. Of two people nobody is left behind: their
   * conversation goes with either of them.
   */
  async #orphansOf(conversation: ConversationId, epoch: number, members: readonly Owned[]): Promise<number[]> {
    if (directMembers(conversation).length > 0) return [];
    const standing = await this.#parts.service.group(conversation);
    if (standing?.epoch !== epoch) return [];
    const named = new Set(standing.orphans);
    const staying = new Set(members.flatMap(({ leaf, certificate: { user } }) => (named.has(leaf) ? [] : [user])));
    staying.add(this.#parts.owner.user);
    return members.filter(({ certificate: { user } }) => !staying.has(user)).map(({ leaf }) => leaf);
  }
}

function certificateOf({ credential }: MlsMember): Certificate {
  return decodeCertificate(credential);
}
