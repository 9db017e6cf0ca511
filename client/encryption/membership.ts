import type { Retry } from "../../shared/errors.ts";
import { type ConversationId, type Cursor, directMembers, type MessageId, type UserId } from "../../shared/ids.ts";
import { ADOPTION_WAIT_MS, MEMBERSHIP_RETRY_MAX_MS, MEMBERSHIP_RETRY_MS } from "../../shared/limits.ts";
import { ChatError, type ChatErrorCode } from "../chat-error.ts";
import type { Mls } from "../mls/mls.ts";
import type { ReceivedMessage } from "../session/contract.ts";
import type { Owner } from "../store/store.ts";
import type { Authenticator } from "./authenticator.ts";
import { type ConversationKeys, noKeys, type PendingCommit } from "./conversation-keys.ts";
import type { CommitAnswer, DeliveryService } from "./delivery-service.ts";
import type { DeviceWriter } from "./device-writer.ts";
import { GroupBuilder } from "./group-builder.ts";
import type { OwnKeys } from "./own-keys.ts";

/** What the session knows, and what it is told. */
export interface MembershipSession {
  /** The server's clock, ms since 1970. */
  readonly now: number;
  /** Everything there was at the time of connecting is here. */
  readonly isCaughtUp: boolean;
  /** What this device has of a conversation. */
  position(conversation: ConversationId): Cursor;
  mintId(): MessageId;
  /** By the device's clock. */
  wait(ms: number): Promise<void>;
  /** What waits there can be sealed now. */
  sealable(conversation: ConversationId): void;
  /** What waits there never can. */
  unsendable(conversation: ConversationId, code: ChatErrorCode): void;
  /** Entries that came beside the socket; complete in (after, through]. */
  missed(conversation: ConversationId, after: Cursor, through: Cursor, entries: readonly ReceivedMessage[]): void;
}

export interface MembershipParts {
  readonly owner: Owner;
  readonly keys: OwnKeys;
  readonly mls: Mls;
  readonly service: DeliveryService;
  readonly writer: DeviceWriter;
  readonly authenticator: Authenticator;
  readonly session: MembershipSession;
}

/** What somebody wants of a conversation's group; what holds already is left out when it is done. */
export interface Wish {
  /** A group is to begin. One of two begins by itself, with what they write first; any other has to be there. */
  readonly isNew?: boolean;
  /** People whose devices are to be members. */
  readonly add?: readonly UserId[];
  /** People whose devices are not to be. */
  readonly remove?: readonly UserId[];
  /** This person's own devices are to be members, and no others of theirs. */
  readonly ownDevices?: boolean;
  /** Devices of people whose account is gone are not to be. */
  readonly orphans?: boolean;
}

/**
 * Sees to it that this device is a member where it has to be, and makes the commits that are wanted: one at a time in each
 * conversation, each stored before it leaves and submitted until the server has taken or refused it. Whoever comes too late
 * looks again at what is still to be done.
 */
export class Membership {
  readonly #parts: MembershipParts;
  readonly #builder: GroupBuilder;
  readonly #working = new Map<ConversationId, Promise<void>>();
  /** Where something is to be seen to in the background, and where that is under way. */
  readonly #needed = new Set<ConversationId>();
  readonly #insisting = new Set<ConversationId>();
  /** Those who wait to be told that something about a group has changed. */
  readonly #watching = new Map<ConversationId, (() => void)[]>();
  #isStopped = false;

  constructor(parts: MembershipParts) {
    this.#parts = parts;
    this.#builder = new GroupBuilder(parts);
  }

  /** Something is to be sent there. Goes on in the background, for as long as it takes. */
  need(conversation: ConversationId): void {
    this.#needed.add(conversation);
    if (!this.#insisting.has(conversation)) void this.#insist(conversation);
  }

  /** Resolves once it holds. @throws ChatError when it cannot be had; closed */
  want(conversation: ConversationId, wish: Wish): Promise<void> {
    const before = this.#working.get(conversation)?.catch(() => {}) ?? Promise.resolve();
    const work = before.then(() => this.#work(conversation, wish));
    this.#working.set(conversation, work);
    return work.finally(() => {
      if (this.#working.get(conversation) === work) this.#working.delete(conversation);
    });
  }

  /** Something of the group was written, or is not to come. */
  changed(conversation: ConversationId, status: ConversationKeys["status"]): void {
    for (const tell of this.#watching.get(conversation)?.splice(0) ?? []) tell();
    if (status === "member") this.#parts.session.sealable(conversation);
    if (status === "broken") this.need(conversation);
  }

  /**
   * What is sealed there is refused again and again. Where the log brings nothing that leads to the server's epoch, it has
   * left the log before this device had it.
   */
  async verify(conversation: ConversationId): Promise<void> {
    const { service, session } = this.#parts;
    const standing = await service.group(conversation);
    if (standing && session.position(conversation) >= standing.seq) await this.#lose(conversation, standing.epoch);
  }

  stop(): void {
    this.#isStopped = true;
    for (const watchers of this.#watching.values()) for (const tell of watchers.splice(0)) tell();
  }

  /** Passing failures are tried again, ever more slowly; others end what waits to be sent. What is wanted has its turn meanwhile. */
  async #insist(conversation: ConversationId): Promise<void> {
    this.#insisting.add(conversation);
    for (let attempt = 0; !this.#isStopped && this.#needed.delete(conversation); attempt++) {
      await this.want(conversation, {}).catch((error) => this.#failed(conversation, attempt, error));
    }
    this.#insisting.delete(conversation);
  }

  async #failed(conversation: ConversationId, attempt: number, error: unknown): Promise<void> {
    if (this.#isStopped) return;
    const { code, retry } = error instanceof ChatError ? error : new ChatError("unavailable");
    if (retry === "never") return this.#parts.session.unsendable(conversation, code);
    this.#needed.add(conversation);
    await this.#pause(conversation, backOff(attempt, retry));
  }

  async #work(conversation: ConversationId, wish: Wish): Promise<void> {
    for (let waits = 0; !this.#isStopped; ) {
      const keys = await this.#parts.writer.keys(conversation);
      if (keys.pending) await this.#submit(conversation, keys.pending);
      else if (keys.status === "member" && !(await this.#prepare(conversation, keys, wish))) {
        return this.#parts.session.sealable(conversation);
      } else if (keys.status !== "member" && !(await this.#enter(conversation, keys, wish, waits < MAX_WAITS))) {
        waits++;
        await this.#pause(conversation, MEMBERSHIP_RETRY_MS);
      }
    }
    throw new ChatError("closed");
  }

  /** @returns false if nothing is left to do */
  async #prepare(conversation: ConversationId, keys: ConversationKeys, wish: Wish): Promise<boolean> {
    const { group } = keys;
    const change = group && (await this.#builder.changeFor(conversation, group, wish));
    if (!group || !change) return false;
    return this.#commit(conversation, (current) =>
      current.group?.epoch === group.epoch ? this.#parts.mls.commit(current.group, change) : undefined,
    );
  }

  /** Begins the group, or joins it from outside. @returns false if this device has to wait for what the log brings */
  async #enter(conversation: ConversationId, keys: ConversationKeys, wish: Wish, isPatient: boolean): Promise<boolean> {
    const { service, session, mls } = this.#parts;
    const standing = await service.group(conversation);
    if (!standing) {
      // It begins with the first message, and with all devices that there are then.
      const mayBegin = wish.isNew || directMembers(conversation).length > 0;
      if (wish.ownDevices || !mayBegin) throw new ChatError("not_found");
      const founded = await this.#builder.found(conversation, wish);
      return this.#commit(conversation, () => mls.commit(founded.group, founded.change));
    }
    // A Welcome may stand in the log, up to there; but whoever made that commit may have gone before anybody was told of it.
    if (!session.isCaughtUp || (isPatient && session.position(conversation) < standing.seq)) return false;
    if (keys.status === "removed") throw new ChatError("not_found");
    return this.#commit(conversation, ({ reached }) => this.#builder.joinFromOutside(conversation, standing, reached));
  }

  /** Stores a commit that is to be submitted. @returns true: something has changed, in one way or another */
  async #commit(
    conversation: ConversationId,
    make: (keys: ConversationKeys) => ReturnType<Mls["commit"]> | undefined,
  ): Promise<boolean> {
    const { writer, session } = this.#parts;
    await writer.change(async (write) => {
      const keys = await write.keys(conversation);
      const made = keys.pending ? undefined : await make(keys);
      if (!made) return;
      await write.update(conversation, { pending: { ...made, id: session.mintId() } });
    });
    return true;
  }

  async #submit(conversation: ConversationId, pending: PendingCommit): Promise<void> {
    const { service, session } = this.#parts;
    const isAdopted = this.#change(conversation);
    const after = session.position(conversation);
    try {
      const answer = await service.submit(conversation, { ...pending, after });
      if (answer.accepted) {
        await Promise.race([isAdopted, session.wait(ADOPTION_WAIT_MS)]);
        // The log has gone past its place without it: it will not come any more.
        if (session.position(conversation) >= answer.seq) await this.#drop(conversation, pending.id);
      } else await this.#giveUp(conversation, pending.id, after, answer);
    } catch (error) {
      // What was refused for good will not be taken later either.
      if (error instanceof ChatError && !error.retryable) await this.#drop(conversation, pending.id);
      throw error;
    }
  }

  async #giveUp(
    conversation: ConversationId,
    id: MessageId,
    after: Cursor,
    answer: Extract<CommitAnswer, { accepted: false }>,
  ): Promise<void> {
    await this.#drop(conversation, id, answer.epoch === null);
    if (answer.missed.length > 0) {
      this.#parts.session.missed(conversation, after, answer.through, answer.missed);
    } else if (answer.epoch !== null && after >= answer.through) await this.#lose(conversation, answer.epoch);
    // What has moved the group on is on its way here.
    await this.#pause(conversation, MEMBERSHIP_RETRY_MS);
  }

  /** @param isGroupGone the server knows of no group: what this device has of one is worth nothing */
  async #drop(conversation: ConversationId, id: MessageId, isGroupGone = false): Promise<void> {
    await this.#parts.writer.change(async (write) => {
      const { pending, reached } = await write.keys(conversation);
      if (pending?.id !== id) return;
      await write.update(conversation, isGroupGone ? { ...noKeys, reached } : { pending: undefined });
    });
  }

  /** This device has all there is, and yet is not in the epoch that the server says holds. */
  async #lose(conversation: ConversationId, epoch: number): Promise<void> {
    await this.#parts.writer.change(async (write) => {
      const { group, status } = await write.keys(conversation);
      if (status !== "member" || !group || group.epoch >= epoch) return;
      await write.update(conversation, { status: "broken", group: undefined, pending: undefined });
    });
  }

  #change(conversation: ConversationId): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#watching.set(conversation, [...(this.#watching.get(conversation) ?? []), resolve]);
    return promise;
  }

  async #pause(conversation: ConversationId, ms: number): Promise<void> {
    if (!this.#isStopped) await Promise.race([this.#change(conversation), this.#parts.session.wait(ms)]);
  }
}

/** For what is already in the log. */
const MAX_WAITS = ADOPTION_WAIT_MS / MEMBERSHIP_RETRY_MS;

function backOff(attempt: number, retry: Retry): number {
  const least = typeof retry === "number" ? retry : 0;
  return Math.max(least, Math.min(MEMBERSHIP_RETRY_MS * 2 ** attempt, MEMBERSHIP_RETRY_MAX_MS));
}
