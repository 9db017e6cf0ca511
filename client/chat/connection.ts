import { ChatError } from "../chat-error.ts";
import type { Phase } from "../session/contract.ts";
import type { Base } from "./base.ts";
import type { LiveQuery } from "./live-query.ts";

/** This device's connection to the server. It comes back by itself for as long as it is wanted. */
export class Connection {
  readonly #base: Base;

  constructor(base: Base) {
    this.#base = base;
  }

  get state(): Phase {
    return this.#base.state.phase;
  }

  /** The state, kept up to date. */
  live(): LiveQuery<Phase> {
    return {
      getSnapshot: () => this.state,
      subscribe: (listener) => this.#base.listeners.add("state", () => listener()),
    };
  }

  open(): void {
    this.#base.dispatch({ type: "connect" });
  }

  close(): void {
    this.#base.dispatch({ type: "disconnect" });
  }

  /** Fulfilled when everything there was at the time of connecting is in the store. @throws ChatError if that cannot be */
  async caughtUp(): Promise<void> {
    if (this.#base.state.caughtUp) return;
    this.#base.throwIfClosed();
    const { listeners } = this.#base;
    await new Promise<void>((resolve, reject) => {
      const caughtUp = listeners.add("caught_up", () => settle(resolve));
      const closed = listeners.add("state", ({ state, code }) => {
        if (state === "closed") settle(() => reject(new ChatError(code ?? "closed")));
      });
      const settle = (end: () => void) => {
        caughtUp();
        closed();
        end();
      };
    });
  }
}
