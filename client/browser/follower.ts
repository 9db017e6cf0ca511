import type { ConversationId, UserId } from "../../shared/ids.ts";
import type { Base, Command } from "../chat/base.ts";
import type { ChatEvents } from "../chat/chat-events.ts";
import { asChatErrors, toChatError } from "../chat/failure.ts";
import { type MessageRef, readContent, writtenMessage } from "../chat/message.ts";
import { scan } from "../chat/scan.ts";
import { ChatError } from "../chat-error.ts";
import { isBetweenDevices } from "../content/message-state.ts";
import { type Content, encodeContent } from "../content.ts";
import type { Wish } from "../encryption/membership.ts";
import type { Identity } from "../identity/pins.ts";
import type { SafetyCheck } from "../identity/safety-number.ts";
import { Listeners } from "../listeners.ts";
import type { SentMessage } from "../outgoing.ts";
import type { Owner, Store } from "../store/store.ts";
import type { Answered, Asked, Calls, Told } from "./calls.ts";
import type { Served } from "./reign.ts";
import { Sending } from "./sending.ts";
import { leadOrFollow, type Tab } from "./tabs.ts";
import { type Happening, View } from "./view.ts";

export interface FollowerOptions {
  /** The same in all tabs that are one device. */
  readonly name: string;
  readonly store: Store;
  lead(tell: (told: Told) => void): Promise<Served>;
}

/** What is told of work that takes its time. */
export type Work = Exclude<Told, { type: "snapshot" | "event" }>;

/**
 * The device as each tab has it, the one that leads included: it reads what is stored itself, and asks the leader for
 * everything else. Whoever leads, and whether that changes, does not show.
 */
export class Follower implements Base {
  readonly store: Store;
  readonly listeners = new Listeners<ChatEvents>();
  readonly work = new Listeners<{ readonly told: Work }>();
  readonly #tab: Tab;
  #view: View | undefined;
  /** What is told while what was missed before is told. */
  #waiting: Told[] | undefined;

  private constructor({ name, store, lead }: FollowerOptions) {
    this.store = store;
    this.#tab = leadOrFollow({ name, lead: (tell) => lead(tell).catch((error) => this.#fail(toChatError(error))) });
    this.#tab.on("told", (told) => this.#hear(told as Told));
    // With it the next leader begins, for all tabs.
    this.#tab.on("leader", ({ isSelf }) => isSelf && void this.ask("snapshot").catch(() => {}));
  }

  /** When there is a leader. @throws ChatError, if this tab was to lead and cannot */
  static open(options: FollowerOptions): Promise<Follower> {
    return asChatErrors(async () => {
      const follower = new Follower(options);
      await follower.ask("snapshot");
      return follower;
    });
  }

  get account(): Owner {
    return this.state.owner;
  }

  get state(): View {
    if (!this.#view) throw new ChatError("closed");
    return this.#view;
  }

  get now(): number {
    return this.state.now;
  }

  get authenticator(): View {
    return this.state;
  }

  get held(): View["held"] {
    return this.state.held;
  }

  /** @throws ChatError as the leader, or `closed` */
  ask<Method extends keyof Calls>(
    method: Method,
    ...[asked]: Asked<Method> extends undefined ? [] : [asked: Asked<Method>]
  ): Promise<Answered<Method>> {
    return this.#tab.call(method, asked) as Promise<Answered<Method>>;
  }

  dispatch(command: Command): void {
    void this.ask("dispatch", command).catch(() => {});
  }

  async send(conversation: ConversationId, content: Content): Promise<SentMessage> {
    // What is no content may not even pass from one tab to another.
    encodeContent(content);
    const queued = await this.ask("send", { conversation, content });
    return new Sending(queued, this);
  }

  hide(message: MessageRef): Promise<void> {
    const { conversation, id } = message;
    return this.ask("hide", { conversation, id });
  }

  members(conversation: ConversationId): Promise<UserId[]> {
    return this.ask("members", conversation);
  }

  want(conversation: ConversationId, wish: Wish): Promise<void> {
    return this.ask("want", { conversation, wish });
  }

  markVerified(compared: Identity): Promise<SafetyCheck> {
    return this.ask("markVerified", compared);
  }

  acceptKey(user: UserId): Promise<void> {
    return this.ask("acceptKey", user);
  }

  throwIfClosed(): void {
    const { closedBy } = this.state;
    if (closedBy) throw new ChatError(closedBy);
  }

  /** If this tab leads, the next one does from now on. */
  close(): Promise<void> {
    return this.#tab.close();
  }

  #hear(told: Told): void {
    if (this.#waiting) this.#waiting.push(told);
    else if (told.type === "snapshot") this.#begin(new View(told.snapshot));
    else if (told.type === "event") this.#follow(told);
    else this.work.tell("told", told);
  }

  #follow({ name, event, change }: Extract<Told, { type: "event" }>): void {
    this.#view?.follow({ name, event } as Happening, change);
    this.listeners.tell(name, event);
  }

  #begin(view: View): void {
    const before = this.#view;
    this.#view = view;
    if (before && before.reign !== view.reign) void this.#catchUp(before, view);
  }

  /** Another leader: what the one before has not come to tell is told now, and what may have changed is to be read anew. */
  async #catchUp(before: View, view: View): Promise<void> {
    this.#waiting = [];
    const { phase, closedBy } = view;
    if (before.isWanted && phase === "offline") this.dispatch({ type: "connect" });
    if (before.phase !== phase) this.listeners.tell("state", { state: phase, ...(closedBy && { code: closedBy }) });
    for (const [conversation, { have }] of view.conversations) {
      const seen = before.conversations.get(conversation)?.have ?? 0;
      await this.#tellMissed(conversation, seen, have).catch(() => {});
      this.listeners.tell("replaced", { conversation, seq: seen + 1 });
    }
    const waiting = this.#waiting;
    this.#waiting = undefined;
    for (const told of waiting) this.#hear(told);
  }

  async #tellMissed(conversation: ConversationId, after: number, through: number): Promise<void> {
    if (through <= after) return;
    const { user, device } = this.account;
    for await (const row of scan(this.store, conversation, after)) {
      if (row.seq > through) return;
      const isTold = row.device !== device && !isBetweenDevices(readContent(row.content));
      if (isTold) this.listeners.tell("message", writtenMessage(row, user));
    }
  }

  /** This tab was to lead, and cannot. */
  #fail(error: ChatError): never {
    this.#view?.close(error.code);
    if (this.#view) this.listeners.tell("state", { state: "closed", code: error.code });
    throw error;
  }
}
