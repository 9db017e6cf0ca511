import type { Retry } from "../shared/errors.ts";
import type { Framed } from "../shared/protocol/codec.ts";
import type { DownFrame } from "../shared/protocol/down.ts";
import { ChatError, type ChatErrorCode } from "./chat-error.ts";
import type { Credentials } from "./credentials.ts";
import type { AppEvent, Change, Effect, SealedMessage, SessionEvent, TimerName } from "./session/contract.ts";
import { step } from "./session/machine.ts";
import type { SessionState } from "./session/state.ts";
import type { Connection, Transport } from "./transport.ts";

export interface World {
  readonly account: Credentials;
  readonly transport: Transport;
  persist(changes: readonly Change[]): Promise<readonly SealedMessage[]>;
  /** Fetches what a frame needs besides itself; undefined if that is nothing. Rejects if it cannot be had now. */
  prepare(framed: Framed<DownFrame>): Promise<void> | undefined;
  emit(event: AppEvent): void;
}

/** Lends a session a clock, timers, a socket and a store. */
export class Runner {
  state: SessionState;
  readonly #world: World;
  readonly #events: SessionEvent[] = [];
  readonly #timers = new Map<TimerName, ReturnType<typeof setTimeout>>();
  #connection: Connection | undefined;
  #hasOpened = true;
  #isStepping = false;
  /** Fulfilled when the write under way has ended. */
  #writing: Promise<void> | undefined;
  /** Fulfilled when all frames that wait for something have been dispatched. */
  #preparing: Promise<void> | undefined;

  constructor(state: SessionState, world: World) {
    this.state = state;
    this.#world = world;
  }

  /** Listeners may call back while effects are carried out: one event at a time, in order. */
  dispatch(event: SessionEvent): void {
    this.#events.push(event);
    if (this.#isStepping) return;
    this.#isStepping = true;
    try {
      for (let next = this.#events.shift(); next; next = this.#events.shift()) this.#step(next);
    } finally {
      this.#isStepping = false;
    }
  }

  /** A frame of the connection that is open, wherever it comes from. Frames keep their order. */
  receive(framed: Framed<DownFrame>): void {
    const { connection } = this.state;
    const prepared = this.#world.prepare(framed);
    if (!prepared && !this.#preparing) return this.dispatch({ type: "frame", connection, framed });
    const dispatched = Promise.all([prepared, this.#preparing]).then(
      () => this.dispatch({ type: "frame", connection, framed }),
      // Without it the frames behind it would make no sense: on the next connection they come again.
      () => this.#breakOff(connection),
    );
    this.#preparing = dispatched;
    void dispatched.finally(() => {
      if (this.#preparing === dispatched) this.#preparing = undefined;
    });
  }

  /** Everything that has been asked for is persisted, or cannot be. */
  async written(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  stop(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  #step(event: SessionEvent): void {
    const { state, effects } = step(this.state, event, Date.now());
    this.state = state;
    for (const effect of effects) this.#carryOut(effect);
  }

  #carryOut(effect: Effect): void {
    const carryOut = this.#carriers[effect.type] as (effect: Effect) => void;
    carryOut(effect);
  }

  readonly #carriers: { readonly [T in Effect["type"]]: (effect: Extract<Effect, { type: T }>) => void } = {
    obtainTicket: ({ connection }) => void this.#obtainTicket(connection),
    openSocket: ({ connection, ticket }) => this.#openSocket(connection, ticket),
    closeSocket: () => {
      this.#connection?.close();
      this.#connection = undefined;
    },
    transmit: ({ frame, body }) => this.#connection?.transmit(frame, body),
    ping: () => this.#connection?.ping(),
    persist: ({ batch, changes }) => {
      this.#writing = this.#persist(batch, changes);
    },
    startTimer: ({ name, ms }) => {
      clearTimeout(this.#timers.get(name));
      this.#timers.set(
        name,
        setTimeout(() => this.dispatch({ type: "timer", name }), ms),
      );
    },
    cancelTimer: ({ name }) => clearTimeout(this.#timers.get(name)),
    emit: ({ event }) => this.#world.emit(event),
  };

  async #obtainTicket(connection: number): Promise<void> {
    this.dispatch(
      await this.#world.account.ticket({ renew: !this.#hasOpened }).then(
        (ticket): SessionEvent => ({ type: "ticket_obtained", connection, ticket }),
        (error): SessionEvent => ({ type: "ticket_failed", connection, ...reasonOf(error) }),
      ),
    );
  }

  #openSocket(connection: number, ticket: string): void {
    this.#hasOpened = false;
    this.#connection = this.#world.transport.open(this.#world.account.url, ticket, {
      opened: () => {
        this.#hasOpened = true;
        this.dispatch({ type: "socket_opened", connection });
      },
      received: (framed) => this.receive(framed),
      ponged: () => this.dispatch({ type: "pong", connection }),
      closed: (code) => this.dispatch({ type: "socket_closed", connection, code }),
    });
  }

  #breakOff(connection: number): void {
    if (connection === this.state.connection) this.#connection?.close();
    this.dispatch({ type: "socket_closed", connection, code: ABNORMAL_CLOSURE });
  }

  async #persist(batch: number, changes: readonly Change[]): Promise<void> {
    const event = await this.#world.persist(changes).then(
      (sealed): SessionEvent => ({ type: "persisted", batch, sealed }),
      (): SessionEvent => ({ type: "persist_failed", batch }),
    );
    this.#writing = undefined;
    this.dispatch(event);
  }
}

/** RFC 6455 §7.4.1. */
const ABNORMAL_CLOSURE = 1006;

/** Whatever is not a refusal of the server's may go better next time. */
function reasonOf(error: unknown): { code: ChatErrorCode; retry: Retry } {
  const { code, retry } = error instanceof ChatError ? error : new ChatError("unavailable");
  return { code, retry };
}
