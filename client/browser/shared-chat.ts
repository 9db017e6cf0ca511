import type { DeviceId, UserId } from "../../shared/ids.ts";
import { Auth } from "../account/auth.ts";
import { Contacts } from "../account/contacts.ts";
import { Privacy } from "../account/privacy.ts";
import { Profile } from "../account/profile.ts";
import type { ChatEvents } from "../chat/chat-events.ts";
import { Connection } from "../chat/connection.ts";
import { Conversations } from "../chat/conversations.ts";
import { type EventOptions, Events, type Incoming } from "../chat/events.ts";
import { Identity } from "../chat/identity.ts";
import { Messages } from "../chat/messages.ts";
import { Timeline } from "../chat/timeline.ts";
import type { Http } from "../http.ts";
import type { Follower } from "./follower.ts";
import type { TabChat } from "./open-chat.ts";
import { TabBackup } from "./tab-backup.ts";
import { TabDevices } from "./tab-devices.ts";
import { TabSession } from "./tab-session.ts";

/** What the device is to the app of one tab. */
export class SharedChat implements TabChat {
  readonly user: UserId;
  readonly device: DeviceId;
  readonly connection: Connection;
  readonly conversations: Conversations;
  readonly messages: Messages;
  readonly contacts: Contacts;
  readonly identity: Identity;
  readonly devices: TabDevices;
  readonly backup: TabBackup;
  readonly auth: Auth;
  readonly profile: Profile;
  readonly privacy: Privacy;
  readonly #follower: Follower;
  readonly #events: Events;

  constructor(follower: Follower, http: Http) {
    const session = new TabSession(follower, http);
    const timeline = new Timeline(follower);
    this.user = follower.account.user;
    this.device = follower.account.device;
    this.connection = new Connection(follower);
    this.conversations = new Conversations(follower, timeline);
    // One index is enough for all tabs.
    const search = { find: (query: string, scope: object) => follower.ask("search", { query, scope }) };
    this.messages = new Messages(follower, timeline, search);
    this.contacts = new Contacts(session);
    this.identity = new Identity(follower);
    this.devices = new TabDevices(follower, session);
    this.backup = new TabBackup(follower);
    this.auth = new Auth(session);
    this.profile = new Profile(session);
    this.privacy = new Privacy(session);
    this.#follower = follower;
    this.#events = new Events(follower, timeline);
  }

  on<T extends keyof ChatEvents>(type: T, listener: (event: ChatEvents[T]) => void): () => void {
    return this.#follower.listeners.add(type, listener);
  }

  events(options: EventOptions = {}): AsyncIterable<Incoming> {
    return this.#events.from(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#events.end();
    await this.#follower.close();
  }
}
