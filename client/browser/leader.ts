import { Contacts } from "../account/contacts.ts";
import { Devices as AccountDevices } from "../account/devices.ts";
import { HttpArchiveService } from "../backup/http-archive-service.ts";
import type { TransferOptions } from "../backup/transfer.ts";
import { Backup } from "../chat/backup.ts";
import type { ChatEvents } from "../chat/chat-events.ts";
import { Devices } from "../chat/devices.ts";
import { Engine, type EngineOptions } from "../chat/engine.ts";
import { asChatErrors } from "../chat/failure.ts";
import { Search } from "../chat/search.ts";
import { Timeline } from "../chat/timeline.ts";
import { ChatError, hasCode } from "../chat-error.ts";
import type { Credentials } from "../credentials.ts";
import { DeviceSession } from "../device-session.ts";
import { HttpDeliveryService } from "../encryption/http-delivery-service.ts";
import type { Channel } from "../history/handover.ts";
import { Http } from "../http.ts";
import type { SessionStore } from "../session-store.ts";
import type { Store } from "../store/store.ts";
import type { Answered, Asked, Calls, Task, Told } from "./calls.ts";
import type { Served } from "./reign.ts";
import { changeWith, type Happening, snapshotOf } from "./view.ts";

export interface LeaderOptions extends Omit<EngineOptions, "account" | "store"> {
  readonly url: string;
  readonly cookie: boolean;
  readonly store: Store & SessionStore;
}

type Handlers = {
  readonly [Method in keyof Calls]: (
    asked: Asked<Method>,
    request: string,
  ) => Answered<Method> | Promise<Answered<Method>>;
};

/** The device itself, in the tab that leads: its session, its one connection, and the only one who writes. */
export class Leader implements Served {
  readonly #reign = crypto.randomUUID();
  readonly #engine: Engine;
  readonly #session: DeviceSession;
  readonly #search: Search;
  readonly #devices: Devices;
  readonly #backup: Backup;
  readonly #tell: (told: Told) => void;
  readonly #tasks = new Map<string, AbortController>();
  #isShown = false;

  private constructor(engine: Engine, session: DeviceSession, tell: (told: Told) => void) {
    this.#engine = engine;
    this.#session = session;
    this.#tell = tell;
    this.#search = new Search(engine, new Timeline(engine));
    this.#devices = new Devices(engine);
    this.#backup = new Backup(engine);
    this.#devices.on("progress", (progress) => tell({ type: "device_progress", progress }));
    for (const name of eventNames) engine.listeners.add(name, (event) => this.#pass({ name, event } as Happening));
  }

  /** Reads the session anew: an earlier leader may have renewed it. @throws ChatError signed_out; identity_locked, as `Chat.open` */
  static open({ url, cookie, store, ...options }: LeaderOptions, tell: (told: Told) => void): Promise<Leader> {
    return asChatErrors(async () => {
      const session = await DeviceSession.open(new Http(url, { cookie }), store);
      if (!session) throw new ChatError("signed_out");
      const engine = await openEngine({ ...options, store, account: credentials(session, url) });
      return new Leader(engine, session, tell);
    });
  }

  call(method: string, asked: unknown, request: string): Promise<unknown> {
    // Before anything else is told: whoever follows begins with it.
    if (!this.#isShown) this.#show();
    return asChatErrors(async () => {
      const handle: ((asked: never, request: string) => unknown) | undefined = this.#handlers[method as keyof Calls];
      // Another tab may run a newer version of the app.
      if (!handle) throw new ChatError("unavailable");
      return handle(asked as never, request);
    });
  }

  async stop(): Promise<void> {
    this.#search.stop();
    await Promise.all([this.#devices.stop(), this.#backup.stop()]);
    await this.#engine.close();
  }

  readonly #handlers: Handlers = {
    snapshot: () => this.#show(),
    dispatch: (command) => this.#engine.dispatch(command),
    send: async ({ conversation, content }, request) => {
      const known = await this.#engine.requested(request);
      const { id, at } = known ?? (await this.#engine.send(conversation, content, request));
      return { request, conversation, id, at };
    },
    sent: async (message) => {
      const known = await this.#engine.requested(message.request);
      const handle = known ?? (await this.#engine.follow(message));
      const place = await handle.sent;
      return { id: handle.id, ...place };
    },
    hide: (message) => this.#engine.hide(message),
    members: (conversation) => this.#engine.members(conversation),
    want: ({ conversation, wish }) => this.#engine.want(conversation, wish),
    markVerified: (compared) => this.#engine.markVerified(compared),
    acceptKey: (user) => this.#engine.acceptKey(user),
    search: ({ query, scope }) => this.#search.find(query, scope),

    accessToken: (refused) => this.#session.accessToken(refused),
    refresh: () => this.#session.refresh(),
    forget: () => this.#session.forget(),

    link: ({ task, qr, history }) => this.#run(task, (signal) => this.#devices.link(qr, { history, signal })),
    revoke: (device) => this.#devices.revoke(device),
    receiveHistory: ({ task, ...linked }) =>
      this.#devices.receiveHistory({ ...linked, channel: this.#channelOf({ task }) }),
    createBackup: ({ task, secrets }) =>
      this.#run(task, (signal) => this.#backup.create({ ...secrets, ...this.#transfer(task, signal) })),
    updateBackup: ({ task }) => this.#run(task, (signal) => this.#backup.update(this.#transfer(task, signal))),
    backupStatus: () => this.#backup.status(),
    changePassphrase: (passphrase) => this.#backup.changePassphrase(passphrase),
    changeCode: (code) => this.#backup.changeCode(code),
    removeBackup: () => this.#backup.remove(),
    abort: ({ task }) => this.#tasks.get(task)?.abort(),
  };

  #show(): void {
    this.#isShown = true;
    this.#tell({ type: "snapshot", snapshot: snapshotOf(this.#engine, this.#reign) });
  }

  #pass(happening: Happening): void {
    this.#tell({ type: "event", ...happening, change: changeWith(happening, this.#engine) });
  }

  async #run(task: string, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const abort = new AbortController();
    this.#tasks.set(task, abort);
    await work(abort.signal).finally(() => this.#tasks.delete(task));
  }

  #transfer(task: string, signal: AbortSignal): TransferOptions {
    return { signal, onProgress: (progress) => this.#tell({ type: "backup_progress", task, progress }) };
  }

  /** The tab that has the channel sends what is told here. Nothing is heard of it. */
  #channelOf(task: Task): Channel {
    return {
      send: async (message) => this.#tell({ type: "channel", ...task, message }),
      async *[Symbol.asyncIterator]() {},
    };
  }
}

/** A new identity only where there is none to go on with: every tab was asked for one, and another may have begun it. */
async function openEngine({ resetIdentity = false, ...options }: EngineOptions): Promise<Engine> {
  try {
    return await Engine.open(options);
  } catch (error) {
    if (!resetIdentity || !hasCode(error, "identity_locked")) throw error;
    return Engine.open({ ...options, resetIdentity });
  }
}

function credentials(session: DeviceSession, url: string): Credentials {
  const { user, device } = session;
  return {
    ...{ url, user, device },
    delivery: new HttpDeliveryService(session),
    archives: new HttpArchiveService(session),
    contacts: new Contacts(session),
    devices: new AccountDevices(session),
    ticket: (options) => session.ticket(options),
  };
}

const isTold: { readonly [Name in keyof ChatEvents]: true } = {
  state: true,
  caught_up: true,
  message: true,
  queued: true,
  renamed: true,
  sent: true,
  failed: true,
  ticks: true,
  receipt: true,
  read: true,
  typing: true,
  replaced: true,
  hidden: true,
  erased: true,
  group_changed: true,
  identity_changed: true,
  key_changed: true,
  held: true,
  history_differs: true,
  alert: true,
  problem: true,
};
const eventNames = Object.keys(isTold) as (keyof ChatEvents)[];
