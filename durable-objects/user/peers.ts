import { type ConversationId, directConversation, directMembers, directPeer, type UserId } from "../../shared/ids.ts";
import { MAX_BLOCKED_PER_USER, MAX_PARALLEL_TELLINGS, PEER_RETRY_MS, REMOVAL_SETTLE_MS } from "../../shared/limits.ts";
import type {
  AskPresence,
  ForgetPeer,
  NotePeer,
  NotePeerReply,
  PersonOverview,
  PresenceReply,
  SetPeer,
} from "../../shared/rpc.ts";
import type { CallId } from "./effects.ts";
import type { Person } from "./person.ts";
import type { Sends } from "./sends.ts";

/** How a person stands to others: accepted, blocked, or a stranger who has written (docs/protocol.md R12). */
export class Peers {
  readonly #person: Person;
  readonly #sends: Sends;
  /** Others who are just being told: one thing at a time, or the earlier might arrive later. */
  readonly #telling = new Set<UserId>();

  constructor(person: Person, sends: Sends) {
    this.#person = person;
    this.#sends = sends;
  }

  /** The row first; the answer when conversation and other person know. What fails on the way an alarm does again. */
  set(call: CallId, { peer, change, requestId }: SetPeer): void {
    const person = this.#person;
    if (!person.store.exists || person.account.removal) return person.emit({ do: "fail", call });
    const isNew = change === "block" && !person.peer(peer).isBlocked;
    if (peer === person.id || (isNew && this.#blockedCount() >= MAX_BLOCKED_PER_USER))
      return person.reply(call, { ok: false, code: "too_many" });
    if (change === "accept") person.accept(peer, true);
    else this.#setBlocked(peer, change === "block");
    if (!person.peer(peer).isUntold) return person.reply(call, { ok: true });
    this.#tell(peer, requestId, (isTold) => {
      if (isTold) person.reply(call, { ok: true });
      else person.emit({ do: "fail", call });
    });
  }

  /** Somebody is just being told something. */
  isTelling(peer: UserId): boolean {
    return this.#telling.has(peer);
  }

  /** What others have still to be told, some at a time; each alarm begins elsewhere, so that everybody's turn comes. */
  tellUntold(): void {
    const untold = this.#person.store.untoldPeers();
    const alarms = Math.floor(this.#person.now / PEER_RETRY_MS);
    const from = (alarms * MAX_PARALLEL_TELLINGS) % Math.max(1, untold.length);
    const next = [...untold.slice(from), ...untold.slice(0, from)].slice(0, MAX_PARALLEL_TELLINGS);
    for (const peer of next) this.#tell(peer, "", () => {});
  }

  overview(): PersonOverview {
    const person = this.#person;
    const peers = person.store.peers();
    const conversations = person.store.conversations();
    const strangers = conversations.flatMap((conversation) => directPeer(conversation, person.id) ?? []);
    return {
      hasPin: person.account.pin !== undefined,
      blocked: [...peers].filter(([, { isBlocked }]) => isBlocked).map(([id]) => id),
      requests: strangers.filter((id) => !peers.get(id)?.isAccepted && !peers.get(id)?.isBlocked),
      accepted: [...peers].filter(([, { isAccepted }]) => isAccepted).map(([id]) => id),
      conversations,
      alerts: [...person.devices.values()].flatMap(({ id, alerts }) => alerts.map((alert) => ({ ...alert, on: id }))),
      lastSeenAt: person.lastSeenAt() || undefined,
      warnedAt: person.account.warnedAt,
    };
  }

  presence({ viewer }: AskPresence): PresenceReply {
    const person = this.#person;
    person.disconnectSilent();
    if (viewer !== person.id && this.#isHiddenFrom(viewer)) return { isHidden: true };
    return { isHidden: false, isOnline: person.sockets.size > 0, lastSeenAt: person.lastSeenAt() || undefined };
  }

  /** They keep something about this person, so they have to hear of it should this person be removed. */
  note({ peer }: NotePeer): NotePeerReply {
    const person = this.#person;
    const isHere = person.store.exists && person.account.removal === undefined;
    if (isHere && !person.store.peer(peer)) person.setPeer(peer, person.peer(peer));
    return { isHere };
  }

  /** Nothing of the other one stays here. What is under way to them has to end first, or it would bring them back. */
  forget(call: CallId, { peer, requestId }: ForgetPeer): void {
    const person = this.#person;
    const conversation = directConversation(peer, person.id);
    if (this.#sends.abandon(conversation) || this.#telling.has(peer)) {
      return person.later(REMOVAL_SETTLE_MS, () => this.forget(call, { peer, requestId }));
    }
    if (person.store.exists) person.forget(conversation, peer);
    person.reply(call, undefined);
  }

  #setBlocked(peer: UserId, isBlocked: boolean): void {
    const standing = this.#person.peer(peer);
    if (standing.isBlocked === isBlocked) return;
    this.#person.setPeer(peer, { ...standing, isBlocked, version: standing.version + 1, isUntold: true });
  }

  /** The other person first: about somebody who is gone nothing may be kept, here or in the conversation. */
  #tell(peer: UserId, requestId: string, then: (isTold: boolean) => void): void {
    const person = this.#person;
    if (person.account.removal) return then(false);
    if (this.#telling.has(peer)) {
      return person.later(REMOVAL_SETTLE_MS, () => this.#tell(peer, requestId, then));
    }
    this.#telling.add(peer);
    // Whatever becomes of this object meanwhile.
    person.store.armBy(person.now + PEER_RETRY_MS);
    person.request({ to: "user", id: peer, method: "notePeer", args: { peer: person.id } }, (result) => {
      if (!result.ok) return this.#told(peer, undefined, then);
      if ((result.value as NotePeerReply).isHere) return this.#tellConversation(peer, requestId, then);
      this.#telling.delete(peer);
      person.forget(directConversation(peer, person.id), peer);
      then(true);
    });
  }

  #tellConversation(peer: UserId, requestId: string, then: (isTold: boolean) => void): void {
    const person = this.#person;
    const { version, isBlocked } = person.peer(peer);
    if (person.account.removal) return this.#told(peer, undefined, then);
    if (version === 0) return this.#told(peer, version, then);
    const id = directConversation(peer, person.id);
    const args = { user: person.id, blocked: isBlocked, version, requestId };
    person.request({ to: "conversation", id, method: "setBlock", args }, (result) => {
      this.#told(peer, result.ok ? version : undefined, then);
    });
  }

  /** @param version what the others know now; undefined: nobody knows whether they do */
  #told(peer: UserId, version: number | undefined, then: (isTold: boolean) => void): void {
    const person = this.#person;
    this.#telling.delete(peer);
    const standing = person.store.peer(peer);
    if (version !== undefined && standing?.isUntold && standing.version === version)
      person.setPeer(peer, { ...standing, isUntold: false });
    then(version !== undefined);
  }

  #blockedCount(): number {
    return [...this.#person.store.peers().values()].filter(({ isBlocked }) => isBlocked).length;
  }

  #isHiddenFrom(viewer: UserId): boolean {
    const conversation = directConversation(viewer, this.#person.id);
    if (this.#person.peer(viewer).isBlocked) return true;
    return this.#person.knows(conversation) && this.#person.isWithheld(conversation);
  }
}

/** Everybody this person has something to do with, and the conversations that are not with one other. */
export function relationsOf(person: Person): { peers: Set<UserId>; groups: ConversationId[] } {
  const conversations = person.store.conversations();
  const peers = new Set([
    ...person.store.peers().keys(),
    ...conversations.flatMap((id) => directPeer(id, person.id) ?? directMembers(id)),
  ]);
  return { peers, groups: conversations.filter((conversation) => directMembers(conversation).length === 0) };
}
