import { type ConversationId, directConversation, directMembers, directPeer, type UserId } from "../../shared/ids.ts";
import { MAX_BLOCKED_PER_USER } from "../../shared/limits.ts";
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

/** How long somebody's removal waits for what is just being sent to them. */
const SETTLE_MS = 50;

/** How a person stands to others: accepted, blocked, or a stranger who has written (docs/protocol.md R12). */
export class Peers {
  readonly #person: Person;
  readonly #sends: Sends;

  constructor(person: Person, sends: Sends) {
    this.#person = person;
    this.#sends = sends;
  }

  set(call: CallId, { peer, change, requestId }: SetPeer): void {
    if (change === "accept") this.#accept(call, peer);
    else if (change === "block") this.#block(call, peer, requestId);
    else this.#unblock(call, peer, requestId);
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
      conversations,
    };
  }

  presence({ viewer }: AskPresence): PresenceReply {
    const person = this.#person;
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
    if (this.#sends.abandon(conversation)) {
      return person.later(SETTLE_MS, () => this.forget(call, { peer, requestId }));
    }
    if (person.store.exists) person.forget(conversation, peer);
    person.reply(call, undefined);
  }

  #accept(call: CallId, peer: UserId): void {
    this.#person.accept(peer);
    this.#tell(call, peer);
  }

  /** The row first: from now on nothing leaves this object towards them, whatever becomes of the call. */
  #block(call: CallId, peer: UserId, requestId: string): void {
    const person = this.#person;
    if (peer === person.id || this.#blockedCount() >= MAX_BLOCKED_PER_USER) {
      return person.reply(call, { ok: false, code: "too_many" });
    }
    person.setPeer(peer, { ...person.peer(peer), isBlocked: true });
    this.#hide(call, peer, true, requestId, () => this.#tell(call, peer));
  }

  /** The row last: as long as the conversation still hides, the person has still blocked. */
  #unblock(call: CallId, peer: UserId, requestId: string): void {
    const person = this.#person;
    if (!person.peer(peer).isBlocked) return person.reply(call, { ok: true });
    this.#hide(call, peer, false, requestId, () => {
      person.setPeer(peer, { ...person.peer(peer), isBlocked: false });
      person.reply(call, { ok: true });
    });
  }

  #hide(call: CallId, peer: UserId, blocked: boolean, requestId: string, then: () => void): void {
    const person = this.#person;
    const id: ConversationId = directConversation(peer, person.id);
    const args = { user: person.id, blocked, requestId };
    person.request({ to: "conversation", id, method: "setBlock", args }, (result) => {
      if (result.ok) then();
      else person.emit({ do: "fail", call });
    });
  }

  /** Somebody who is gone meanwhile leaves no trace here either. */
  #tell(call: CallId, peer: UserId): void {
    const person = this.#person;
    person.request({ to: "user", id: peer, method: "notePeer", args: { peer: person.id } }, (result) => {
      if (!result.ok) return person.emit({ do: "fail", call });
      if (!(result.value as NotePeerReply).isHere) person.forget(directConversation(peer, person.id), peer);
      person.reply(call, { ok: true });
    });
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
