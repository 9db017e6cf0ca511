import type { ConversationId, UserId } from "../../shared/ids.ts";
import { MAX_FORMER_KEYS } from "../../shared/limits.ts";
import { ChatError } from "../chat-error.ts";
import { type AccountKey, makeAccountKey } from "../identity/account-key.ts";
import { isSameKey } from "../identity/ed25519.ts";
import { type Identity, type KeyChange, markVerified } from "../identity/pins.ts";
import type { SafetyCheck } from "../identity/safety-number.ts";
import type { Authenticate, Mls } from "../mls/mls.ts";
import type { Owner, Store } from "../store/store.ts";
import { Authenticator } from "./authenticator.ts";
import { unfinished } from "./conversation-keys.ts";
import type { DeliveryService } from "./delivery-service.ts";
import { DeviceWriter } from "./device-writer.ts";
import { Intake } from "./intake.ts";
import { isRefillDue, refillKeyPackages } from "./key-packages.ts";
import { Membership, type MembershipSession } from "./membership.ts";
import { loadOwnKeys, makeOwnKeys, type OwnKeys } from "./own-keys.ts";
import { Presence } from "./presence.ts";
import { Transcripts } from "./transcripts.ts";
import type { Noticed } from "./write.ts";

export interface EncryptionOptions {
  readonly owner: Owner;
  readonly store: Store;
  readonly service: DeliveryService;
  /** The MLS module, given what vouches for leaves. */
  readonly mls: (authenticate: Authenticate) => Mls;
  /** What another device, or a backup, has handed over. */
  readonly accountKey?: AccountKey;
  /** Begin a new identity if the one of this account is not here: whoever writes with the person is shown that. */
  readonly reset?: boolean;
  readonly session: MembershipSession;
  noticed(noticed: Noticed): void;
  keyChanged(change: KeyChange): void;
  /** What is written there waits for these people's keys to be confirmed; for nobody's any more, if there are none. */
  held(conversation: ConversationId, users: readonly UserId[]): void;
}

/** This device's part in end-to-end encryption: its keys, its groups, and the one writer through which they move on. */
export class Encryption {
  readonly keys: OwnKeys;
  readonly authenticator: Authenticator;
  readonly writer: DeviceWriter;
  readonly membership: Membership;
  readonly intake: Intake;
  readonly transcripts: Transcripts;
  readonly #options: EncryptionOptions;
  readonly #mls: Mls;
  readonly #presence: Presence;
  #refilling: Promise<void> | undefined;
  /** Its keys were made in this run. */
  #isNew = false;
  /** Where leaves of people who are gone are being taken out. */
  readonly #clearing = new Set<ConversationId>();
  /** By whose keys what is written there is held back. Known from the first attempt to seal something. */
  readonly #held = new Map<ConversationId, readonly UserId[]>();
  /** Conversations of which something has come before everything was here, and in which this device is no member. */
  readonly #passed = new Set<ConversationId>();

  private constructor(options: EncryptionOptions, keys: OwnKeys, authenticator: Authenticator, presence: Presence) {
    const { owner, store, service, session } = options;
    this.#options = options;
    this.keys = keys;
    this.authenticator = authenticator;
    const mls = options.mls(authenticator.authenticate);
    this.#mls = mls;
    this.intake = new Intake({ service, store, mls, keys: (conversation) => this.writer.keys(conversation) });
    this.#presence = presence;
    this.transcripts = new Transcripts(owner, store, presence, session);
    this.writer = new DeviceWriter({
      ...{ owner, store, mls, authenticator, intake: this.intake, transcripts: this.transcripts },
      notice: (noticed) => this.#notice(noticed),
      keyChanged: options.keyChanged,
    });
    this.membership = new Membership({ owner, keys, mls, service, authenticator, writer: this.writer, session });
    authenticator.listeners.add("pinned", ({ user }) => this.#reviewHeld((_, users) => users.includes(user)));
  }

  /**
   * With the keys that are here; on the first device of an account, with new ones.
   * @throws ChatError `identity_locked`: the account has a key that this device was never given
   */
  static async open(options: EncryptionOptions): Promise<Encryption> {
    const { owner, store, service, reset } = options;
    const known = await loadOwnKeys(store);
    // An app may ask for a reset with every start: what is here and holds is not given up.
    const stored = known && reset && (await isGivenUp(known, service)) ? undefined : known;
    const keys = stored ?? (await beginIdentity(options, known));
    const own = { user: owner.user, accountKey: keys.account.publicKey, former: keys.former };
    const [authenticator, presence] = [await Authenticator.load(own, store), await Presence.load(store)];
    const encryption = new Encryption(options, keys, authenticator, presence);
    encryption.#isNew = !stored;
    if (!stored) await encryption.refill();
    return encryption;
  }

  /** Sees to the stock of key packages on the server. @throws ChatError */
  refill(): Promise<void> {
    this.#refilling ??= this.#refill().finally(() => {
      this.#refilling = undefined;
    });
    return this.#refilling;
  }

  /** As `refill`, if it was not done to the end before, or long ago. @throws ChatError */
  async refillIfDue(): Promise<void> {
    const { store, session } = this.#options;
    if (await isRefillDue(store, session.now)) await this.refill();
  }

  /**
   * Goes on with what an earlier run has left, and enters where it should long have been: the commit that added this device,
   * or the Welcome, was gone before it came. Where a device is new, `Devices` sees to that.
   */
  async resume(): Promise<void> {
    await this.writer.change(async ({ changes }) => void changes.push(...this.#presence.note(Date.now())));
    const outside = this.#isNew ? [] : [...this.#passed];
    this.#passed.clear();
    this.#isNew = false;
    for (const conversation of await unfinished(this.#options.store)) this.membership.need(conversation);
    for (const conversation of outside) this.membership.need(conversation);
  }

  get held(): ReadonlyMap<ConversationId, readonly UserId[]> {
    return this.#held;
  }

  /** Their key may have become another one meanwhile: that one was not compared. */
  markVerified(compared: Identity): Promise<SafetyCheck> {
    const { authenticator } = this;
    return this.writer.change(async () => {
      const others = { get: (user: UserId) => authenticator.pin(user) };
      const verified = markVerified({ own: authenticator.own, others }, compared, Date.now());
      if (!verified) return "mismatch";
      authenticator.set(compared.user, verified);
      return "match";
    });
  }

  /** @throws ChatError not_found, if this device has not met them */
  async acceptKey(user: UserId): Promise<void> {
    const isKnown = await this.writer.change(async () => this.authenticator.accept(user));
    if (!isKnown) throw new ChatError("not_found");
  }

  /**
   * Takes the leaves of people whose account is gone out of the group. Who sends something there is told of them, so that one
   * device does it where it matters; what fails is done with the next message. @throws ChatError
   */
  async removeOrphans(conversation: ConversationId): Promise<void> {
    if (this.#clearing.has(conversation)) return;
    this.#clearing.add(conversation);
    await this.membership.want(conversation, { orphans: true }).finally(() => this.#clearing.delete(conversation));
  }

  stop(): void {
    this.membership.stop();
  }

  #refill(): Promise<void> {
    const { service, store, session } = this.#options;
    const { writer, keys } = this;
    return refillKeyPackages({ service, store, writer, keys, mls: this.#mls, now: session.now });
  }

  #notice(noticed: Noticed): void {
    if (noticed.type === "not_sealable") this.membership.need(noticed.conversation);
    if (noticed.type === "passed") this.#noticePassed(noticed.conversation);
    if (noticed.type === "group_changed") this.membership.changed(noticed.conversation, noticed.status);
    if (noticed.type === "held") this.#hold(noticed.conversation, noticed.users);
    if (noticed.type === "group_changed") this.#reviewHeld((conversation) => conversation === noticed.conversation);
    this.#options.noticed(noticed);
  }

  /** Where what waits may not have to any more. */
  #reviewHeld(isAffected: (conversation: ConversationId, users: readonly UserId[]) => boolean): void {
    for (const [conversation, users] of this.#held) {
      if (isAffected(conversation, users)) void this.#review(conversation).catch(() => {});
    }
  }

  async #review(conversation: ConversationId): Promise<void> {
    await this.writer.change(async (write) => {
      const { group } = await write.keys(conversation);
      this.#hold(conversation, group ? this.authenticator.unconfirmedIn(group) : []);
    });
  }

  #hold(conversation: ConversationId, users: readonly UserId[]): void {
    const before = this.#held.get(conversation) ?? [];
    if (users.length > 0) this.#held.set(conversation, users);
    else this.#held.delete(conversation);
    if (users.join() !== before.join()) this.#options.held(conversation, users);
    if (users.length === 0) this.#options.session.sealable(conversation);
  }

  #noticePassed(conversation: ConversationId): void {
    if (this.#options.session.isCaughtUp) this.membership.need(conversation);
    else this.#passed.add(conversation);
  }

  /** Whether something can be sealed there now. */
  async isMember(conversation: ConversationId): Promise<boolean> {
    return (await this.writer.keys(conversation)).status === "member";
  }
}

/** Another device of this person's has begun a new identity since. */
async function isGivenUp({ account, former }: OwnKeys, service: DeliveryService): Promise<boolean> {
  const { accountKey } = await service.keys();
  return accountKey !== undefined && ![account.publicKey, ...former].some((key) => isSameKey(key, accountKey));
}

/** Stored before the server hears of it: a key that is lost in between would lock the account. */
async function beginIdentity(
  { owner, store, service, session, accountKey, reset }: EncryptionOptions,
  known: OwnKeys | undefined,
): Promise<OwnKeys> {
  const { accountKey: standing } = await service.keys();
  if (standing && !reset && !(accountKey && isSameKey(accountKey.publicKey, standing))) {
    throw new ChatError("identity_locked");
  }
  const key = accountKey ?? (await makeAccountKey());
  const given = [...(standing ? [standing] : []), ...(known ? [known.account.publicKey, ...known.former] : [])];
  const isFormer = (each: Uint8Array, at: number) =>
    !isSameKey(each, key.publicKey) && given.findIndex((other) => isSameKey(other, each)) === at;
  const former = given.filter(isFormer).slice(0, MAX_FORMER_KEYS);
  const { keys, change } = await makeOwnKeys(key, owner, session.now, former);
  await store.persist([change]);
  return keys;
}
