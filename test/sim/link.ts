import type { Socket } from "../../durable-objects/user/socket.ts";
import type { Wire } from "../../shared/protocol/codec.ts";
import { PING, PONG } from "../../shared/protocol/version.ts";
import type { Connect } from "../../shared/rpc.ts";
import type { Platform } from "./platform.ts";

/** What a connection lost without a word looks like (RFC 6455). */
const ABNORMAL = 1006;

export interface DeviceEnd {
  readonly name: string;
  opened(link: Link): void;
  received(link: Link, wire: Wire): void;
  closed(link: Link, code: number): void;
  /** Nothing passes any more; the device does not know yet. */
  pathBroke(link: Link): void;
}

export interface ServerEnd {
  readonly clock: number;
  dialled(link: Link, args: Connect): void;
  frame(link: Link, wire: Wire): void;
  gone(link: Link): void;
}

/**
 * One WebSocket: frames keep their order in either direction, take time, and are lost only together with the socket. What
 * happens to it is one thing, when either end hears of it another.
 */
export class Link {
  readonly connection: number;
  /** Kept by the platform beside the socket, where hibernation does not reach. */
  attachment: Socket | undefined;
  /** When the platform last answered a ping by itself, by the object's clock. */
  answeredPingAt = 0;
  readonly #platform: Platform;
  readonly #device: DeviceEnd;
  readonly #server: ServerEnd;
  readonly #lastArrival = { up: 0, down: 0 };
  /** Nothing passes any more. */
  #isSevered = false;
  #isOver = { device: false, server: false };

  constructor(connection: number, device: DeviceEnd, server: ServerEnd, platform: Platform) {
    this.connection = connection;
    this.#device = device;
    this.#server = server;
    this.#platform = platform;
  }

  get isSevered(): boolean {
    return this.#isSevered;
  }

  dial(args: Connect): void {
    this.#up("dials", () => this.#server.dialled(this, args));
  }

  /** The object's answer. */
  answer(isAccepted: boolean): void {
    if (isAccepted) this.#down("open", () => this.#device.opened(this));
    else this.#down("refused", () => this.#closeDevice(ABNORMAL));
    if (isAccepted && this.#isSevered) this.#tellServer(this.#platform.random.between(10, 1_000));
  }

  sendUp(wire: Wire): void {
    if (wire === PING) this.#up("ping", () => this.#answerPing());
    else this.#up(`↑ ${nameOf(wire)}`, () => this.#server.frame(this, wire));
  }

  sendDown(wire: Wire): void {
    this.#down(`↓ ${nameOf(wire)}`, () => this.#device.received(this, wire));
  }

  /** The object closes: the device hears of it after all that was sent before, and confirms. */
  closeByServer(code: number): void {
    this.#down("close", () => {
      this.#closeDevice(code);
      this.#up("closed", () => this.#goneAtServer());
    });
  }

  /** The device closes: it hears nothing more. */
  closeByDevice(): void {
    this.#isOver.device = true;
    this.#up("close", () => this.#goneAtServer());
  }

  /** The object is gone with its end of the socket. */
  forgetServer(): void {
    this.#isOver.server = true;
    if (this.#isSevered) return;
    this.#break();
    this.#tellDevice(this.#platform.random.between(1, 100));
  }

  /**
   * The path breaks.
   * @param toldAfterMs when the ends hear of it; a device that is never told finds out by its pings
   */
  sever(toldAfterMs: { device?: number; server: number }): void {
    if (this.#isSevered) return;
    this.#break();
    if (toldAfterMs.device !== undefined) this.#tellDevice(toldAfterMs.device);
    this.#tellServer(toldAfterMs.server);
  }

  /** Both ends hear at last of a path that broke long ago. */
  reveal(): void {
    if (!this.#isSevered) return;
    this.#tellDevice(1);
    this.#tellServer(1);
  }

  #break(): void {
    this.#isSevered = true;
    this.#device.pathBroke(this);
  }

  #answerPing(): void {
    this.answeredPingAt = this.#server.clock;
    this.sendDown(PONG);
  }

  #tellDevice(afterMs: number): void {
    this.#platform.timeline.after(afterMs, `${this.#name} cut`, () => this.#closeDevice(ABNORMAL));
  }

  #tellServer(afterMs: number): void {
    this.#platform.timeline.after(afterMs, `${this.#name} gone`, () => this.#goneAtServer());
  }

  #closeDevice(code: number): void {
    if (this.#isOver.device) return;
    this.#isOver.device = true;
    this.#device.closed(this, code);
  }

  #goneAtServer(): void {
    if (this.#isOver.server || !this.attachment) return;
    this.#isOver.server = true;
    this.#server.gone(this);
  }

  #up(label: string, act: () => void): void {
    this.#pass("up", label, () => this.#isOver.server || act());
  }

  #down(label: string, act: () => void): void {
    this.#pass("down", label, () => this.#isOver.device || act());
  }

  #pass(way: "up" | "down", label: string, act: () => void): void {
    const { timeline, random } = this.#platform;
    const arrival = Math.max(timeline.now + random.between(1, 30), this.#lastArrival[way]);
    this.#lastArrival[way] = arrival;
    timeline.after(arrival - timeline.now, `${this.#name} ${label}`, () => {
      if (!this.#isSevered) act();
    });
  }

  get #name(): string {
    return `${this.#device.name}#${this.connection}`;
  }
}

/** Every frame's header begins with `{"type":"`. Of a refusal one wants to know more. */
function nameOf(wire: Wire): string {
  const header = typeof wire === "string" ? wire : Buffer.from(wire.buffer, wire.byteOffset + 4, 32).toString("latin1");
  const type = header.slice(9, header.indexOf('"', 9));
  return type === "error" || type === "bye" ? header : type;
}
