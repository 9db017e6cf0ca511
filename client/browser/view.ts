import type { ConversationId, UserId } from "../../shared/ids.ts";
import type { BaseState, Position } from "../chat/base.ts";
import type { ChatEvents } from "../chat/chat-events.ts";
import type { Engine } from "../chat/engine.ts";
import type { ChatErrorCode } from "../chat-error.ts";
import type { Identity, Pin } from "../identity/pins.ts";
import type { Phase } from "../session/contract.ts";
import type { SessionState } from "../session/state.ts";
import type { Owner } from "../store/store.ts";

type SessionPart = Pick<SessionState, "phase" | "closedBy" | "caughtUp" | "clockOffset">;
type Queue = Position["queue"];

/** What the leader knows besides what is stored, as far as the other tabs need it. */
export interface Snapshot {
  /** Of which leader. */
  readonly reign: string;
  readonly owner: Owner;
  readonly own: Identity;
  readonly pins: ReadonlyMap<UserId, Pin>;
  readonly held: ReadonlyMap<ConversationId, readonly UserId[]>;
  readonly session: SessionPart;
  readonly conversations: readonly (readonly [ConversationId, Position])[];
}

/** What has changed of it with an event. What is on its way follows from the event itself, but for what a message says. */
export interface Change {
  readonly session?: SessionPart | undefined;
  readonly pin?: Pin | undefined;
  readonly position?: Omit<Position, "queue"> | undefined;
  readonly content?: Uint8Array | undefined;
}

/** An event of the chat by its name. */
export type Happening = {
  readonly [Name in keyof ChatEvents]: { readonly name: Name; readonly event: ChatEvents[Name] };
}[keyof ChatEvents];

export function snapshotOf(engine: Engine, reign: string): Snapshot {
  const { account, authenticator, held, state } = engine;
  const { own, pins } = authenticator;
  return {
    reign,
    owner: { user: account.user, device: account.device },
    own: { user: own.user, accountKey: own.accountKey },
    ...{ pins, held, session: sessionOf(engine) },
    conversations: [...state.conversations].map(([conversation, { have, read, peers, queue }]) => {
      return [conversation, { have, read, peers, queue: queue.map(({ id, content }) => ({ id, content })) }];
    }),
  };
}

export function changeWith({ name, event }: Happening, engine: Engine): Change {
  if (name === "state" || name === "caught_up") return { session: sessionOf(engine) };
  if (name === "identity_changed") return { pin: engine.authenticator.pin(event.user) };
  if (!("conversation" in event) || event.conversation === undefined) return {};
  const conversation = engine.state.conversations.get(event.conversation);
  if (!conversation) return {};
  const { have, read, peers, queue } = conversation;
  const position = { have, read, peers };
  return name === "queued" ? { position, content: queue.findLast(({ id }) => id === event.id)?.content } : { position };
}

function sessionOf({ state: { phase, closedBy, caughtUp, clockOffset } }: Engine): SessionPart {
  return { phase, closedBy, caughtUp, clockOffset };
}

/** What the leader knows, as another tab has it: from a snapshot on it follows the events. */
export class View implements BaseState {
  readonly reign: string;
  readonly owner: Owner;
  readonly own: Identity;
  readonly conversations: Map<ConversationId, Position>;
  readonly held: Map<ConversationId, readonly UserId[]>;
  readonly #pins: Map<UserId, Pin>;
  #session: SessionPart;

  constructor({ reign, owner, own, pins, held, session, conversations }: Snapshot) {
    this.reign = reign;
    this.owner = owner;
    this.own = own;
    this.conversations = new Map(conversations);
    this.held = new Map(held);
    this.#pins = new Map(pins);
    this.#session = session;
  }

  get phase(): Phase {
    return this.#session.phase;
  }

  /** The app wants to be connected. */
  get isWanted(): boolean {
    return this.phase !== "offline" && this.phase !== "closed";
  }

  get caughtUp(): boolean {
    return this.#session.caughtUp;
  }

  get closedBy(): ChatErrorCode | undefined {
    return this.#session.closedBy;
  }

  get now(): number {
    return Date.now() + (this.#session.clockOffset ?? 0);
  }

  pin(user: UserId): Pin | undefined {
    return this.#pins.get(user);
  }

  follow(happening: Happening, { session, pin, position, content }: Change): void {
    if (session) this.#session = session;
    if (pin && happening.name === "identity_changed") this.#pins.set(happening.event.user, pin);
    if (happening.name === "held") this.#hold(happening.event);
    if (!position || !("conversation" in happening.event) || happening.event.conversation === undefined) return;
    const { conversation } = happening.event;
    const queue = this.conversations.get(conversation)?.queue ?? [];
    this.conversations.set(conversation, { ...position, queue: queueAfter(queue, happening, content) });
  }

  #hold({ conversation, users }: ChatEvents["held"]): void {
    if (users.length > 0) this.held.set(conversation, users);
    else this.held.delete(conversation);
  }

  /** Nothing is led any more from here. */
  close(code: ChatErrorCode): void {
    this.#session = { ...this.#session, phase: "closed", closedBy: code, caughtUp: false };
  }
}

function queueAfter(queue: Queue, { name, event }: Happening, content: Uint8Array | undefined): Queue {
  if (name === "queued") return content ? [...queue, { id: event.id, content }] : queue;
  if (name === "sent" || name === "failed") return queue.filter(({ id }) => id !== event.id);
  if (name !== "renamed") return queue;
  return queue.map((message) => (message.id === event.id ? { ...message, id: event.newId } : message));
}
