import { encodeContent } from "../../client/content.ts";
import type { AccountKey } from "../../client/identity/account-key.ts";
import { Account, Chat, MemoryStore, type Owner, type SessionStore, type Store } from "../../client/index.ts";
import { SqliteStore } from "../../client/node/index.ts";
import type { ConversationId } from "../../shared/ids.ts";
import { DeviceBook } from "./device-book.ts";
import type { History } from "./history.ts";
import { RecordingStore } from "./recording-store.ts";

export interface DeviceOptions {
  readonly name: string;
  readonly url: string;
  readonly owner: Owner;
  /** Outlives the app, as the file or the memory of its messages does. */
  readonly sessions: SessionStore;
  /** Of its person. */
  readonly accountKey: AccountKey;
  readonly conversations: readonly ConversationId[];
  /** A file; absent: the store is memory that outlives the app. */
  readonly storePath?: string;
  readonly history: History;
  /** Something that must not happen and that no history shows. */
  readonly problem: (text: string) => void;
}

/** One run of the app, from its start to its crash. */
interface Run {
  readonly chat: Chat;
  readonly store: RecordingStore;
}

/** A person's device: the SDK on a store that survives whatever happens. */
export class Device {
  readonly options: DeviceOptions;
  readonly book: DeviceBook;
  /** When it last had everything there was, in ms of the history; undefined while it has not since its last connection. */
  caughtUpAt: number | undefined;
  lastAckAt = 0;
  readonly #memory = new MemoryStore();
  readonly #told = new Set<string>();
  #run: Run | undefined;
  #isConnected = false;

  constructor(options: DeviceOptions) {
    this.options = options;
    this.book = new DeviceBook(options.owner, options.history);
  }

  get isRunning(): boolean {
    return this.#run !== undefined;
  }

  /** The app starts on what is in the store, and connects by itself. */
  async start(): Promise<void> {
    const { url, sessions } = this.options;
    const account = await Account.open({ url, store: sessions });
    if (!account) return this.#problem("is not signed in any more");
    const store = new RecordingStore(this.#openStore(), this.book);
    const { accountKey } = this.options;
    const chat = await Chat.open({ account, store, client: "sandpiper-crash", accountKey });
    this.#run = { chat, store };
    this.#listen(chat);
    chat.connection.open();
  }

  /** It is in the groups of all its conversations when this is done, and can read what is said from then on. */
  async enterAll(): Promise<void> {
    const { chat } = this.#run!;
    await chat.connection.caughtUp();
    for (const conversation of this.options.conversations) await chat.conversations.add(conversation, []);
  }

  /** The app dies in the middle of whatever it is doing. */
  async crash(): Promise<void> {
    const run = this.#run;
    if (!run) return;
    this.#run = undefined;
    run.store.cut();
    this.#leave();
    this.book.crashed();
    await run.chat[Symbol.asyncDispose]();
    await run.store.close();
  }

  /** What the operating system tells an app when the network is back. */
  networkIsBack(): void {
    this.#run?.chat.connection.open();
  }

  /** Fulfilled when it is in the outbox. */
  async send(conversation: ConversationId, text: string): Promise<void> {
    const run = this.#run;
    if (!run) return;
    this.book.sends(conversation, encodeContent({ kind: "text", text }));
    try {
      await run.chat.messages.send(conversation, text);
    } catch (error) {
      if (run === this.#run) this.#problem(`could not write: ${error}`);
    }
  }

  /** Reads everything that is here. */
  read(conversation: ConversationId): void {
    const seq = this.book.head(conversation);
    if (!this.#run || seq === 0) return;
    this.book.reads(conversation, seq);
    this.#run.chat.conversations.markRead(conversation, seq);
  }

  type(conversation: ConversationId): void {
    this.#run?.chat.conversations.typing(conversation);
  }

  async finalRead(): Promise<void> {
    const { store } = this.#run!;
    const everything = { limit: Number.MAX_SAFE_INTEGER };
    const chats = (await store.conversations()).map(({ conversation }) => store.messages(conversation, everything));
    this.book.finalRead((await Promise.all(chats)).flat());
  }

  async stop(): Promise<void> {
    await this.#run?.chat[Symbol.asyncDispose]();
    await this.#run?.store.close();
    this.#run = undefined;
  }

  #openStore(): Store {
    const { storePath } = this.options;
    return storePath === undefined ? this.#memory : new SqliteStore(storePath);
  }

  #listen(chat: Chat): void {
    const isOurs = () => chat === this.#run?.chat;
    chat.on("state", ({ state, code }) => {
      if (!isOurs()) return;
      if (state === "connecting") this.#enter();
      else if (state === "backing_off") this.#leave();
      else if (state === "closed") this.#problem(`gave up for good: ${code}`);
    });
    chat.on("caught_up", () => {
      if (isOurs()) this.#caughtUp();
    });
    chat.on("sent", () => {
      this.lastAckAt = this.options.history.now;
    });
    chat.on("failed", ({ code }) => this.#problem(`a message was refused: ${code}`));
    chat.on("message", ({ conversation, seq }) => this.#tell(`${conversation} ${seq}`));
  }

  #enter(): void {
    this.#leave();
    this.book.connects();
  }

  #leave(): void {
    this.caughtUpAt = undefined;
    if (this.#isConnected) this.book.disconnected();
    this.#isConnected = false;
  }

  #caughtUp(): void {
    this.#isConnected = true;
    this.book.connected();
    this.caughtUpAt = this.options.history.now;
  }

  /** The app is told of a message once. */
  #tell(place: string): void {
    if (this.#told.has(place)) this.#problem(`the app was told twice of ${place}`);
    this.#told.add(place);
  }

  #problem(text: string): void {
    this.options.problem(`${this.options.name}: ${text}`);
  }
}
