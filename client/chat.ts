import { type ConversationId, type DeviceId, directConversation, type MessageId, type UserId } from "../shared/ids.ts";
import { ChatError, type ChatErrorCode } from "./chat-error.ts";
import { type Content, decodeContent, encodeContent, unreadable } from "./content.ts";
import type { Credentials } from "./credentials.ts";
import { Listeners } from "./listeners.ts";
import { OutgoingMessages, type SentMessage } from "./outgoing.ts";
import { Runner } from "./runner.ts";
import { plainSealer, type Sealer } from "./sealing.ts";
import type { AppEvent, AppEventType, Change, Phase, ReceivedMessage } from "./session/contract.ts";
import { initialState } from "./session/state.ts";
import type { MessagePage, Store, StoredMessage } from "./store/store.ts";
import { decidesTicks, type MessageStatus, statusOf, type Ticks, ticksOf } from "./ticks.ts";
import { type Transport, webSocketTransport } from "./transport.ts";

export interface ChatOptions {
  /** Whose messages, and on which device. */
  readonly account: Credentials;
  /** Stays open when the chat is disposed of: it belongs to whoever made it. */
  readonly store: Store;
  /** Name and version of the app, for the server's logs. */
  readonly client: string;
  readonly sealer?: Sealer;
  readonly transport?: Transport;
}

export interface Message {
  readonly conversation: ConversationId;
  readonly id: MessageId;
  /** Its place; undefined as long as the server has not given it one. */
  readonly seq: number | undefined;
  readonly user: UserId;
  readonly device: DeviceId;
  readonly at: number;
  readonly content: Content;
  readonly status: MessageStatus;
  readonly failure: ChatErrorCode | undefined;
}

export interface ConversationOverview {
  readonly conversation: ConversationId;
  readonly read: number;
  readonly unread: number;
  readonly last: Message | undefined;
}

type PassedOn = Exclude<AppEventType, "message" | "queued" | "refused">;

/** What an app can listen to. */
export type ChatEvents = { readonly [T in PassedOn]: Omit<Extract<AppEvent, { type: T }>, "type"> } & {
  readonly message: Message;
  /** Every message of mine up to `delivered` is ✓✓, up to `read` is read. */
  readonly ticks: Ticks & { readonly conversation: ConversationId };
};

/** Private messaging on one device. Everything that is sent or shown is in the store first. */
export class Chat implements AsyncDisposable {
  readonly user: UserId;
  readonly device: DeviceId;
  readonly #store: Store;
  readonly #sealer: Sealer;
  readonly #runner: Runner;
  readonly #listeners = new Listeners<ChatEvents>();
  readonly #outgoing = new OutgoingMessages();
  /** Contents of the write under way, until they are told. */
  readonly #opened = new Map<string, Content>();
  #sealing: Promise<unknown> = Promise.resolve();
  #closedBy: ChatErrorCode | undefined;

  private constructor(options: ChatOptions, runner: (chat: Chat) => Runner) {
    this.user = options.account.user;
    this.device = options.account.device;
    this.#store = options.store;
    this.#sealer = options.sealer ?? plainSealer;
    this.#runner = runner(this);
  }

  static async open(options: ChatOptions): Promise<Chat> {
    const { account, client, store, transport = webSocketTransport } = options;
    const { user, device } = account;
    const stored = await store.load({ user, device });
    const state = initialState({ user, device, client, random: Math.random }, stored);
    return new Chat(options, (chat) => {
      const persist = (changes: readonly Change[]) => chat.#persist(changes);
      const emit = (event: AppEvent) => chat.#hear(event);
      return new Runner(state, { account, transport, persist, emit });
    });
  }

  get state(): Phase {
    return this.#runner.state.phase;
  }

  connect(): void {
    this.#runner.dispatch({ type: "connect" });
  }

  disconnect(): void {
    this.#runner.dispatch({ type: "disconnect" });
  }

  /** The conversation with another person. */
  direct(user: UserId): ConversationId {
    return directConversation(this.user, user);
  }

  /** Fulfilled when everything there was at the time of connecting is in the store. @throws ChatError if that cannot be */
  async whenCaughtUp(): Promise<void> {
    if (this.#runner.state.caughtUp) return;
    this.#throwIfClosed();
    await new Promise<void>((resolve, reject) => {
      const caughtUp = this.on("caught_up", () => settle(resolve));
      const closed = this.on("state", ({ state, code }) => {
        if (state === "closed") settle(() => reject(new ChatError(code ?? "closed")));
      });
      const settle = (end: () => void) => {
        caughtUp();
        closed();
        end();
      };
    });
  }

  /** Fulfilled when the message is in the outbox: it will not be lost any more. `sent` tells when the server has it. */
  send(conversation: ConversationId, text: string): Promise<SentMessage> {
    return this.sendContent(conversation, { kind: "text", text });
  }

  async sendContent(conversation: ConversationId, content: Content): Promise<SentMessage> {
    this.#throwIfClosed();
    const sealed = this.#sealing.then(() => this.#sealer.seal(conversation, content));
    this.#sealing = sealed.catch(() => {});
    const body = await sealed;
    this.#throwIfClosed();
    const { ref, queued } = this.#outgoing.add();
    this.#runner.dispatch({ type: "send", ref, conversation, body, content: encodeContent(content) });
    return queued;
  }

  /** Everything up to `seq` has been read. */
  markRead(conversation: ConversationId, seq: number): void {
    this.#runner.dispatch({ type: "read", conversation, seq });
  }

  /** To be called with every key; what the server hears of it is limited here. */
  typing(conversation: ConversationId): void {
    this.#runner.dispatch({ type: "typing", conversation });
  }

  async messages(conversation: ConversationId, page: MessagePage = { limit: 50 }): Promise<Message[]> {
    const messages = await this.#store.messages(conversation, page);
    return messages.map((message) => this.#view(message));
  }

  async conversations(): Promise<ConversationOverview[]> {
    const summaries = await this.#store.conversations();
    return summaries.map(({ conversation, read, unread, last }) => ({
      ...{ conversation, read, unread },
      last: last && this.#view(last),
    }));
  }

  /** @returns a function that ends the subscription */
  on<T extends keyof ChatEvents>(type: T, listener: (event: ChatEvents[T]) => void): () => void {
    return this.#listeners.add(type, listener);
  }

  /** Disconnects, and waits until what has been asked for is persisted. What is unsent stays in the outbox. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closedBy ??= "closed";
    this.disconnect();
    await this.#sealing;
    await this.#runner.written();
    this.#runner.stop();
    this.#outgoing.abandon(this.#closedBy);
  }

  #throwIfClosed(): void {
    if (this.#closedBy) throw new ChatError(this.#closedBy);
  }

  #view({ content, failure, ...message }: StoredMessage): Message {
    const ticks = ticksOf(this.#runner.state.conversations.get(message.conversation), message.conversation, this.user);
    const status = statusOf({ ...message, failure }, ticks, this.user);
    return { ...message, failure, status, content: readContent(content) };
  }

  /** The store keeps what the messages say: what was sealed may be opened only once. */
  async #persist(changes: readonly Change[]): Promise<void> {
    const opened: Change[] = [];
    for (const change of changes) {
      opened.push(change.type === "message" ? { ...change, body: await this.#open(change) } : change);
    }
    await this.#store.persist(opened);
  }

  async #open(message: ReceivedMessage): Promise<Uint8Array> {
    const { conversation, body, user, device } = message;
    const content = await openOrNot(() => this.#sealer.open(conversation, body, { user, device }));
    this.#opened.set(keyOf(message), content);
    return encodeContent(content);
  }

  #hear(event: AppEvent): void {
    if (event.type === "message") this.#received(event);
    else if (event.type === "queued" || event.type === "refused") this.#outgoing.settle(event);
    else this.#passOn(event);
  }

  #received({ type: _, body: __, ...message }: Extract<AppEvent, { type: "message" }>): void {
    const content = this.#opened.get(keyOf(message)) ?? unreadable;
    this.#opened.delete(keyOf(message));
    const status = message.user === this.user ? "sent" : "received";
    this.#listeners.tell("message", { ...message, content, status, failure: undefined });
  }

  #passOn(event: Extract<AppEvent, { type: PassedOn }>): void {
    if (event.type === "sent" || event.type === "failed" || event.type === "renamed") this.#outgoing.follow(event);
    if (event.type === "state" && event.state === "closed") {
      this.#closedBy = event.code ?? "closed";
      this.#outgoing.abandon(this.#closedBy);
    }
    this.#listeners.tell(event.type, event);
    if (event.type !== "receipt" || !decidesTicks(event, this.user)) return;
    const { conversation, delivered, read } = event;
    this.#listeners.tell("ticks", { conversation, delivered, read });
  }
}

async function openOrNot(open: () => Promise<Content> | Content): Promise<Content> {
  try {
    return await open();
  } catch {
    return unreadable;
  }
}

function readContent(bytes: Uint8Array): Content {
  try {
    return decodeContent(bytes);
  } catch {
    return unreadable;
  }
}

function keyOf({ conversation, seq }: { conversation: ConversationId; seq: number }): string {
  return `${conversation} ${seq}`;
}
