import { type ConversationKeys, keyChanges, loadKeys } from "../../client/encryption/conversation-keys.ts";
import type { Wish } from "../../client/encryption/membership.ts";
import type { AccountKey } from "../../client/identity/account-key.ts";
import type { SessionState } from "../../client/session/state.ts";
import { MemoryStore } from "../../client/store/memory.ts";
import type { ConversationId, UserId } from "../../shared/ids.ts";
import { hashOf } from "../history/record.ts";
import { App } from "./app.ts";
import { contentOf } from "./content.ts";
import { DeviceBook, type DeviceConfig } from "./device-book.ts";
import type { Link, ServerEnd } from "./link.ts";
import { short } from "./platform.ts";
import type { World } from "./world.ts";

/** A person's device: a store that outlives every run of its app, and a person who wants something of it. */
export class Device {
  readonly config: DeviceConfig;
  readonly book: DeviceBook;
  readonly server: ServerEnd;
  readonly accountKey: AccountKey;
  readonly memory = new MemoryStore();
  /** How it stands to its groups, as far as it has said so. */
  readonly statuses = new Map<ConversationId, ConversationKeys["status"]>();
  /** By name, what is still to be done about groups; kept in the store, as by the SDK. */
  readonly wishes = new Map<string, { readonly conversation: ConversationId; readonly wish: Wish }>();
  /** It has seen to its own membership in all conversations. */
  hasEntered = false;
  /** The app wants to be online. */
  wantsOnline = false;
  /** Its person has ended it then, ms since 1970. */
  revokedAt: number | undefined;
  /** How often its app was started. */
  runs = 0;
  readonly #world: World;
  #app: App | undefined;
  #lastRef = 0;
  readonly #refs = new Map<number, string>();

  constructor(config: DeviceConfig, accountKey: AccountKey, world: World) {
    this.config = config;
    this.accountKey = accountKey;
    this.#world = world;
    this.server = world.user(config.user);
    this.book = new DeviceBook(config, world);
  }

  get name(): string {
    return short(this.config.device);
  }

  get phase(): SessionState["phase"] | "crashed" | "opening" {
    if (!this.#app) return "crashed";
    return this.#app.state?.phase ?? "opening";
  }

  get link(): Link | undefined {
    return this.#app?.link;
  }

  get isRevoked(): boolean {
    return this.revokedAt !== undefined;
  }

  /** Nothing waits to be sent, and nothing to be changed. */
  get hasSentAll(): boolean {
    return this.#app?.state?.outboxSize === 0;
  }

  get hasSettled(): boolean {
    return this.wishes.size === 0;
  }

  /** And everything there was at the time of connecting is persisted. */
  get isCaughtUp(): boolean {
    return this.hasSentAll && this.#app?.state?.caughtUp === true;
  }

  /** How often it has asked for what it lacks, in this connection and those before. */
  get requests(): number {
    return this.#app?.state?.lastRequest ?? 0;
  }

  /** How far it knows a peer to have read; without `peer`, all others. */
  seenBy(conversation: ConversationId, peer: UserId | undefined): number {
    return this.#app?.state?.conversations.get(conversation)?.peers.get(peer)?.read ?? 0;
  }

  /** Whether it can say something there: in a conversation of two always, if it has to wait for it. */
  isMember(conversation: ConversationId): boolean {
    return this.statuses.get(conversation) === "member";
  }

  /** What it has of a conversation's group. */
  async keys(conversation: ConversationId): Promise<ConversationKeys | undefined> {
    return this.#app?.encryption.writer.keys(conversation);
  }

  // ── what the person does ──────────────────────────────────────────────────────────────────────────────────────────

  start(): void {
    if (this.#app || this.isRevoked) return;
    this.runs++;
    this.#app = new App(this, this.#world);
  }

  connect(): void {
    if (this.isRevoked) return;
    this.wantsOnline = true;
    this.#app?.handle({ type: "connect" });
  }

  disconnect(): void {
    this.wantsOnline = false;
    this.#app?.handle({ type: "disconnect" });
  }

  send(conversation: ConversationId, text: string): void {
    if (!this.#app?.state) return;
    const content = contentOf(text);
    const ref = ++this.#lastRef;
    const hash = hashOf(content);
    this.#refs.set(ref, hash);
    this.book.sends(conversation, hash);
    this.#app.handle({ type: "send", ref, conversation, content });
  }

  read(conversation: ConversationId): void {
    const seq = this.book.cursor(conversation);
    if (!this.#app?.state || seq === 0) return;
    this.book.reads(conversation, seq);
    this.#app.handle({ type: "read", conversation, seq });
  }

  type(conversation: ConversationId): void {
    this.#app?.handle({ type: "typing", conversation });
  }

  /** What holds already is left out when its turn comes. */
  want(name: string, conversation: ConversationId, wish: Wish): void {
    this.wishes.set(name, { conversation, wish });
    this.#app?.pursueWishes();
  }

  /** Its person's devices have changed. */
  reconcile(): void {
    this.hasEntered = false;
    this.#app?.enter();
  }

  /** The app dies; what was being written may not have been. It starts again a little later. */
  crash(): void {
    const { random, timeline } = this.#world;
    this.#end();
    this.book.crashed();
    timeline.after(random.between(50, 3_000), `${this.name} restarts`, () => this.start());
  }

  /** The app dies, and when it comes back it finds that it can follow this group no longer. */
  async losePlace(conversation: ConversationId): Promise<void> {
    this.crash();
    const { random, sabotage } = this.#world;
    const mls = this.#world.mls.open(async () => true, random.next);
    const keys = await loadKeys(this.memory, mls, conversation);
    const changes = keyChanges(mls, conversation, keys, { ...keys, status: "broken", group: undefined });
    await this.memory.persist(sabotage.store?.(changes) ?? changes);
    this.statuses.set(conversation, "broken");
    this.book.loses(conversation, this.book.cursor(conversation));
  }

  /** Its person has ended it. */
  revoke(): void {
    this.revokedAt = this.#world.now;
    this.book.revoked();
  }

  /** Nobody uses it any more. */
  stop(): void {
    this.wantsOnline = false;
    this.#app?.handle({ type: "disconnect" });
    this.#app?.end();
  }

  async finalRead(): Promise<void> {
    this.book.finalReadBegins();
    for (const { conversation } of await this.memory.conversations()) {
      this.book.views(await this.memory.messages(conversation, { limit: Number.MAX_SAFE_INTEGER }));
    }
  }

  // ── what the app hears ────────────────────────────────────────────────────────────────────────────────────────────

  refused(ref: number): void {
    this.book.refused(this.#refs.get(ref)!);
  }

  /** For good: nothing goes on here. */
  closed(code: string): void {
    if (this.isRevoked) this.#app?.end();
    else this.#world.problem(`${this.name} gave up for good: ${code}`);
  }

  #end(): void {
    const app = this.#app;
    this.#app = undefined;
    this.#refs.clear();
    app?.end();
    app?.leave()?.sever({ device: 1, server: this.#world.random.between(1, 100) });
  }
}
