import type { UserId } from "../../shared/ids.ts";
import type { History } from "./history.ts";
import type { Random } from "./random.ts";

/** Everything that can go wrong here, and how often it is part of a seed's plan. */
export const faults = {
  // Calls between objects
  "rpc-request-lost": 0.4,
  "rpc-reply-lost": 0.4,
  "rpc-duplicated": 0.35,
  "rpc-delayed": 0.35,
  "rpc-reordered": 0.4,
  "dormant-overtaken": 0.35,
  // Objects
  "user-crash-before-commit": 0.35,
  "user-crash-after-commit": 0.35,
  "user-hibernated": 0.5,
  "conversation-crash-before-commit": 0.35,
  "conversation-crash-after-commit": 0.35,
  "conversation-crash-before-fan-out": 0.35,
  "conversation-evicted": 0.4,
  "alarm-late": 0.35,
  "object-clocks-differ": 0.3,
  // Sockets
  "socket-cut": 0.5,
  "socket-half-open": 0.4,
  // Devices
  "client-crash": 0.4,
  "client-crash-after-persist": 0.4,
  "client-clock-wrong": 0.3,
  "client-crash-over-commit": 0.35,
  "client-loses-place": 0.3,
  "device-linked-late": 0.35,
  "device-revoked": 0.3,
  "device-long-away": 0.35,
  // Groups
  "member-comes": 0.35,
  "member-goes": 0.35,
  "keys-run-out": 0.3,
  // Happens by itself: somebody else's commit was first.
  "commit-overtaken": 0,
  // Outside
  "ticket-refused": 0.25,
  "request-refused": 0.3,
  "queue-failed": 0.3,
  "queue-reply-lost": 0.3,
  "queue-delayed": 0.3,
  "queue-duplicated": 0.3,
  // Time
  "grace-passed": 0.25,
  "month-passed": 0.2,
} as const satisfies Record<string, number>;

export type FaultName = keyof typeof faults;
export const faultNames = Object.keys(faults) as FaultName[];

/** An opportunity is often let pass, so that a fault does not always hit the same kind of event; but not for ever. */
const TAKES_OPPORTUNITY = { atFirst: 0.3, inTheEnd: 0.8 };

/** Faults are armed by the scenario and strike where the world asks whether one does. */
export class Faults {
  readonly planned: ReadonlySet<FaultName>;
  readonly #random: Random;
  readonly #history: History;
  readonly #armed = new Map<FaultName, number>();
  #takes = TAKES_OPPORTUNITY.atFirst;
  #isHealed = false;

  constructor(planned: readonly FaultName[], random: Random, history: History) {
    this.planned = new Set(planned);
    this.#random = random;
    this.#history = history;
  }

  arm(name: FaultName): void {
    if (!this.#isHealed) this.#armed.set(name, (this.#armed.get(name) ?? 0) + 1);
  }

  /** Here is an opportunity. True: it strikes. @param user whose object it is that crashes */
  strikes(name: FaultName, user?: UserId): boolean {
    const armed = this.#armed.get(name) ?? 0;
    if (armed === 0 || !this.#random.chance(this.#takes)) return false;
    this.#armed.set(name, armed - 1);
    this.struck(name, user);
    return true;
  }

  /** It has been brought about. */
  struck(name: FaultName, user?: UserId): void {
    this.#history.add({ type: "info", op: "fault", fault: name, ...(user !== undefined && { user }) });
  }

  /** Planned and not yet struck while something was under way. */
  get outstanding(): FaultName[] {
    return [...this.planned].filter((name) => !this.#history.strikes.counts.has(name));
  }

  insist(): void {
    this.#takes = TAKES_OPPORTUNITY.inTheEnd;
  }

  heal(): void {
    this.#isHealed = true;
    this.#armed.clear();
  }

  get isHealed(): boolean {
    return this.#isHealed;
  }
}
