import type { DeviceId, UserId } from "../shared/ids.ts";
import type { Contacts } from "./account/contacts.ts";
import { Backup } from "./chat/backup.ts";
import type { ChatEvents } from "./chat/chat-events.ts";
import { Connection } from "./chat/connection.ts";
import { Conversations } from "./chat/conversations.ts";
import { Devices } from "./chat/devices.ts";
import { Engine } from "./chat/engine.ts";
import { type EventOptions, Events, type Incoming } from "./chat/events.ts";
import { asChatErrors } from "./chat/failure.ts";
import { Identity } from "./chat/identity.ts";
import { Messages } from "./chat/messages.ts";
import { Search } from "./chat/search.ts";
import { Timeline } from "./chat/timeline.ts";
import type { Credentials } from "./credentials.ts";
import type { AccountKey } from "./identity/account-key.ts";
import type { Authenticate, Mls } from "./mls/mls.ts";
import { createMls } from "./mls/ts-mls.ts";
import type { Store } from "./store/store.ts";
import { type Transport, webSocketTransport } from "./transport.ts";

export interface ChatOptions {
  /** Whose messages, and on which device. */
  readonly account: Credentials;
  /** Stays open when the chat is disposed of: it belongs to whoever made it. */
  readonly store: Store;
  /** Name and version of the app, for the server's logs. */
  readonly client: string;
  /** What another device has handed over when it linked this one, or a backup has kept. */
  readonly accountKey?: AccountKey;
  /** Begins a new identity where the account's own is lost; everybody who writes with this person is shown that. */
  readonly resetIdentity?: boolean;
  readonly transport?: Transport;
  readonly mls?: (authenticate: Authenticate) => Mls;
}

/** Private messaging on one device, end-to-end encrypted. Everything that is sent or shown is in the store first. */
export class Chat implements AsyncDisposable {
  readonly user: UserId;
  readonly device: DeviceId;
  readonly connection: Connection;
  readonly conversations: Conversations;
  readonly messages: Messages;
  readonly contacts: Contacts;
  readonly identity: Identity;
  readonly devices: Devices;
  readonly backup: Backup;
  readonly #engine: Engine;
  readonly #search: Search;
  readonly #events: Events;

  private constructor(engine: Engine) {
    this.user = engine.account.user;
    this.device = engine.account.device;
    this.connection = new Connection(engine);
    const timeline = new Timeline(engine);
    this.#search = new Search(engine, timeline);
    this.#events = new Events(engine, timeline);
    this.conversations = new Conversations(engine, timeline);
    this.messages = new Messages(engine, timeline, this.#search);
    this.contacts = engine.account.contacts;
    this.identity = new Identity(engine);
    this.devices = new Devices(engine);
    this.backup = new Backup(engine);
    this.#engine = engine;
  }

  /**
   * Opens what this device has, and makes its keys where it has none; only then a server is needed.
   * @throws ChatError `identity_locked`: another device has to link this one, a backup to be restored, or the identity to be reset
   */
  static async open({
    transport = webSocketTransport,
    mls = (authenticate) => createMls({ authenticate }),
    ...options
  }: ChatOptions): Promise<Chat> {
    return new Chat(await asChatErrors(() => Engine.open({ ...options, transport, mls })));
  }

  /** @returns a function that ends the subscription */
  on<T extends keyof ChatEvents>(type: T, listener: (event: ChatEvents[T]) => void): () => void {
    return this.#engine.listeners.add(type, listener);
  }

  /**
   * What others have written, each message once and with a cursor from which another run of the app can go on. Ends when the
   * chat is disposed of.
   * @throws ChatError `malformed`, if `after` is no cursor; in the loop, what has ended the connection for good
   */
  events(options: EventOptions = {}): AsyncIterable<Incoming> {
    return this.#events.from(options);
  }

  /** Disconnects, and waits until what has been asked for is persisted. What is unsent stays in the outbox. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#events.end();
    this.#search.stop();
    await Promise.all([this.devices.stop(), this.backup.stop()]);
    await this.#engine.close();
  }
}
