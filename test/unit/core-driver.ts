import { NodeStorage } from "../../durable-objects/runtime/node-storage.ts";
import { UserCore } from "../../durable-objects/user/core.ts";
import type { ConnectReply, Request, Token, UserEffect, UserEvent } from "../../durable-objects/user/effects.ts";
import type { Socket } from "../../durable-objects/user/socket.ts";
import { directConversation } from "../../shared/ids.ts";
import { REMOVAL_SETTLE_MS } from "../../shared/limits.ts";
import { encodeUp } from "../../shared/protocol/codec.ts";
import type { DownFrame, DownType } from "../../shared/protocol/down.ts";
import type { UpFrame } from "../../shared/protocol/up.ts";
import type { Entry, ReadLogReply } from "../../shared/rpc.ts";

/** An id of its own for each kind and number. */
export const idOf = (kind: string, number: number) => `${kind}${String(number).padStart(26 - kind.length, "0")}`;
export const alice = idOf("0A", 1);
export const bob = idOf("0B", 1);
export const phone = idOf("0D", 1);
export const laptop = idOf("0D", 2);
const alicePhone = idOf("0D", 3);
export const chat = directConversation(alice, bob);
export const body = new Uint8Array([1]);

function entryOf(seq: number, user = alice, device = alicePhone): Entry {
  return { seq, id: idOf("00", seq), user, device, at: 0, body };
}

/** Shorter timers go off at once, longer ones never. */
const LONG_MS = 10_000;

interface Asked {
  token: Token;
  request: Request;
}

/** Bob's object by itself: what it asks of others is answered by the test. */
export class UserDriver {
  now = Date.parse("2026-11-20T10:00:00Z");
  asked: Asked[] = [];
  /** Also what was answered. */
  readonly everAsked: Asked[] = [];
  /** For a socket that has fallen silent. */
  lastHeardAt: number | undefined;
  frames: DownFrame[] = [];
  closed: string[] = [];
  replies: unknown[] = [];
  failed = 0;
  isWiped = false;
  readonly #storage = new NodeStorage();
  #core = this.#boot([]);
  #socket: Socket | undefined;
  #tickets = 0;
  /** Timers of what waits for something to be answered. */
  #settling: Token[] = [];

  constructor(...devices: string[]) {
    for (const device of devices)
      this.do({ type: "registerDevice", call: 1, args: { device, name: "", requestId: "" } });
  }

  do(event: UserEvent): void {
    if (event.type === "alarm") this.#storage.alarmFired();
    for (const effect of this.#storage.transaction(() => this.#core.handle(event, this.now))) this.#note(effect);
  }

  /** Connects and says hello. */
  connect(device: string): Socket {
    const ticket = `ticket ${++this.#tickets}`;
    const args = { user: bob, device, ticket, ticketExpiresAt: this.now + 30_000, requestId: "" };
    this.do({ type: "connect", call: 1, args });
    const reply = this.replies.at(-1) as ConnectReply;
    if (!reply.ok) throw new Error(reply.code);
    this.#socket = reply.socket;
    this.up(reply.socket, { type: "hello", client: "" });
    return reply.socket;
  }

  up(socket: Socket, frame: UpFrame, bytes?: Uint8Array): void {
    this.do({ type: "frame", socket: socket.id, wire: encodeUp(frame, bytes) });
  }

  close(socket: Socket): void {
    this.do({ type: "closed", socket: socket.id });
  }

  deliver(conversation: string, ...seqs: number[]): void {
    const args = { conversation, entries: seqs.map((seq) => entryOf(seq)), requestId: "" };
    this.do({ type: "deliver", call: 1, args });
  }

  /** Loses memory; the socket and what is attached to it stay. */
  hibernate(): void {
    this.#core = this.#boot(this.#socket ? [structuredClone(this.#socket)] : []);
    this.do({ type: "woken" });
  }

  /** Loses memory and sockets. */
  crash(): void {
    this.#core = this.#boot([]);
    this.do({ type: "woken" });
  }

  /** How many people's claims on Bob's key packages are remembered. */
  get claimants(): number {
    return this.#storage.all("SELECT 1 FROM claimant").length;
  }

  /** How many people who have brought Bob into groups are remembered. */
  get adders(): number {
    return this.#storage.all("SELECT 1 FROM adder").length;
  }

  get alarmAt(): number | null {
    return this.#storage.alarmAt();
  }

  /** Answers what was asked so far; undefined: the call fails, for good. */
  answer(value: (request: Request) => unknown): void {
    for (const { token, request } of this.asked.splice(0)) {
      const answer = value(request);
      this.do({ type: "result", token, result: answer === undefined ? { ok: false } : { ok: true, value: answer } });
    }
    for (const token of this.#settling.splice(0)) this.do({ type: "timer", token });
  }

  /** Reads that wait for an answer: above what. */
  get reads(): number[] {
    return this.asked.flatMap(({ request }) =>
      request.to === "conversation" && request.method === "readLog" ? [request.args.after] : [],
    );
  }

  get pushes(): number {
    return this.asked.filter(({ request }) => request.to === "push").length;
  }

  of<T extends DownType>(type: T): Extract<DownFrame, { type: T }>[] {
    return this.frames.filter((frame): frame is Extract<DownFrame, { type: T }> => frame.type === type);
  }

  #boot(sockets: Socket[]): UserCore {
    return new UserCore(bob, this.#storage, sockets, { lastHeard: () => this.lastHeardAt ?? this.now });
  }

  #note(effect: UserEffect): void {
    if (effect.do === "request") {
      this.asked.push(effect);
      this.everAsked.push(effect);
    } else if (effect.do === "send") this.frames.push(effect.frame);
    else if (effect.do === "close") this.closed.push(effect.reason);
    else if (effect.do === "reply") this.replies.push(effect.value);
    else if (effect.do === "fail") this.failed++;
    else if (effect.do === "wipe") this.isWiped = true;
    else if (effect.do === "attach") this.#socket = effect.socket;
    else if (effect.do === "timer" && effect.afterMs === REMOVAL_SETTLE_MS) this.#settling.push(effect.token);
    else if (effect.do === "timer" && effect.afterMs < LONG_MS) this.do({ type: "timer", token: effect.token });
  }
}

/** What a conversation with so many messages answers to a read. */
export function pageOf(after: number, head: number): ReadLogReply {
  const through = Math.min(after + 64, head);
  const entries = Array.from({ length: Math.max(0, through - after) }, (_, index) => entryOf(after + index + 1));
  return { ok: true, entries, through, head, watermarks: [] };
}
