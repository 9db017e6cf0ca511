import type { SqlValue } from "../../durable-objects/runtime/storage.ts";
import type { Result } from "../../durable-objects/user/effects.ts";
import type { UserId } from "../../shared/ids.ts";
import type { FaultName } from "./faults.ts";
import { type Platform, short } from "./platform.ts";
import { SimStorage } from "./sim-storage.ts";

export type Settle = (result: Result) => void;

const ALARM_RETRY_MS = 2_000;
/** The platform waits ten seconds; most of what can go wrong over it goes wrong sooner too. */
const REST_AFTER_MS = 1_000;
/** Objects run on machines whose clocks are nearly right. */
const CLOCKS_DIFFER_MS = 250;

class Crash extends Error {}

/**
 * What the platform does for any object: it keeps its disk and its alarm, runs each event in a transaction and its effects
 * afterwards, and now and then loses everything but the disk.
 */
export abstract class Host<Event extends { type: string }, Effect extends { do: string }> {
  readonly id: string;
  readonly storage: SimStorage;
  protected readonly platform: Platform;
  readonly #kind: "user" | "conversation";
  readonly #calls = new Map<number, Settle>();
  #lastCall = 0;
  /** Timers and outgoing calls of this incarnation. */
  #underWay = 0;
  #incarnation = 0;
  #skew = 0;
  #handledAt = 0;
  #alarm: { at: number } | undefined;
  #event = "";

  constructor(kind: "user" | "conversation", id: string, platform: Platform) {
    this.#kind = kind;
    this.id = id;
    this.platform = platform;
    this.storage = new SimStorage((query, params) => this.watchWrite(this.#event, query, params));
    this.#drawClock();
  }

  /** Builds the core if there is none. False: the object broke down over it. */
  protected abstract wake(): boolean;
  protected abstract decide(event: Event, now: number): Effect[];
  protected abstract perform(effect: Effect): void;
  /** An event's writes are on disk. */
  protected committed(): void {}
  /** Everything in memory is gone. */
  protected abstract forget(): void;

  /** Whose object it is, if it is a person's. */
  protected get person(): UserId | undefined {
    return this.#kind === "user" ? this.id : undefined;
  }

  get name(): string {
    return short(this.id);
  }

  /** The object's own clock. */
  get clock(): number {
    return this.platform.timeline.now + this.#skew;
  }

  /** Nobody waits for it, and it waits for nobody. */
  get isIdle(): boolean {
    return this.#underWay === 0 && this.#calls.size === 0;
  }

  /** Idle for so long that the platform may take it out of memory. */
  get mayRest(): boolean {
    return this.isIdle && this.platform.timeline.now - this.#handledAt >= REST_AFTER_MS;
  }

  /** The platform takes it out of memory. */
  rest(): void {
    this.#incarnation++;
    this.forget();
  }

  /** An incoming call. */
  receive(event: (call: number) => Event, settle: Settle): void {
    const call = ++this.#lastCall;
    this.#calls.set(call, settle);
    this.handle(event(call));
  }

  handle(event: Event): void {
    this.#handledAt = this.platform.timeline.now;
    if (!this.wake()) return this.#repeatAlarm(event);
    const effects = this.#commit(event);
    if (!effects) return;
    this.#followAlarm();
    const performed = this.#performedBeforeCrash(effects);
    for (const effect of effects.slice(0, performed)) this.perform(effect);
    if (performed !== undefined) this.#breakDown(event);
  }

  crash(): void {
    this.#incarnation++;
    this.#underWay = 0;
    this.#drawClock();
    this.forget();
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const settle of calls) settle({ ok: false });
  }

  protected reply(call: number, result: Result): void {
    const settle = this.#calls.get(call);
    this.#calls.delete(call);
    settle?.(structuredClone(result));
  }

  protected later(ms: number, label: string, act: () => void): void {
    this.platform.timeline.after(ms, `${this.name} ${label}`, this.outgoing(act));
  }

  /** What comes back to an object that has crashed meanwhile comes back to nobody. */
  protected outgoing<T extends unknown[]>(then: (...args: T) => void): (...args: T) => void {
    const incarnation = this.#incarnation;
    this.#underWay++;
    return (...args) => {
      if (incarnation !== this.#incarnation) return;
      this.#underWay--;
      then(...args);
    };
  }

  protected watchWrite(event: string, query: string, params: SqlValue[]): SqlValue[] | undefined {
    const { write } = this.platform.sabotage;
    return write ? write({ kind: this.#kind, event, query, params }) : params;
  }

  /** From now on alarms are punctual, that which stands included. */
  heal(): void {
    this.#alarm = undefined;
    this.#followAlarm();
  }

  #commit(event: Event): Effect[] | undefined {
    const isLost = this.platform.faults.strikes(`${this.#kind}-crash-before-commit`, this.person);
    this.#event = event.type;
    let effects: Effect[] = [];
    try {
      this.storage.transaction(() => {
        effects = this.decide(event, this.clock);
        if (isLost) throw new Crash();
      });
      this.committed();
      return effects;
    } catch (error) {
      if (!(error instanceof Crash)) this.platform.problem(`${this.name} threw over ${event.type}: ${error}`);
      else if (this.platform.sabotage.performsUncommitted) for (const effect of effects) this.perform(effect);
      this.#breakDown(event);
      return undefined;
    }
  }

  /** How many effects the world still sees; undefined for all, and no crash. */
  #performedBeforeCrash(effects: readonly Effect[]): number | undefined {
    const { faults, random } = this.platform;
    const fansOut = effects.some((effect) => effect.do === "deliver");
    if (fansOut && faults.strikes("conversation-crash-before-fan-out")) return 0;
    if (effects.length === 0 || !faults.strikes(`${this.#kind}-crash-after-commit`, this.person)) return undefined;
    return random.between(0, effects.length - 1);
  }

  #breakDown(event: Event): void {
    this.crash();
    this.#repeatAlarm(event);
  }

  /** An alarm that was not seen through is repeated by the platform, unless another one stands. */
  #repeatAlarm(event: Event): void {
    if (event.type === "alarm" && this.storage.alarmAt() === null) this.storage.setAlarm(this.clock + ALARM_RETRY_MS);
    this.#followAlarm();
  }

  #followAlarm(): void {
    const at = this.storage.alarmAt();
    if (at === (this.#alarm?.at ?? null)) return;
    const alarm = at === null ? undefined : { at };
    this.#alarm = alarm;
    if (!alarm || this.platform.sabotage.ignoresAlarms) return;
    const { timeline, faults, random } = this.platform;
    const late = faults.strikes("alarm-late") ? random.between(5_000, 60_000) : random.between(0, 20);
    timeline.after(Math.max(0, alarm.at - this.clock) + late, `${this.name} alarm`, () => {
      if (this.#alarm === alarm) this.#ring();
    });
  }

  #ring(): void {
    this.#alarm = undefined;
    this.storage.alarmFired();
    this.handle({ type: "alarm" } as Event);
  }

  #drawClock(): void {
    const fault: FaultName = "object-clocks-differ";
    if (this.platform.faults.planned.has(fault)) {
      this.#skew = this.platform.random.between(-CLOCKS_DIFFER_MS, CLOCKS_DIFFER_MS);
    }
  }
}
