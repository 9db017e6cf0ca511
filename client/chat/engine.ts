import * as v from "valibot";
import { ConversationId, isForeign, type UserId } from "../../shared/ids.ts";
import { joinBodies } from "../../shared/protocol/codec.ts";
import { ChatError, type ChatErrorCode } from "../chat-error.ts";
import type { Content } from "../content.ts";
import { encodeContent } from "../content.ts";
import type { Credentials } from "../credentials.ts";
import type { Authenticator } from "../encryption/authenticator.ts";
import { usersOf } from "../encryption/conversation-keys.ts";
import type { OpenedEntry } from "../encryption/device-writer.ts";
import { Encryption } from "../encryption/encryption.ts";
import type { MembershipSession, Wish } from "../encryption/membership.ts";
import type { Noticed } from "../encryption/write.ts";
import type { AccountKey } from "../identity/account-key.ts";
import type { Identity } from "../identity/pins.ts";
import type { SafetyCheck } from "../identity/safety-number.ts";
import { Listeners } from "../listeners.ts";
import type { Authenticate, Mls } from "../mls/mls.ts";
import { OutgoingMessages, type SentMessage } from "../outgoing.ts";
import { sleep } from "../patience.ts";
import { Runner } from "../runner.ts";
import type { AppEvent, AppEventType, Change, ReceivedMessage, SealedMessage } from "../session/contract.ts";
import { mintId } from "../session/message-ids.ts";
import { initialState, type SessionState } from "../session/state.ts";
import type { Store } from "../store/store.ts";
import { decidesTicks } from "../ticks.ts";
import type { Transport } from "../transport.ts";
import type { Base } from "./base.ts";
import type { ChatEvents } from "./chat-events.ts";
import { Erasing } from "./erasing.ts";
import { Healing } from "./healing.ts";
import { type MessageRef, receivedMessage } from "./message.ts";
import { Requests } from "./requests.ts";
import { Timers } from "./timers.ts";

export interface EngineOptions {
  readonly account: Credentials;
  readonly store: Store;
  readonly client: string;
  readonly transport: Transport;
  readonly mls: (authenticate: Authenticate) => Mls;
  readonly accountKey?: AccountKey;
  readonly resetIdentity?: boolean;
}

type PassedOn = Exclude<AppEventType, "message" | "queued" | "refused" | "keys_low" | "behind" | "orphans">;

/** One device at work: the session, its encryption and its store. What an app sees of it are the namespaces of `Chat`. */
export class Engine implements Base {
  readonly account: Credentials;
  readonly store: Store;
  readonly listeners = new Listeners<ChatEvents>();
  readonly #runner: Runner;
  readonly #outgoing = new OutgoingMessages();
  readonly #healing = new Healing(this);
  readonly #erasing = new Erasing(this);
  readonly #timers = new Timers(this);
  readonly #requests: Requests;
  /** What the write under way has opened, until it is told. */
  readonly #opened = new Map<string, OpenedEntry>();
  readonly #end = new AbortController();
  #encryption: Encryption | undefined;
  #closedBy: ChatErrorCode | undefined;

  private constructor({ account, store, transport }: EngineOptions, state: SessionState, requests: Requests) {
    this.account = account;
    this.store = store;
    this.#requests = requests;
    this.#runner = new Runner(state, {
      ...{ account, transport },
      persist: (changes) => this.#persist(changes),
      prepare: (framed) =>
        this.encryption.intake.isReady(framed) ? undefined : this.encryption.intake.prepare(framed),
      emit: (event) => this.#hear(event),
    });
  }

  /** @throws ChatError */
  static async open(options: EngineOptions): Promise<Engine> {
    const { account, client, store, mls, accountKey, resetIdentity: reset } = options;
    const { user, device } = account;
    const owner = { user, device };
    const stored = await store.load(owner);
    const state = initialState({ ...owner, client, random: Math.random }, stored);
    const engine = new Engine(options, state, await Requests.load(store));
    engine.#encryption = await Encryption.open({
      ...{ owner, store, mls, service: account.delivery, session: engine.#membershipSession() },
      ...(accountKey && { accountKey }),
      ...(reset && { reset }),
      noticed: (noticed) => engine.#noticed(noticed),
      keyChanged: (change) => engine.listeners.tell("key_changed", change),
      held: (conversation, users) => engine.listeners.tell("held", { conversation, users }),
    });
    engine.authenticator.listeners.add("pinned", (person) => engine.listeners.tell("identity_changed", person));
    for (const { id, body } of stored.outbox) if (body) engine.encryption.transcripts.sealed(id, body);
    return engine;
  }

  get encryption(): Encryption {
    if (!this.#encryption) throw new ChatError("closed");
    return this.#encryption;
  }

  get state(): SessionState {
    return this.#runner.state;
  }

  /** The server's clock, as well as it is known: ms since 1970. */
  get now(): number {
    return serverNow(this.state);
  }

  get dispatch(): Runner["dispatch"] {
    return (event) => this.#runner.dispatch(event);
  }

  get authenticator(): Authenticator {
    return this.encryption.authenticator;
  }

  get held(): ReadonlyMap<ConversationId, readonly UserId[]> {
    return this.encryption.held;
  }

  /**
   * With the conversation's timer.
   * @param request under which the message can be found again
   * @throws ChatError, ContentError
   */
  async send(conversation: ConversationId, content: Content, request?: string): Promise<SentMessage> {
    return this.queue(conversation, await this.#timers.apply(conversation, content), request);
  }

  /**
   * Fulfilled when the message is in the outbox: it will not be lost any more.
   * @throws ChatError not_found, if no conversation of this person's can have that id; ContentError
   */
  async queue(conversation: ConversationId, content: Content, request?: string): Promise<SentMessage> {
    this.throwIfClosed();
    const isPossible = v.is(ConversationId, conversation) && !isForeign(conversation, this.account.user);
    if (!isPossible) throw new ChatError("not_found");
    const bytes = encodeContent(content);
    const { ref, queued } = this.#outgoing.add();
    const named = request === undefined ? {} : { request };
    this.#runner.dispatch({ type: "send", ref, conversation, content: bytes, ...named });
    return queued;
  }

  /** The message that was asked for under this name, perhaps in an earlier run; undefined if none was, or long ago. */
  async requested(request: string): Promise<SentMessage | undefined> {
    const message = this.#requests.find(request);
    return message && this.follow(message);
  }

  /** What becomes, or has become, of a message that was in the outbox. */
  async follow(message: Pick<SentMessage, "conversation" | "id" | "at">): Promise<SentMessage> {
    this.throwIfClosed();
    const { conversation, id } = message;
    const known = this.#outgoing.find(id);
    if (known) return known;
    const resumed = this.#outgoing.resume(message);
    const row = await this.store.find(conversation, id);
    // What is not here any more had failed, and was put away.
    const code = row ? row.failure : "not_found";
    if (row?.seq !== undefined) this.#outgoing.follow({ type: "sent", conversation, id, seq: row.seq, at: row.at });
    else if (code !== undefined) this.#outgoing.follow({ type: "failed", conversation, id, code });
    return resumed;
  }

  async hide(message: MessageRef): Promise<void> {
    await this.#erasing.hide(message);
  }

  /** None if this device is no member. */
  async members(conversation: ConversationId): Promise<UserId[]> {
    const { group } = await this.encryption.writer.keys(conversation);
    return [...usersOf(group)];
  }

  want(conversation: ConversationId, wish: Wish): Promise<void> {
    return this.encryption.membership.want(conversation, wish);
  }

  markVerified(compared: Identity): Promise<SafetyCheck> {
    return this.encryption.markVerified(compared);
  }

  acceptKey(user: UserId): Promise<void> {
    return this.encryption.acceptKey(user);
  }

  /** A message that could not be opened was said again. */
  replaced(conversation: ConversationId, seq: number): void {
    this.listeners.tell("replaced", { conversation, seq });
  }

  throwIfClosed(): void {
    if (this.#closedBy) throw new ChatError(this.#closedBy);
  }

  /** Disconnects, and waits until what has been asked for is persisted. */
  async close(): Promise<void> {
    this.#closedBy ??= "closed";
    this.#runner.dispatch({ type: "disconnect" });
    this.encryption.stop();
    this.#end.abort();
    this.#healing.stop();
    await this.#erasing.stop();
    await this.#runner.written();
    // Nothing is under way in the writer after this.
    await this.encryption.writer.change(async () => {});
    this.#runner.stop();
    this.#outgoing.abandon(this.#closedBy);
  }

  #persist(changes: readonly Change[]): Promise<readonly SealedMessage[]> {
    const all = [...changes, ...this.#requests.recordsOf(changes)];
    return this.encryption.writer.write(all, (message, entry) => this.#opened.set(keyOf(message), entry));
  }

  #hear(event: AppEvent): void {
    if (event.type === "message") this.#received(event);
    else if (event.type === "queued" || event.type === "refused") this.#settle(event);
    else if (event.type === "keys_low") void this.encryption.refill().catch(() => {});
    else if (event.type === "behind") void this.encryption.membership.verify(event.conversation).catch(() => {});
    else if (event.type === "orphans") void this.encryption.removeOrphans(event.conversation).catch(() => {});
    else this.#passOn(event);
  }

  #settle(event: Extract<AppEvent, { type: "queued" | "refused" }>): void {
    this.#outgoing.settle(event);
    if (event.type === "refused") return;
    const { conversation, id, at } = event;
    this.listeners.tell("queued", { conversation, id, at });
  }

  #received(event: Extract<AppEvent, { type: "message" }>): void {
    const entry = this.#opened.get(keyOf(event));
    this.#opened.delete(keyOf(event));
    if (!entry) return;
    const message = receivedMessage(event, entry, this.account.user);
    if (!this.#healing.hear(message)) this.listeners.tell("message", message);
  }

  #passOn(event: Extract<AppEvent, { type: PassedOn }>): void {
    if (event.type === "sent" || event.type === "failed" || event.type === "renamed") this.#outgoing.follow(event);
    if (event.type === "renamed") this.#requests.renamed(event);
    if (event.type === "state" && event.state === "closed") {
      this.#closedBy = event.code ?? "closed";
      this.#outgoing.abandon(this.#closedBy);
    }
    if (event.type === "caught_up") {
      void this.encryption.refillIfDue().catch(() => {});
      void this.encryption.resume().catch(() => {});
      void this.#healing.resume().catch(() => {});
    }
    this.listeners.tell(event.type, event);
    if (event.type !== "receipt" || !decidesTicks(event, this.account.user)) return;
    const { conversation, delivered, read } = event;
    this.listeners.tell("ticks", { conversation, delivered, read });
  }

  #noticed(noticed: Noticed): void {
    const { conversation } = noticed;
    if (noticed.type === "group_changed") this.listeners.tell("group_changed", { conversation });
    if (noticed.type === "unreadable") void this.#healing.miss(conversation, noticed.seq).catch(() => {});
    if (noticed.type === "history_differs") {
      const { seq, how } = noticed;
      this.listeners.tell("history_differs", { conversation, seq, how });
    }
  }

  #membershipSession(): MembershipSession {
    const runner = this.#runner;
    return {
      get now() {
        return serverNow(runner.state);
      },
      get isCaughtUp() {
        return runner.state.caughtUp;
      },
      position: (conversation) => runner.state.conversations.get(conversation)?.have ?? 0,
      mintId: () => mintId(serverNow(runner.state), undefined, Math.random),
      wait: (ms) => sleep(ms, this.#end.signal).catch(() => {}),
      sealable: (conversation) => runner.dispatch({ type: "sealable", conversation }),
      unsendable: (conversation, code) => runner.dispatch({ type: "unsendable", conversation, code }),
      missed: (conversation, after, through, messages) => this.#missed(conversation, after, through, messages),
    };
  }

  /** As if it had come over the socket. */
  #missed(conversation: ConversationId, after: number, through: number, messages: readonly ReceivedMessage[]): void {
    const entries = messages.map(({ conversation: _, body, ...meta }) => ({ ...meta, length: body.byteLength }));
    const frame = { type: "entries", conversation, after, through, entries } as const;
    this.#runner.receive({ frame, body: joinBodies(messages.map(({ body }) => body)) });
  }
}

function serverNow({ clockOffset = 0 }: SessionState): number {
  return Date.now() + clockOffset;
}

function keyOf({ conversation, seq }: { conversation: ConversationId; seq: number }): string {
  return `${conversation} ${seq}`;
}
