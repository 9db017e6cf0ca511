import * as v from "valibot";
import { UserCore } from "../../durable-objects/user/core.ts";
import type { ConnectReply, Request, Result, UserEffect, UserEvent } from "../../durable-objects/user/effects.ts";
import type { Socket, SocketId } from "../../durable-objects/user/socket.ts";
import { closeCodes } from "../../shared/errors.ts";
import { encodeDown, type Wire } from "../../shared/protocol/codec.ts";
import {
  AskAddition,
  AskKeys,
  AskWatermark,
  ClaimKeyPackages,
  Connect,
  Deliver,
  ForgetPeer,
  NotePeer,
  NotifyReceipt,
  NotifyTyping,
  PutKeys,
  RegisterDevice,
  RemovePerson,
  RevokeDevice,
  SetPeer,
} from "../../shared/rpc.ts";
import type { Callee, Calls } from "./calls.ts";
import { Host, type Settle } from "./host.ts";
import type { Link, ServerEnd } from "./link.ts";
import type { Platform } from "./platform.ts";
import type { PushQueue } from "./push-queue.ts";

const schemas = {
  deliver: Deliver,
  notifyReceipt: NotifyReceipt,
  notifyTyping: NotifyTyping,
  askWatermark: AskWatermark,
  registerDevice: RegisterDevice,
  revokeDevice: RevokeDevice,
  listDevices: v.undefined(),
  putKeys: PutKeys,
  askKeys: AskKeys,
  claimKeyPackages: ClaimKeyPackages,
  setPeer: SetPeer,
  notePeer: NotePeer,
  forgetPeer: ForgetPeer,
  removePerson: RemovePerson,
  isRegistered: v.undefined(),
  askAddition: AskAddition,
} as const;

export interface UserSurroundings {
  readonly calls: Calls;
  readonly queue: PushQueue;
  readonly sendsPerMinute: number;
  find(request: Extract<Request, { method: string }>): Callee;
}

/** A person's object as `durable-objects/user/object.ts` runs it, with the platform around it. */
export class UserHost extends Host<UserEvent, UserEffect> implements Callee, ServerEnd {
  readonly #surroundings: UserSurroundings;
  /** The sockets that the platform would list: also those that the object has closed and the device has not. */
  readonly #links = new Set<Link>();
  /** The shell's own map; like the core it goes with the memory. */
  readonly #sockets = new Map<SocketId, Link>();
  #core: UserCore | undefined;

  constructor(id: string, surroundings: UserSurroundings, platform: Platform) {
    super("user", id, platform);
    this.#surroundings = surroundings;
  }

  get isAwake(): boolean {
    return this.#core !== undefined;
  }

  get links(): ReadonlySet<Link> {
    return this.#links;
  }

  call(method: keyof typeof schemas, args: unknown, settle: Settle): void {
    const decoded = v.parse(schemas[method] as v.GenericSchema, args);
    this.receive((call) => ({ type: method, call, args: decoded }) as UserEvent, settle);
  }

  dialled(link: Link, connect: Connect): void {
    const args = v.parse(Connect, connect);
    const settle = (result: Result) => this.#accept(link, result.ok ? (result.value as ConnectReply) : undefined);
    this.receive((call) => ({ type: "connect", call, args }), settle);
  }

  frame(link: Link, wire: Wire): void {
    this.handle({ type: "frame", socket: attachmentOf(link).id, wire });
  }

  /** A socket that closed while this object slept is no longer listed, but what was attached to it still counts. */
  gone(link: Link): void {
    this.#links.delete(link);
    if (!this.#core) this.#sockets.set(attachmentOf(link).id, link);
    this.handle({ type: "closed", socket: attachmentOf(link).id });
    this.#sockets.delete(attachmentOf(link).id);
  }

  protected override wake(): boolean {
    if (this.#core) return true;
    for (const link of this.#links) this.#sockets.set(attachmentOf(link).id, link);
    const sockets = [...this.#sockets.values()].map((link) => structuredClone(attachmentOf(link)));
    this.#core = new UserCore(this.id, this.storage, sockets, {
      lastHeard: (id) => this.#sockets.get(id)?.answeredPingAt ?? 0,
      sendsPerMinute: this.#surroundings.sendsPerMinute,
    });
    this.handle({ type: "woken" });
    return this.isAwake;
  }

  protected override decide(event: UserEvent, now: number): UserEffect[] {
    return this.#core!.handle(event, now);
  }

  protected override forget(): void {
    this.#core = undefined;
    this.#sockets.clear();
  }

  override crash(): void {
    super.crash();
    for (const link of this.#links) link.forgetServer();
    this.#links.clear();
  }

  protected override perform(effect: UserEffect): void {
    switch (effect.do) {
      case "reply":
        return this.reply(effect.call, { ok: true, value: effect.value });
      case "fail":
        return this.reply(effect.call, { ok: false });
      case "send":
        return this.#sockets.get(effect.socket)?.sendDown(encodeDown(effect.frame, effect.bodies));
      case "attach":
        return this.#attach(effect.socket);
      case "close":
        this.#sockets.get(effect.socket)?.closeByServer(closeCodes[effect.reason]);
        this.#sockets.delete(effect.socket);
        return;
      case "request":
        return this.#request(effect.token, effect.request);
      case "wipe":
        this.storage.wipe();
        return this.forget();
      case "timer":
        return this.later(effect.afterMs, "timer", () => this.handle({ type: "timer", token: effect.token }));
    }
  }

  #request(token: number, request: Request): void {
    const done = this.outgoing((result: Result) => this.handle({ type: "result", token, result }));
    const { calls, queue, find } = this.#surroundings;
    if (request.to === "push") queue.send(request.job, done);
    else if (request.to === "records") done({ ok: true, value: { databaseRows: 0, files: 0 } });
    else calls.call(this.name, find(request), request.method, request.args, done);
  }

  #attach(socket: Socket): void {
    const link = this.#sockets.get(socket.id);
    if (!link) return;
    link.attachment = structuredClone(socket);
    if (this.platform.sabotage.forgetsTracks) link.attachment.tracks.clear();
  }

  #accept(link: Link, reply: ConnectReply | undefined): void {
    if (reply?.ok) {
      link.attachment = reply.socket;
      this.#links.add(link);
      this.#sockets.set(reply.socket.id, link);
    }
    link.answer(reply?.ok ?? false);
  }
}

function attachmentOf(link: Link): Socket {
  if (!link.attachment) throw new Error("a socket that was never accepted");
  return link.attachment;
}
