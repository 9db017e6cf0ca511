import { DurableObject } from "cloudflare:workers";
import * as v from "valibot";
import { type CloseReason, closeCodes } from "../../shared/errors.ts";
import { MAX_CACHED_STUBS } from "../../shared/limits.ts";
import { encodeDown } from "../../shared/protocol/codec.ts";
import { PING, PONG, SUBPROTOCOL } from "../../shared/protocol/version.ts";
import {
  Admit,
  type AdmitReply,
  AskAddition,
  type AskAdditionReply,
  AskKeys,
  type AskKeysReply,
  AskPresence,
  AskWatermark,
  type AskWatermarkReply,
  AssessSignIn,
  type AssessSignInReply,
  ClaimKeyPackages,
  type ClaimKeyPackagesReply,
  CONNECT_HEADER,
  Connect,
  Deliver,
  type DeliverReply,
  type DeviceListed,
  ForgetPeer,
  NotePeer,
  type NotePeerReply,
  NotifyReceipt,
  type NotifyReceiptReply,
  NotifyTyping,
  type PersonOverview,
  type PresenceReply,
  PutKeys,
  type PutKeysReply,
  RaiseAlert,
  Refresh,
  type RefreshReply,
  RegisterDevice,
  type RegisterDeviceReply,
  RemovePerson,
  type RemovePersonReply,
  RenameDevice,
  RevokeDevice,
  type RevokeDeviceReply,
  SetPeer,
  type SetPeerReply,
  SetPin,
  type UserRpc,
} from "../../shared/rpc.ts";
import { withDeadline } from "../runtime/deadline.ts";
import { decodeArgs } from "../runtime/decode.ts";
import type { Env } from "../runtime/env.ts";
import { errorFields, log } from "../runtime/log.ts";
import { meter } from "../runtime/meter.ts";
import { PendingCalls } from "../runtime/pending-calls.ts";
import { removeRecords } from "../runtime/removal.ts";
import { StubCache } from "../runtime/stub-cache.ts";
import { WorkersStorage } from "../runtime/workers-storage.ts";
import { UserCore } from "./core.ts";
import type { ConnectReply, Request as CoreRequest, Result, Token, UserEffect, UserEvent } from "./effects.ts";
import type { Socket, SocketId } from "./socket.ts";

const ConnectHeader = v.pipe(v.string(), v.parseJson(), Connect);

/** The shell of a person's object: holds the sockets, runs the core in a transaction, and does what it asks for. */
export class UserObject extends DurableObject<Env> implements UserRpc {
  readonly #calls = new PendingCalls();
  readonly #sockets = new Map<SocketId, WebSocket>();
  readonly #ids = new WeakMap<WebSocket, SocketId>();
  readonly #users = new StubCache(MAX_CACHED_STUBS, (user) => this.env.USER.getByName(user));
  readonly #conversations = new StubCache(MAX_CACHED_STUBS, (id) => this.#conversation(id));
  /** Where a conversation that this person starts should live: near where they connected last. */
  #locationHint: DurableObjectLocationHint | undefined;
  #storage!: WorkersStorage;
  #core: UserCore | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
    ctx.blockConcurrencyWhile(async () => {
      this.#storage = new WorkersStorage(ctx.storage, await ctx.storage.getAlarm());
    });
  }

  /** The upgrade. The gateway has checked origin and ticket; here the ticket is used up. */
  override async fetch(request: Request): Promise<Response> {
    meter.objectFetches++;
    const header = request.headers.get(CONNECT_HEADER);
    if (header === null || request.headers.get("upgrade") !== "websocket") return new Response(null, { status: 426 });
    const args = decodeArgs(ConnectHeader, header);
    const reply = await this.#wait<ConnectReply>((call) => ({ type: "connect", call, args }));
    if (!reply.ok) return new Response(reply.code, { status: 401 });
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    server.serializeAttachment(reply.socket);
    this.#sockets.set(reply.socket.id, server);
    this.#locationHint = args.locationHint as DurableObjectLocationHint | undefined;
    log("info", "socket.opened", {
      requestId: args.requestId,
      user: args.user,
      device: args.device,
      epoch: reply.socket.id,
    });
    return new Response(null, { status: 101, webSocket: client, headers: { "sec-websocket-protocol": SUBPROTOCOL } });
  }

  deliver(call: Deliver): Promise<DeliverReply> {
    return this.#call(Deliver, call, "deliver");
  }

  notifyReceipt(call: NotifyReceipt): Promise<NotifyReceiptReply> {
    return this.#call(NotifyReceipt, call, "notifyReceipt");
  }

  notifyTyping(call: NotifyTyping): Promise<void> {
    return this.#call(NotifyTyping, call, "notifyTyping");
  }

  askWatermark(call: AskWatermark): Promise<AskWatermarkReply> {
    return this.#call(AskWatermark, call, "askWatermark");
  }

  isRegistered(): Promise<boolean> {
    return this.#wait((call) => ({ type: "isRegistered", call }));
  }

  askAddition(call: AskAddition): Promise<AskAdditionReply> {
    return this.#call(AskAddition, call, "askAddition");
  }

  registerDevice(call: RegisterDevice): Promise<RegisterDeviceReply> {
    return this.#call(RegisterDevice, call, "registerDevice");
  }

  revokeDevice(call: RevokeDevice): Promise<RevokeDeviceReply> {
    return this.#call(RevokeDevice, call, "revokeDevice");
  }

  renameDevice(call: RenameDevice): Promise<{ found: boolean }> {
    return this.#call(RenameDevice, call, "renameDevice");
  }

  listDevices(): Promise<DeviceListed[]> {
    return this.#wait((call) => ({ type: "listDevices", call }));
  }

  admit(call: Admit): Promise<AdmitReply> {
    return this.#call(Admit, call, "admit");
  }

  refresh(call: Refresh): Promise<RefreshReply> {
    return this.#call(Refresh, call, "refresh");
  }

  putKeys(call: PutKeys): Promise<PutKeysReply> {
    return this.#call(PutKeys, call, "putKeys");
  }

  askKeys(call: AskKeys): Promise<AskKeysReply> {
    return this.#call(AskKeys, call, "askKeys");
  }

  accountKey(): Promise<string | undefined> {
    return this.#wait((call) => ({ type: "accountKey", call }));
  }

  claimKeyPackages(call: ClaimKeyPackages): Promise<ClaimKeyPackagesReply> {
    return this.#call(ClaimKeyPackages, call, "claimKeyPackages");
  }

  setPin(call: SetPin): Promise<void> {
    return this.#call(SetPin, call, "setPin");
  }

  assessSignIn(call: AssessSignIn): Promise<AssessSignInReply> {
    return this.#call(AssessSignIn, call, "assessSignIn");
  }

  raiseAlert(call: RaiseAlert): Promise<void> {
    return this.#call(RaiseAlert, call, "raiseAlert");
  }

  setPeer(call: SetPeer): Promise<SetPeerReply> {
    return this.#call(SetPeer, call, "setPeer");
  }

  overview(): Promise<PersonOverview> {
    return this.#wait((call) => ({ type: "overview", call }));
  }

  askPresence(call: AskPresence): Promise<PresenceReply> {
    return this.#call(AskPresence, call, "askPresence");
  }

  notePeer(call: NotePeer): Promise<NotePeerReply> {
    return this.#call(NotePeer, call, "notePeer");
  }

  forgetPeer(call: ForgetPeer): Promise<void> {
    return this.#call(ForgetPeer, call, "forgetPeer");
  }

  removePerson(call: RemovePerson): Promise<RemovePersonReply> {
    return this.#call(RemovePerson, call, "removePerson");
  }

  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): void {
    meter.socketMessages++;
    const wire = typeof message === "string" ? message : new Uint8Array(message);
    this.#handle({ type: "frame", socket: this.#idOf(socket), wire });
  }

  override webSocketClose(socket: WebSocket): void {
    this.#gone(socket);
    socket.close();
  }

  override webSocketError(socket: WebSocket): void {
    this.#gone(socket);
  }

  override async alarm(): Promise<void> {
    meter.alarms++;
    this.#storage.alarmFired();
    this.#handle({ type: "alarm" });
  }

  get #id(): string {
    if (this.ctx.id.name === undefined) throw new Error("a person is reached by their name only");
    return this.ctx.id.name;
  }

  /** A socket that closed while this object slept is no longer listed, but what was attached to it still counts. */
  #gone(socket: WebSocket): void {
    const { id, requestId, device } = attachmentOf(socket);
    this.#wake([socket]);
    this.#handle({ type: "closed", socket: id });
    this.#sockets.delete(id);
    log("info", "socket.closed", { requestId, user: this.#id, device, epoch: id });
  }

  #call<Type extends UserEvent["type"], T>(
    schema: v.GenericSchema<unknown, Extract<UserEvent, { type: Type; args: unknown }>["args"]>,
    args: unknown,
    type: Type,
  ): Promise<T> {
    const decoded = decodeArgs(schema, args);
    return this.#wait<T>((call) => ({ type, call, args: decoded }) as UserEvent);
  }

  #wait<T>(event: (call: number) => UserEvent): Promise<T> {
    return this.#calls.wait<T>((call) => this.#handle(event(call)));
  }

  /** Builds the core when the object has slept, from what is stored and from the sockets that outlived the sleep. */
  #wake(closing: readonly WebSocket[] = []): UserCore {
    if (this.#core) return this.#core;
    for (const socket of [...this.ctx.getWebSockets(), ...closing]) this.#sockets.set(attachmentOf(socket).id, socket);
    const sockets = [...this.#sockets.values()].map(attachmentOf);
    const rate = Number(this.env.SENDS_PER_MINUTE);
    this.#core = new UserCore(this.#id, this.#storage, sockets, {
      lastHeard: (id) => this.#lastHeard(id),
      ...(rate > 0 ? { sendsPerMinute: rate } : {}),
    });
    this.#handle({ type: "woken" });
    return this.#core;
  }

  /**
   * One event, one transaction: what is written without waiting in between commits together, and a core that throws has
   * lost track of itself, so the object is thrown away before anything is committed (docs/decisions/0005).
   */
  #handle(event: UserEvent): void {
    try {
      const effects = this.#wake().handle(event, Date.now());
      for (const effect of effects) this.#do(effect);
      // Whoever still waits for an answer waits for nobody.
      if (effects.some((effect) => effect.do === "wipe")) this.#calls.failAll(new Error("gone"));
    } catch (error) {
      log("error", "user.failed", { user: this.#id, method: event.type, ...errorFields(error) });
      this.ctx.abort("the core threw");
    }
  }

  #do(effect: UserEffect): void {
    switch (effect.do) {
      case "reply":
        return this.#calls.reply(effect.call, effect.value);
      case "fail":
        return this.#calls.fail(effect.call, new Error("unavailable"));
      case "send":
        return this.#send(effect.socket, encodeDown(effect.frame, effect.bodies));
      case "attach":
        return this.#sockets.get(effect.socket.id)?.serializeAttachment(effect.socket);
      case "close":
        return this.#close(effect.socket, effect.reason);
      case "request":
        return void this.#request(effect.token, effect.request);
      case "wipe":
        return this.#wipe();
      case "timer":
        setTimeout(
          this.#toThisCore(() => this.#handle({ type: "timer", token: effect.token })),
          effect.afterMs,
        );
    }
  }

  async #request(token: Token, request: CoreRequest): Promise<void> {
    const settle = this.#toThisCore((result: Result) => this.#handle({ type: "result", token, result }));
    try {
      const value = await withDeadline(this.#perform(request));
      settle({ ok: true, value });
    } catch (error) {
      const method = "method" in request ? request.method : request.to;
      log("warn", "request.failed", { user: this.#id, method, ...errorFields(error) });
      settle({ ok: false });
    }
  }

  /** What comes back for a core that was wiped is no business of the next one. */
  #toThisCore<Args extends unknown[]>(then: (...args: Args) => void): (...args: Args) => void {
    const core = this.#core;
    return (...args) => {
      if (this.#core === core) then(...args);
    };
  }

  async #perform(request: CoreRequest): Promise<unknown> {
    if (request.to === "push") {
      meter.queueSends++;
      return this.env.PUSH_QUEUE.send(request.job);
    }
    if (request.to === "records") return removeRecords(this.env, this.#id);
    meter.objectCalls++;
    const stubs: StubCache<unknown> = request.to === "user" ? this.#users : this.#conversations;
    try {
      const stub = stubs.get(request.id) as Record<string, (args: unknown) => Promise<unknown>>;
      return await stub[request.method]?.(request.args);
    } catch (error) {
      stubs.failed(request.id);
      throw error;
    }
  }

  #conversation(id: string): ReturnType<Env["CONVERSATION"]["getByName"]> {
    return this.env.CONVERSATION.getByName(id, this.#locationHint ? { locationHint: this.#locationHint } : {});
  }

  /** The platform holds back every answer until this is done. */
  #wipe(): void {
    this.#core = undefined;
    this.#storage.alarmFired();
    void this.ctx.storage.deleteAlarm();
    void this.ctx.storage.deleteAll();
  }

  /** A socket that closes under our hands is reported by its own close event. */
  #send(id: SocketId, wire: string | Uint8Array): void {
    try {
      this.#sockets.get(id)?.send(wire);
    } catch {
      log("debug", "socket.lost", { user: this.#id, epoch: id });
    }
  }

  #close(id: SocketId, reason: CloseReason): void {
    try {
      this.#sockets.get(id)?.close(closeCodes[reason], reason);
    } catch {
      log("debug", "socket.lost", { user: this.#id, epoch: id });
    }
    this.#sockets.delete(id);
  }

  #idOf(socket: WebSocket): SocketId {
    const known = this.#ids.get(socket);
    if (known !== undefined) return known;
    const { id } = attachmentOf(socket);
    this.#ids.set(socket, id);
    return id;
  }

  #lastHeard(id: SocketId): number {
    const socket = this.#sockets.get(id);
    return socket ? (this.ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0) : 0;
  }
}

function attachmentOf(socket: WebSocket): Socket {
  return socket.deserializeAttachment() as Socket;
}
