import { Account, Chat, type ChatEvents, type ChatOptions, isText, type Message } from "../../client/index.ts";
import { SqliteStore } from "../../client/node/index.ts";
import type { Terminal } from "./terminal.ts";

type ConversationId = Message["conversation"];

/** One message of one's own, and when each of its ticks came: ms after it was written. */
export interface Outgoing {
  readonly conversation: ConversationId;
  readonly id: Message["id"];
  readonly text: string;
  readonly writtenAt: number;
  seq?: number;
  sentMs?: number;
  deliveredMs?: number;
  readMs?: number;
}

export interface DeviceOptions {
  readonly owner: string;
  /** How its owner calls it. */
  readonly kind: string;
  readonly url: string;
  readonly storePath: string;
  readonly terminal: Terminal;
  /** By user. */
  readonly names: Map<string, string>;
}

/** Someone's device: an app on the SDK that says what it sees, and remembers it for the summary. */
export class Device {
  readonly options: DeviceOptions;
  readonly name: string;
  /** In the order in which the app was told of them. */
  readonly received: Message[] = [];
  readonly outgoing: Outgoing[] = [];
  readonly alerts: ChatEvents["alert"][] = [];
  readonly #watermarks = new Map<ConversationId, { delivered: number; read: number }>();
  readonly #typists = new Set<string>();
  #store: SqliteStore | undefined;
  #account: Account | undefined;
  #chat: Chat | undefined;

  constructor(options: DeviceOptions) {
    this.options = options;
    this.name = `${options.owner}’s ${options.kind}`;
  }

  get isOpen(): boolean {
    return this.#store !== undefined;
  }

  get isSignedIn(): boolean {
    return this.#account !== undefined;
  }

  get store(): SqliteStore {
    if (!this.#store) throw new Error(`${this.name} is switched off`);
    return this.#store;
  }

  get account(): Account {
    if (!this.#account) throw new Error(`${this.name} is not signed in`);
    return this.#account;
  }

  get user(): string {
    return this.account.user;
  }

  /** Starts the app on what is in its store: signed in, if it was before. */
  async open(): Promise<void> {
    this.#store = new SqliteStore(this.options.storePath);
    const account = await Account.open({ url: this.options.url, store: this.#store });
    if (account) await this.enter(account);
  }

  /** The device is signed in from now on. */
  async enter(account: Account, keys: Pick<ChatOptions, "accountKey"> = {}): Promise<void> {
    this.#account = account;
    this.options.names.set(account.user, this.options.owner);
    this.#chat = await Chat.open({ account, store: this.store, client: "sandpiper-demo", ...keys });
    this.#listen(this.#chat);
  }

  async close(): Promise<void> {
    await this.#chat?.[Symbol.asyncDispose]();
    await this.#store?.close();
    this.#chat = undefined;
    this.#store = undefined;
  }

  /** Fulfilled when everything that there was is on this device. */
  async connect(): Promise<void> {
    this.app.connection.open();
    await this.app.connection.caughtUp();
  }

  disconnect(): void {
    this.app.connection.close();
  }

  async write(to: Device, text: string): Promise<Outgoing> {
    const writtenAt = performance.now();
    const { conversation, id } = await this.app.messages.send(this.#chatWith(to), text);
    const outgoing: Outgoing = { conversation, id, text, writtenAt };
    this.outgoing.push(outgoing);
    this.tell(`writes “${text}”  ${this.#dim("🕓")}`);
    return outgoing;
  }

  /** Follows a message that an earlier run of the app has left in the outbox. */
  adopt({ conversation, id, content }: Message): Outgoing {
    const text = isText(content) ? content.text : "";
    const outgoing: Outgoing = { conversation, id, text, writtenAt: performance.now() };
    this.outgoing.push(outgoing);
    this.tell(`finds “${text}” in its outbox  ${this.#dim("🕓")}`);
    return outgoing;
  }

  type(to: Device): void {
    this.app.conversations.typing(this.#chatWith(to));
  }

  /** Reads everything that is here of the chat with another person. */
  async readAll(other: Device): Promise<void> {
    const messages = await this.app.messages.list(this.#chatWith(other));
    const last = messages.findLast(({ seq }) => seq !== undefined);
    if (last?.seq === undefined) return;
    this.app.conversations.markRead(last.conversation, last.seq);
    this.tell(`reads ${other.options.owner}’s chat`);
  }

  async unread(): Promise<number> {
    const overviews = await this.app.conversations.list();
    return overviews.reduce((sum, { unread }) => sum + unread, 0);
  }

  /** What the store holds, chat by chat, in the order shown. */
  async stored(): Promise<Message[]> {
    const overviews = await this.app.conversations.list();
    const everything = { limit: Number.MAX_SAFE_INTEGER };
    const chats = overviews.map(({ conversation }) => this.app.messages.list(conversation, everything));
    return (await Promise.all(chats)).flat().filter(({ isEvent }) => !isEvent);
  }

  isShownTyping(other: Device): boolean {
    return this.#typists.has(other.user);
  }

  tell(text: string): void {
    this.options.terminal.event(this.name, text);
  }

  get app(): Chat {
    if (!this.#chat) throw new Error(`${this.name} is switched off`);
    return this.#chat;
  }

  #chatWith(other: Device): ConversationId {
    return this.app.conversations.direct(other.user);
  }

  #listen(chat: Chat): void {
    chat.on("message", (message) => this.#receive(message));
    chat.on("sent", ({ id, seq }) => this.#sent(id, seq));
    chat.on("ticks", ({ conversation, delivered, read }) => {
      this.#watermarks.set(conversation, { delivered, read });
      for (const outgoing of this.outgoing) this.#tick(outgoing);
    });
    chat.on("typing", ({ user, active }) => this.#typing(user, active));
    chat.on("alert", (alert) => this.#alert(alert));
  }

  #receive(message: Message): void {
    if (message.isEvent) return;
    this.received.push(message);
    const said = isText(message.content) ? `“${message.content.text}”` : "something unreadable";
    if (message.user === this.user) this.tell(`shows what the other device sent: ${said}`);
    else this.tell(`receives ${said} from ${this.#nameOf(message.user)}`);
  }

  #sent(id: string, seq: number): void {
    const outgoing = this.outgoing.find((message) => message.id === id);
    if (!outgoing) return;
    outgoing.seq = seq;
    outgoing.sentMs = this.#tellTick("✓", outgoing);
    this.#tick(outgoing);
  }

  #tick(outgoing: Outgoing): void {
    const { seq } = outgoing;
    const { delivered, read } = this.#watermarks.get(outgoing.conversation) ?? { delivered: 0, read: 0 };
    if (seq === undefined) return;
    if (seq <= delivered) outgoing.deliveredMs ??= this.#tellTick("✓✓", outgoing);
    if (seq <= read) outgoing.readMs ??= this.#tellTick("✓✓ read", outgoing);
  }

  #tellTick(tick: "✓" | "✓✓" | "✓✓ read", { text, writtenAt }: Outgoing): number {
    const ms = performance.now() - writtenAt;
    const shown = tick === "✓✓ read" ? this.options.terminal.paint("blue", tick) : this.#dim(tick);
    this.tell(`“${text}”  ${shown}`);
    return ms;
  }

  #typing(user: string, active: boolean): void {
    if (!active) return void this.#typists.delete(user);
    this.#typists.add(user);
    this.tell(`${this.#nameOf(user)} is typing …`);
  }

  #alert(alert: ChatEvents["alert"]): void {
    this.alerts.push(alert);
    if (alert.kind === "device_added") this.tell(`warns its owner: “${alert.name}” was added to the account`);
  }

  #nameOf(user: string): string {
    return this.options.names.get(user) ?? "a stranger";
  }

  #dim(text: string): string {
    return this.options.terminal.paint("dim", text);
  }
}
