import { type ConversationId, type MessageId, messageTime } from "../../shared/ids.ts";
import type { UpFrame } from "../../shared/protocol/up.ts";
import type { AppEvent, Change, Effect, Phase, SessionErrorCode, TimerName } from "./contract.ts";
import { type ConversationState, newConversation, type SessionState } from "./state.ts";

/** One step under way: the state so far and the effects so far. Lives only as long as the step. */
export class Turn {
  state: SessionState;
  readonly now: number;
  readonly effects: Effect[] = [];

  constructor(state: SessionState, now: number) {
    this.state = state;
    this.now = now;
  }

  update(part: Partial<SessionState>): void {
    this.state = { ...this.state, ...part };
  }

  /** The server's clock, as well as it is known. */
  get serverNow(): number {
    return this.now + (this.state.clockOffset ?? 0);
  }

  /** It may be refused: the server's clock is not there yet. */
  isAhead(id: MessageId): boolean {
    return messageTime(id) > this.serverNow;
  }

  /** Frames may go up: hello has gone before. */
  get isConnected(): boolean {
    return this.state.phase === "greeting" || this.isWelcome;
  }

  /** The server has answered hello. */
  get isWelcome(): boolean {
    const { phase } = this.state;
    return phase === "live" || phase === "catching_up" || phase === "comparing";
  }

  enter(phase: Phase, code?: SessionErrorCode): void {
    this.update({ phase });
    this.emit({ type: "state", state: phase, ...(code && { code }) });
  }

  conversation(id: ConversationId): ConversationState {
    return this.state.conversations.get(id) ?? newConversation;
  }

  updateConversation(id: ConversationId, part: Partial<ConversationState>): void {
    const { conversations } = this.state;
    this.update({ conversations: conversations.set(id, { ...this.conversation(id), ...part }) });
  }

  emit(event: AppEvent): void {
    this.effects.push({ type: "emit", event });
  }

  transmit(frame: UpFrame, body?: Uint8Array): void {
    this.effects.push({ type: "transmit", frame, ...(body && { body }) });
  }

  startTimer(name: TimerName, ms: number): void {
    this.effects.push({ type: "startTimer", name, ms });
  }

  cancelTimers(...names: TimerName[]): void {
    for (const name of names) this.effects.push({ type: "cancelTimer", name });
  }

  /** Makes the change part of the next write. */
  persist(change: Change): void {
    const { gathering } = this.state;
    this.update({ gathering: { ...gathering, changes: { last: change, before: gathering.changes } } });
  }

  /** Asks for the message to be sealed in the next write. */
  seal(message: { conversation: ConversationId; id: MessageId; content: Uint8Array }): void {
    this.persist({ type: "seal", ...message });
    const { gathering } = this.state;
    this.update({ gathering: { ...gathering, sealing: new Set(gathering.sealing).add(message.conversation) } });
  }

  /** Tells the app once everything gathered so far is persisted. */
  emitOncePersisted(event: AppEvent): void {
    const { gathering } = this.state;
    this.update({ gathering: { ...gathering, events: { last: event, before: gathering.events } } });
  }

  moveCursor(id: ConversationId, staged: number): void {
    this.updateConversation(id, { staged });
    this.#progress(id, { cursor: staged });
  }

  /** The server shall hear how far this device has got, once that is persisted. */
  oweAck(id: ConversationId): void {
    this.#progress(id, { owesAck: true });
  }

  #progress(id: ConversationId, part: { cursor?: number; owesAck?: boolean }): void {
    const { gathering } = this.state;
    const before = gathering.inbox.get(id) ?? { cursor: undefined, owesAck: false };
    this.update({ gathering: { ...gathering, inbox: gathering.inbox.set(id, { ...before, ...part }) } });
  }
}
