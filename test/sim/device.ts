import type { AppEvent, Change, Effect, SessionEvent, TimerName } from "../../client/session/contract.ts";
import { step } from "../../client/session/machine.ts";
import { initialState, type SessionState } from "../../client/session/state.ts";
import { MemoryStore } from "../../client/store/memory.ts";
import type { ConversationId, UserId } from "../../shared/ids.ts";
import { CONNECT_TICKET_TTL_MS } from "../../shared/limits.ts";
import { decodeDown, encodeUp, splitBodies, type Wire } from "../../shared/protocol/codec.ts";
import { PING, PONG } from "../../shared/protocol/version.ts";
import { hashOf } from "../history/record.ts";
import { DeviceBook, type DeviceConfig } from "./device-book.ts";
import { type DeviceEnd, Link, type ServerEnd } from "./link.ts";
import { type Platform, short } from "./platform.ts";

/** A person's device: the real session machine, a store that outlives it, and an app that does what it is told. */
export class Device implements DeviceEnd {
  readonly config: DeviceConfig;
  readonly book: DeviceBook;
  /** The app wants to be online. */
  wantsOnline = false;
  readonly #platform: Platform;
  readonly #server: ServerEnd;
  readonly #store = new MemoryStore();
  readonly #timers = new Map<TimerName, object>();
  #state: SessionState | undefined;
  #link: Link | undefined;
  #incarnation = 0;
  #lastRef = 0;
  #tickets = 0;
  readonly #refs = new Map<number, string>();

  constructor(config: DeviceConfig, server: ServerEnd, platform: Platform) {
    this.config = config;
    this.#server = server;
    this.#platform = platform;
    this.book = new DeviceBook(config, platform);
  }

  get name(): string {
    return short(this.config.device);
  }

  get phase(): SessionState["phase"] | "crashed" {
    return this.#state?.phase ?? "crashed";
  }

  get link(): Link | undefined {
    return this.#link;
  }

  /** Nothing waits to be sent. */
  get hasSentAll(): boolean {
    return this.#state?.outboxSize === 0;
  }

  /** And everything there was at the time of connecting is persisted. */
  get isCaughtUp(): boolean {
    return this.hasSentAll && this.#state?.caughtUp === true;
  }

  /** How often it has asked for what it lacks, in this connection and those before. */
  get requests(): number {
    return this.#state?.lastRequest ?? 0;
  }

  /** How far it knows a peer to have read; without `peer`, all others. */
  seenBy(conversation: ConversationId, peer: UserId | undefined): number {
    return this.#state?.conversations.get(conversation)?.peers.get(peer)?.read ?? 0;
  }

  // ── what the person does ──────────────────────────────────────────────────────────────────────────────────────────

  async start(): Promise<void> {
    if (this.#state) return;
    const { user, device } = this.config;
    const stored = await this.#store.load({ user, device });
    this.#state = initialState({ user, device, client: "sim", random: this.#platform.random.next }, stored);
    if (this.wantsOnline) this.connect();
  }

  connect(): void {
    this.wantsOnline = true;
    this.#handle({ type: "connect" });
  }

  disconnect(): void {
    this.wantsOnline = false;
    this.#handle({ type: "disconnect" });
  }

  send(conversation: ConversationId, body: Uint8Array): void {
    if (!this.#state) return;
    const ref = ++this.#lastRef;
    const hash = hashOf(body);
    this.#refs.set(ref, hash);
    this.book.sends(conversation, hash);
    this.#handle({ type: "send", ref, conversation, body, content: body });
  }

  read(conversation: ConversationId): void {
    const seq = this.book.cursor(conversation);
    if (!this.#state || seq === 0) return;
    this.book.reads(conversation, seq);
    this.#handle({ type: "read", conversation, seq });
  }

  type(conversation: ConversationId): void {
    this.#handle({ type: "typing", conversation });
  }

  /** The app dies; what was being written may not have been. It starts again a little later. */
  crash(): void {
    this.#incarnation++;
    this.#state = undefined;
    this.#timers.clear();
    this.#refs.clear();
    this.book.crashed();
    const { random, timeline } = this.#platform;
    this.#leave()?.sever({ device: 1, server: random.between(1, 100) });
    timeline.after(random.between(50, 3_000), `${this.name} restarts`, () => this.start());
  }

  async finalRead(): Promise<void> {
    this.book.finalReadBegins();
    for (const { conversation } of await this.#store.conversations()) {
      this.book.views(await this.#store.messages(conversation, { limit: Number.MAX_SAFE_INTEGER }));
    }
  }

  // ── what the connection brings ────────────────────────────────────────────────────────────────────────────────────

  opened(link: Link): void {
    if (link !== this.#link) return;
    this.book.connected(link.connection);
    this.#handle({ type: "socket_opened", connection: link.connection });
  }

  received(link: Link, wire: Wire): void {
    if (link !== this.#link) return;
    if (wire === PONG) return this.#handle({ type: "pong", connection: link.connection });
    const framed = decodeDown(wire);
    const { frame, body } = framed;
    if (frame.type === "message") this.book.onWire(frame.conversation, frame, body);
    else if (frame.type === "entries") {
      const bodies = splitBodies(
        frame.entries.map((entry) => entry.length),
        body,
      );
      for (const [index, entry] of frame.entries.entries()) this.book.onWire(frame.conversation, entry, bodies[index]!);
    }
    if (this.#platform.sabotage.acksEarly) this.#ackEarly(link, framed.frame);
    this.#handle({ type: "frame", connection: link.connection, framed });
  }

  closed(link: Link, code: number): void {
    if (link !== this.#link) return;
    this.book.disconnected(link.connection);
    this.#handle({ type: "socket_closed", connection: link.connection, code });
  }

  pathBroke(link: Link): void {
    if (link === this.#link) this.book.disconnected(link.connection);
  }

  // ── driving the session ───────────────────────────────────────────────────────────────────────────────────────────

  #handle(event: SessionEvent): void {
    if (!this.#state) return;
    const { state, effects } = step(this.#state, event, this.#platform.timeline.now + this.config.skewMs);
    this.#state = state;
    for (const effect of effects) this.#carryOut(effect);
  }

  #carryOut(effect: Effect): void {
    switch (effect.type) {
      case "obtainTicket":
        return this.#obtainTicket(effect.connection);
      case "openSocket":
        return this.#openSocket(effect.connection, effect.ticket);
      case "closeSocket":
        return this.#leave()?.closeByDevice();
      case "transmit":
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
    const { random, faults } = this.#platform;
    const ticket = `${this.name}-${++this.#tickets}`;
    const isRefused = faults.strikes("ticket-refused");
    this.#later(random.between(5, 80), "ticket", () => {
      if (isRefused) this.#handle({ type: "ticket_failed", connection, code: "unavailable", retry: 1_000 });
      else this.#handle({ type: "ticket_obtained", connection, ticket });
    });
  }

  #openSocket(connection: number, ticket: string): void {
    const { user, device } = this.config;
    const link = new Link(connection, this, this.#server, this.#platform);
    this.#link = link;
    this.book.connects(connection);
    const ticketExpiresAt = this.#platform.timeline.now + CONNECT_TICKET_TTL_MS;
    link.dial({ user, device, ticket, ticketExpiresAt, requestId: `${this.name}#${connection}` });
  }

  #leave(): Link | undefined {
    const link = this.#link;
    if (link) this.book.disconnected(link.connection);
    this.#link = undefined;
    return link;
  }

  /** First it is on disk, then the session hears of it: a crash may come before, between and after. */
  #persist(batch: number, changes: readonly Change[]): void {
    const { random, faults } = this.#platform;
    this.#later(random.between(0, 8), "persists", () => {
      void this.#store.persist(changes);
      this.book.persisted(changes);
      if (faults.strikes("client-crash-after-persist")) this.crash();
      else this.#later(random.between(0, 3), "persisted", () => this.#handle({ type: "persisted", batch }));
    });
  }

  #startTimer(name: TimerName, ms: number): void {
    if (name === "gap" && this.#platform.sabotage.leavesGaps) return;
    const timer = {};
    this.#timers.set(name, timer);
    this.#later(ms, name, () => {
      if (this.#timers.get(name) !== timer) return;
      this.#timers.delete(name);
      this.#handle({ type: "timer", name });
    });
  }

  #later(ms: number, label: string, act: () => void): void {
    const incarnation = this.#incarnation;
    this.#platform.timeline.after(ms, `${this.name} ${label}`, () => {
      if (incarnation === this.#incarnation) act();
    });
  }

  #hear(event: AppEvent): void {
    if (event.type === "refused") this.book.refused(this.#refs.get(event.ref)!);
    else if (event.type === "message") this.book.shown(event.conversation, event.seq);
    else if (event.type === "state" && event.state === "closed") {
      this.#platform.problem(`${this.name} gave up for good: ${event.code}`);
    }
  }

  #ackEarly(link: Link, frame: ReturnType<typeof decodeDown>["frame"]): void {
    if (frame.type !== "message" && frame.type !== "entries") return;
    const seq = frame.type === "message" ? frame.seq : frame.through;
    link.sendUp(encodeUp({ type: "ack", conversation: frame.conversation, seq }));
  }
}
