import { ChatError } from "../../client/chat-error.ts";
import { Encryption } from "../../client/encryption/encryption.ts";
import type { MembershipSession, Wish } from "../../client/encryption/membership.ts";
import type { Noticed } from "../../client/encryption/write.ts";
import type { AppEvent, Change, Effect, SessionEvent, TimerName } from "../../client/session/contract.ts";
import { step } from "../../client/session/machine.ts";
import { mintId } from "../../client/session/message-ids.ts";
import { initialState, type SessionState } from "../../client/session/state.ts";
import type { ConversationId } from "../../shared/ids.ts";
import {
  CONNECT_TICKET_TTL_MS,
  MAX_RECONCILIATION_DELAY_MS,
  MIN_RECONCILIATION_DELAY_MS,
} from "../../shared/limits.ts";
import { decodeDown, encodeUp, type Framed, joinBodies, splitBodies, type Wire } from "../../shared/protocol/codec.ts";
import type { DownFrame } from "../../shared/protocol/down.ts";
import type { UpFrame } from "../../shared/protocol/up.ts";
import { PING, PONG } from "../../shared/protocol/version.ts";
import { Delivery } from "./delivery.ts";
import type { Device } from "./device.ts";
import { DeviceStore } from "./device-store.ts";
import { type DeviceEnd, Link } from "./link.ts";
import { short } from "./platform.ts";
import type { World } from "./world.ts";

/** RFC 6455 §7.4.1. */
const ABNORMAL = 1006;

/** One run of the app on a device, from its start to its end: the session and its encryption, driven by the world. */
export class App implements DeviceEnd {
  readonly #device: Device;
  readonly #world: World;
  readonly #store: DeviceStore;
  readonly #timers = new Map<TimerName, object>();
  /** Those who wait, and would go on if the device was not away. */
  readonly #parked: (() => void)[] = [];
  readonly #pursued = new Set<string>();
  #isDead = false;
  #state: SessionState | undefined;
  #encryption: Encryption | undefined;
  #link: Link | undefined;
  #tickets = 0;
  /** Fulfilled when all frames that wait for something have been handled. */
  #preparing: Promise<void> | undefined;

  constructor(device: Device, world: World) {
    this.#device = device;
    this.#world = world;
    this.#store = new DeviceStore(device.memory, device.book, world.sabotage.store);
    world.timeline.stir();
    void this.#open();
  }

  get name(): string {
    return this.#device.name;
  }

  get state(): SessionState | undefined {
    return this.#state;
  }

  get link(): Link | undefined {
    return this.#link;
  }

  get encryption(): Encryption {
    if (!this.#encryption) throw new Error(`${this.name} has not been opened`);
    return this.#encryption;
  }

  /** It is over, in the middle of whatever it is doing. */
  end(): void {
    this.#isDead = true;
    this.#store.cut();
    this.#encryption?.stop();
  }

  handle(event: SessionEvent): void {
    if (event.type === "connect") this.#unpark();
    if (!this.#state || this.#isDead) return;
    const { state, effects } = step(this.#state, event, this.#now);
    this.#state = state;
    for (const effect of effects) this.#carryOut(effect);
  }

  // ── keys and groups ───────────────────────────────────────────────────────────────────────────────────────────────

  async #open(): Promise<void> {
    const { config } = this.#device;
    const owner = { user: config.user, device: config.device };
    const stored = await this.#store.load(owner);
    const { random } = this.#world;
    const state = initialState({ ...owner, client: "sim", random: random.next }, stored);
    const encryption = await this.#openEncryption(state);
    if (this.#isDead) return;
    for (const { id, body } of stored.outbox) if (body) encryption.transcripts.sealed(id, body);
    this.#encryption = encryption;
    this.#state = state;
    if (this.#device.wantsOnline) this.handle({ type: "connect" });
  }

  /** The first time it needs the server. */
  async #openEncryption(state: SessionState): Promise<Encryption> {
    const { config, accountKey } = this.#device;
    const { mls, random } = this.#world;
    for (;;) {
      try {
        return await Encryption.open({
          owner: { user: config.user, device: config.device },
          store: this.#store,
          service: new Delivery(this.#line(), this.#world.gateway, this.#world),
          mls: (authenticate) => mls.open(authenticate, random.next),
          accountKey,
          session: this.#session(state),
          noticed: (noticed) => this.#noticed(noticed),
          held: () => {},
          keyChanged: ({ user }) => this.#world.problem(`${this.name} sees another account key of ${short(user)}`),
        });
      } catch (error) {
        if (this.#device.isRevoked) return new Promise(() => {});
        if (!(error instanceof ChatError) || !error.retryable) this.#broke("could not be opened", error);
        await this.#wait(1_000);
      }
    }
  }

  #line() {
    const app = this;
    return {
      config: this.#device.config,
      name: this.name,
      get isUp() {
        return app.#device.wantsOnline;
      },
      get isAlive() {
        return !app.#isDead;
      },
      submits: (conversation: ConversationId) => this.#submits(conversation),
      expired: (id: string) => this.#expired(id),
      taken: (id: string) => this.#world.history.promised(this.#device.config.device, id),
    };
  }

  #session(opening: SessionState): MembershipSession {
    const app = this;
    const { random } = this.#world;
    const state = () => this.#state ?? opening;
    return {
      get now() {
        return app.#now + (state().clockOffset ?? 0);
      },
      get isCaughtUp() {
        return state().caughtUp;
      },
      position: (conversation) => state().conversations.get(conversation)?.have ?? 0,
      mintId: () => mintId(this.#now + (state().clockOffset ?? 0), undefined, random.next),
      wait: (ms) => this.#wait(ms),
      sealable: (conversation) => this.handle({ type: "sealable", conversation }),
      unsendable: (conversation, code) => this.handle({ type: "unsendable", conversation, code }),
      missed: (conversation, after, through, messages) => {
        const entries = messages.map(({ conversation: _, body, ...meta }) => ({ ...meta, length: body.byteLength }));
        const frame = { type: "entries", conversation, after, through, entries } as const;
        this.#receive({ frame, body: joinBodies(messages.map(({ body }) => body)) });
      },
    };
  }

  #noticed(noticed: Noticed): void {
    const { conversation } = noticed;
    if (noticed.type === "group_changed") this.#device.statuses.set(conversation, noticed.status);
    this.#world.timeline.note(`  ${this.name} ${noticed.type} ${short(conversation)}`);
    if (noticed.type === "history_differs" && !this.#world.hasHole(this.#device, conversation, noticed.seq)) {
      this.#world.problem(`${this.name} was shown another history of ${short(conversation)} at ${noticed.seq}`);
    }
  }

  /** A commit is on its way: it is stored, and what becomes of it is not known here. */
  #submits(conversation: ConversationId): void {
    const { faults, random, timeline, sabotage } = this.#world;
    if (sabotage.adoptsEarly) void this.#adopt(conversation);
    if (!faults.strikes("client-crash-over-commit")) return;
    timeline.after(random.between(0, 60), `${this.name} crashes over a commit`, () => {
      if (!this.#isDead) this.#device.crash();
    });
  }

  /** Sabotage: as if the commit had been taken. */
  async #adopt(conversation: ConversationId): Promise<void> {
    await this.encryption.writer.change(async (write) => {
      const { pending } = await write.keys(conversation);
      if (pending) await write.update(conversation, { status: "member", group: pending.group, pending: undefined });
    });
  }

  /** What the device wants of its groups, until it holds or is refused for good. */
  pursueWishes(): void {
    for (const [name, { conversation, wish }] of this.#device.wishes) {
      if (this.#pursued.has(name) || !this.#encryption) continue;
      this.#pursued.add(name);
      this.#world.timeline.stir();
      void this.#pursue(name, conversation, wish);
    }
  }

  async #pursue(name: string, conversation: ConversationId, wish: Wish): Promise<void> {
    for (let tries = 1; !this.#isDead; tries++) {
      const refused = await this.#try(conversation, wish, tries);
      if (this.#isDead) return;
      if (refused !== "for now") {
        this.#world.timeline.note(`  ${this.name} ${refused ? `gives up (${refused})` : "has"} ${name}`);
        this.#device.wishes.delete(name);
        this.#pursued.delete(name);
        return;
      }
      await this.#wait(this.#world.random.between(500, 3_000));
    }
  }

  /** @returns why it was refused; undefined if it was not */
  async #try(conversation: ConversationId, wish: Wish, tries: number): Promise<string | undefined> {
    try {
      await this.encryption.membership.want(conversation, wish);
      return undefined;
    } catch (error) {
      if (!(error instanceof ChatError)) this.#broke("could not change a group", error);
      // Somebody may not be here yet.
      const isTooEarly = wish.add !== undefined && (error as ChatError).code === "not_found" && tries < 30;
      return (error as ChatError).retryable || isTooEarly ? "for now" : (error as ChatError).code;
    }
  }

  /** A device that is new joins whatever conversation nobody has added it to, and all do when their person's devices change. */
  async #reconcile(): Promise<void> {
    const { random } = this.#world;
    for (const { conversation } of await this.#store.conversations()) {
      this.#device.wishes.set(`own devices in ${short(conversation)}`, { conversation, wish: { ownDevices: true } });
    }
    await this.#wait(random.between(MIN_RECONCILIATION_DELAY_MS, MAX_RECONCILIATION_DELAY_MS));
    if (!this.#isDead) this.pursueWishes();
  }

  // ── what the connection brings ────────────────────────────────────────────────────────────────────────────────────

  opened(link: Link): void {
    if (link !== this.#link) return;
    this.#device.book.connected(link.connection);
    this.handle({ type: "socket_opened", connection: link.connection });
  }

  received(link: Link, wire: Wire): void {
    if (link !== this.#link) return;
    if (wire === PONG) return this.handle({ type: "pong", connection: link.connection });
    const framed = decodeDown(wire);
    this.#noteOnWire(framed);
    if (this.#world.sabotage.acksEarly) this.#ackEarly(link, framed.frame);
    this.#receive(framed);
  }

  closed(link: Link, code: number): void {
    if (link !== this.#link) return;
    this.#device.book.disconnected(link.connection);
    this.handle({ type: "socket_closed", connection: link.connection, code });
  }

  pathBroke(link: Link): void {
    if (link === this.#link) this.#device.book.disconnected(link.connection);
  }

  /** Frames keep their order, whatever has to be fetched for one. */
  #receive(framed: Framed<DownFrame>): void {
    if (!this.#state || this.#isDead) return;
    const { connection } = this.#state;
    const { intake } = this.encryption;
    const prepared = intake.isReady(framed) ? undefined : intake.prepare(framed);
    if (!prepared && !this.#preparing) return this.handle({ type: "frame", connection, framed });
    this.#world.timeline.stir();
    const handled = Promise.all([prepared, this.#preparing]).then(
      () => this.handle({ type: "frame", connection, framed }),
      () => this.#breakOff(connection),
    );
    this.#preparing = handled;
    void handled.finally(() => {
      if (this.#preparing === handled) this.#preparing = undefined;
    });
  }

  #breakOff(connection: number): void {
    if (connection === this.#state?.connection) this.leave()?.closeByDevice();
    this.handle({ type: "socket_closed", connection, code: ABNORMAL });
  }

  #noteOnWire({ frame }: Framed<DownFrame>): void {
    const { book } = this.#device;
    if (frame.type === "message") book.onWire(frame.conversation, frame);
    else if (frame.type === "entries") for (const entry of frame.entries) book.onWire(frame.conversation, entry);
  }

  // ── driving the session ───────────────────────────────────────────────────────────────────────────────────────────

  #carryOut(effect: Effect): void {
    switch (effect.type) {
      case "obtainTicket":
        return this.#obtainTicket(effect.connection);
      case "openSocket":
        return this.#openSocket(effect.connection, effect.ticket);
      case "closeSocket":
        return this.leave()?.closeByDevice();
      case "transmit":
        this.#noteSealed(effect.frame, effect.body);
        return this.#link?.sendUp(encodeUp(effect.frame, effect.body));
      case "ping":
        return this.#link?.sendUp(PING);
      case "persist":
        return this.#persist(effect.batch, effect.changes);
      case "startTimer":
        return this.#startTimer(effect.name, effect.ms);
      case "cancelTimer":
        return void this.#timers.delete(effect.name);
      case "emit":
        return this.#hear(effect.event);
    }
  }

  #obtainTicket(connection: number): void {
    const { random, faults } = this.#world;
    const ticket = `${this.name}-${this.#device.runs}-${++this.#tickets}`;
    const isRefused = faults.strikes("ticket-refused");
    this.#later(random.between(5, 80), "ticket", () => {
      if (this.#device.isRevoked) this.handle({ type: "ticket_failed", connection, code: "revoked", retry: "never" });
      else if (isRefused) this.handle({ type: "ticket_failed", connection, code: "unavailable", retry: 1_000 });
      else this.handle({ type: "ticket_obtained", connection, ticket });
    });
  }

  #openSocket(connection: number, ticket: string): void {
    const { config, server, book } = this.#device;
    const { user, device } = config;
    const link = new Link(connection, this, server, this.#world);
    this.#link = link;
    book.connects(connection);
    const ticketExpiresAt = this.#world.timeline.now + CONNECT_TICKET_TTL_MS;
    link.dial({ user, device, ticket, ticketExpiresAt, requestId: `${this.name}#${connection}` });
  }

  leave(): Link | undefined {
    const link = this.#link;
    if (link) this.#device.book.disconnected(link.connection);
    this.#link = undefined;
    return link;
  }

  /** First it is on disk, then the session hears of it: a crash may come before, between and after. */
  #persist(batch: number, changes: readonly Change[]): void {
    const { random, faults, timeline } = this.#world;
    this.#later(random.between(0, 8), "persists", async () => {
      timeline.stir();
      const sealed = await this.encryption.writer
        .write(changes, () => {})
        .catch((error) => this.#broke("could not write", error));
      if (faults.strikes("client-crash-after-persist")) this.#device.crash();
      else this.#later(random.between(0, 3), "persisted", () => this.handle({ type: "persisted", batch, sealed }));
    });
  }

  #startTimer(name: TimerName, ms: number): void {
    if (name === "gap" && this.#world.sabotage.leavesGaps) return;
    const timer = {};
    this.#timers.set(name, timer);
    this.#later(ms, name, () => {
      if (this.#timers.get(name) !== timer) return;
      this.#timers.delete(name);
      this.handle({ type: "timer", name });
    });
  }

  #later(ms: number, label: string, act: () => void | Promise<void>): void {
    this.#world.timeline.after(ms, `${this.name} ${label}`, () => {
      if (!this.#isDead) return act();
    });
  }

  /** An app that is away goes on when it is back: its system has put it to sleep. */
  #wait(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const goOn = () => {
      this.#world.timeline.stir();
      resolve();
    };
    this.#later(ms, "goes on", () => {
      if (this.#device.wantsOnline) goOn();
      else this.#parked.push(goOn);
    });
    return promise;
  }

  #unpark(): void {
    for (const goOn of this.#parked.splice(0)) this.#later(1, "goes on", goOn);
  }

  #hear(event: AppEvent): void {
    if (event.type === "refused") this.#device.refused(event.ref);
    else if (event.type === "message") this.#device.book.shown(event.conversation, event.seq);
    else if (event.type === "failed" && event.code === "id_expired") this.#expired(event.id);
    else if (event.type === "caught_up") this.#caughtUp();
    else if (event.type === "keys_low") this.#inBackground(this.encryption.refill());
    else if (event.type === "behind") this.#inBackground(this.encryption.membership.verify(event.conversation));
    else if (event.type === "alert") {
      if (event.kind === "device_added" || event.kind === "device_removed") this.#device.reconcile();
    } else if (event.type === "state" && event.state === "closed") this.#device.closed(event.code ?? "closed");
  }

  #expired(id: string): void {
    this.#world.expired(this.#device.config.device, id);
  }

  #caughtUp(): void {
    this.#inBackground(this.encryption.refillIfDue());
    this.#inBackground(this.encryption.resume());
    this.enter();
    this.pursueWishes();
  }

  /** Once it knows of all conversations that there are. */
  enter(): void {
    if (this.#device.hasEntered || this.#state?.caughtUp !== true) return;
    this.#device.hasEntered = true;
    this.#inBackground(this.#reconcile());
  }

  /** What the server refuses now is done another time. */
  #inBackground(work: Promise<void>): void {
    this.#world.timeline.stir();
    work.catch((error) => error instanceof ChatError || this.#broke("failed in the background", error));
  }

  #broke(what: string, error: unknown): never {
    this.#world.problem(`${this.name} ${what}: ${error instanceof Error ? error.stack : error}`);
    throw error;
  }

  get #now(): number {
    return this.#world.timeline.now + this.#device.config.skewMs;
  }

  #noteSealed(frame: UpFrame, body: Uint8Array | undefined): void {
    if (frame.type === "send" && body) this.#world.sealed(this.name, body);
    if (frame.type !== "sends" || !body) return;
    const lengths = frame.messages.map(({ length }) => length);
    for (const part of splitBodies(lengths, body)) this.#world.sealed(this.name, part);
  }

  #ackEarly(link: Link, frame: DownFrame): void {
    if (frame.type !== "message" && frame.type !== "entries") return;
    const seq = frame.type === "message" ? frame.seq : frame.through;
    link.sendUp(encodeUp({ type: "ack", conversation: frame.conversation, seq }));
  }
}
