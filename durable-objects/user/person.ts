import type { CloseReason } from "../../shared/errors.ts";
import { defaultRetry, type ErrorCode, type Retry } from "../../shared/errors.ts";
import {
  type ConversationId,
  type Cursor,
  type DeviceId,
  directConversation,
  directPeer,
  type MessageId,
  type Seq,
  type UserId,
} from "../../shared/ids.ts";
import {
  CALL_RETRY_MS,
  HASTY_FRAMES_PER_OFFENCE,
  IDLE_WARNING_MS,
  MAX_DIRTY_PER_DEVICE,
  MAX_OFFENCES_PER_MINUTE,
  type PersonBucket,
  personBuckets,
  SENDS_PER_MINUTE,
  SOCKET_SILENCE_MS,
} from "../../shared/limits.ts";
import { isCommit } from "../../shared/mls/framing.ts";
import type { DownFrame } from "../../shared/protocol/down.ts";
import type { AskWatermarkReply, Entry, Watermark } from "../../shared/rpc.ts";
import { take } from "../runtime/token-bucket.ts";
import type { CallId, Request, Result, Token, UserEffect } from "./effects.ts";
import { isUnacked, prune, type Socket, type SocketId, type Track } from "./socket.ts";
import { type Account, type Device, type Peer, RECEIPTS_ONLY, stranger, type UserStore } from "./store.ts";

const nothing: Watermark = { delivered: 0, read: 0, kept: 0 };

type Continuation = (result: Result) => void;

/** What the embedding world tells a person's object. */
export interface Surroundings {
  /** When anything was last heard on a socket, answered pings included (ms since 1970); 0 if never. */
  lastHeard(socket: SocketId): number;
  readonly sendsPerMinute?: number;
}

/**
 * What all parts of a person's object share: devices, sockets, the effects of the event being handled, and the calls
 * under way. Its parts (connections, deliveries, sends, catch-up, receipts) change it and emit into it.
 */
export class Person {
  readonly id: UserId;
  readonly store: UserStore;
  readonly devices: Map<DeviceId, Device>;
  readonly sockets: Map<SocketId, Socket>;
  readonly sendsPerMinute: number;
  /** Counts connections; durable with the device that connected last. */
  epoch: Cursor;
  /** Time of the event being handled. */
  now = 0;
  readonly account: Account;
  /** Told of everybody whose messages are no request any more. */
  onAccept: (conversation: ConversationId) => void = () => {};
  /** Told of every conversation that is gone. */
  onForget: (conversation: ConversationId) => void = () => {};
  /** Told of every connection that ends. */
  onDisconnect: (socket: SocketId) => void = () => {};
  readonly #surroundings: Surroundings;
  readonly #known = new Set<ConversationId>();
  readonly #peers = new Map<UserId, Peer>();
  readonly #continuations = new Map<Token, Continuation>();
  #lastToken = 0;
  #effects: UserEffect[] = [];
  /** Sockets whose state the event has changed. */
  readonly #changed = new Set<Socket>();

  constructor(id: UserId, store: UserStore, sockets: readonly Socket[], surroundings: Surroundings) {
    this.id = id;
    this.store = store;
    this.account = store.account();
    this.devices = new Map(store.devices().map((device) => [device.id, device]));
    this.sockets = new Map(sockets.filter((socket) => this.#isOpen(socket)).map((socket) => [socket.id, socket]));
    this.epoch = Math.max(store.epoch(), ...[...this.devices.values()].map((device) => device.epoch));
    this.#surroundings = surroundings;
    this.sendsPerMinute = surroundings.sendsPerMinute ?? SENDS_PER_MINUTE;
  }

  /**
   * The platform lists a socket that this object has closed until the device confirms it, which one that is gone never
   * does: only what is stored tells it from the device's connection.
   */
  #isOpen(socket: Socket): boolean {
    const device = this.devices.get(socket.device);
    return device?.isOpen === true && device.epoch === socket.id;
  }

  /** A person comes to be with their first device. */
  begin(): void {
    this.store.initialise();
    this.store.armBy(this.now + IDLE_WARNING_MS);
  }

  /** When any device of theirs was last connected, ms since 1970; 0 if never. */
  lastSeenAt(): number {
    if (this.sockets.size > 0) return this.now;
    const devices = [...this.devices.values()];
    return Math.max(this.account.seenAt, ...devices.map((device) => Math.max(device.seenAt, device.registeredAt)));
  }

  /** A device goes that was seen then. */
  noteSeen(at: number): void {
    if (at <= this.account.seenAt) return;
    this.account.seenAt = at;
    this.store.saveAccount(this.account);
  }

  /** Takes from one of the person's buckets. @returns when to try again (ms), if there is not enough */
  take(name: PersonBucket, cost: number): number | undefined {
    const taken = take(personBuckets[name], this.store.bucket(name), cost, this.now);
    if (!taken.ok) return Math.max(1, taken.retryMs);
    this.store.saveBucket(name, taken.state);
    return undefined;
  }

  // ── effects ───────────────────────────────────────────────────────────────────────────────────────────────────────

  emit(effect: UserEffect): void {
    this.#effects.push(effect);
  }

  takeEffects(): UserEffect[] {
    const attachments = [...this.#changed].map((socket): UserEffect => ({ do: "attach", socket }));
    const effects = [...this.#effects, ...attachments];
    this.#effects = [];
    this.#changed.clear();
    return effects;
  }

  reply(call: CallId, value: unknown): void {
    this.emit({ do: "reply", call, value });
  }

  send(socket: Socket, frame: DownFrame, bodies: readonly Uint8Array[] = []): void {
    this.emit({ do: "send", socket: socket.id, frame, bodies });
  }

  /** Answers a frame with an error. A device that keeps causing them is closed. */
  refuse(
    socket: Socket,
    code: ErrorCode,
    about: { conversation?: ConversationId; id?: MessageId; request?: Seq; retry?: Retry } = {},
  ): void {
    if (!this.sockets.has(socket.id)) return;
    const retry = about.retry ?? defaultRetry[code];
    if (this.#isFlooding(socket, retry)) return this.disconnect(socket, "flooding");
    this.send(socket, { type: "error", code, ...about, retry });
  }

  /** Coming too soon is forgivable, for a queue of messages may be behind it; making no sense is not. */
  #isFlooding(socket: Socket, retry: Retry): boolean {
    const { count, since } = socket.offences;
    const weight = typeof retry === "number" ? 1 / HASTY_FRAMES_PER_OFFENCE : 1;
    const isNewMinute = this.now - since > 60_000;
    socket.offences = isNewMinute ? { count: weight, since: this.now } : { count: count + weight, since };
    this.#changed.add(socket);
    return socket.offences.count > MAX_OFFENCES_PER_MINUTE;
  }

  /** Calls another object; calls that fail are repeated a few times, for all of them may be. */
  request(request: Request, then: Continuation, attempt = 0): void {
    const token = this.#register((result) => {
      const pause = CALL_RETRY_MS[attempt];
      if (result.ok || pause === undefined) then(result);
      else this.later(pause, () => this.request(request, then, attempt + 1));
    });
    this.emit({ do: "request", token, request });
  }

  later(afterMs: number, then: () => void): void {
    this.emit({ do: "timer", token: this.#register(then), afterMs });
  }

  /** A call or a timer came back. */
  resume(token: Token, result: Result): void {
    const then = this.#continuations.get(token);
    this.#continuations.delete(token);
    then?.(result);
  }

  #register(then: Continuation): Token {
    this.#lastToken++;
    this.#continuations.set(this.#lastToken, then);
    return this.#lastToken;
  }

  // ── devices and sockets ───────────────────────────────────────────────────────────────────────────────────────────

  socketOf(device: DeviceId): Socket | undefined {
    for (const socket of this.sockets.values()) if (socket.device === device) return socket;
    return undefined;
  }

  offlineDevices(): Device[] {
    return [...this.devices.values()].filter((device) => !this.socketOf(device.id));
  }

  /** Has the socket's state kept with it. A socket whose device leaves too much unacked is closed instead. */
  attach(socket: Socket): void {
    if (prune(socket)) this.#changed.add(socket);
    else this.disconnect(socket, "too_slow");
  }

  /**
   * Ends a connection: what was sent and not acked becomes dirty, and a device that may not have seen what others wrote is
   * owed a push, be it from this connection or from before: it may have been here too short a time to catch up.
   * @param reason what to tell the device; undefined when the socket is already gone
   * @param seenAt when it was last known to be there
   */
  disconnect(socket: Socket, reason?: CloseReason, seenAt = this.now): void {
    if (!this.sockets.delete(socket.id)) return;
    this.#changed.delete(socket);
    this.onDisconnect(socket.id);
    const device = this.devices.get(socket.device);
    if (device?.epoch === socket.id) {
      device.isOpen = false;
      device.seenAt = seenAt;
      device.budget = { allowance: socket.allowance, frames: socket.frames, offences: socket.offences };
      for (const [conversation, track] of socket.tracks) this.#keepTrack(device, conversation, track);
      const isMissed = [...device.dirty.values()].some((dirty) => dirty.pushed);
      if (isMissed || device.lastAlert > device.calledForAlert) this.owePush(device);
      this.store.save(device);
    }
    if (!reason) return;
    this.send(socket, { type: "bye", code: reason, retry: defaultRetry[reason] });
    this.emit({ do: "close", socket: socket.id, reason });
  }

  /** What the connection has shown goes with it otherwise. */
  #keepTrack(device: Device, conversation: ConversationId, track: Track): void {
    const dirty = device.dirty.get(conversation);
    // It has said itself that it has everything up to there: the next catch-up goes on from there.
    if (dirty) dirty.since = Math.max(dirty.since, track.acked);
    if (isUnacked(track)) this.markDirty(device, conversation, track.low, track.foreign > track.acked);
    this.#keepWithheld(conversation, track);
  }

  /** Closes sockets from which not even an answered ping was heard: the device is gone and wants pushes. */
  disconnectSilent(): void {
    for (const socket of this.sockets.values()) {
      const heard = Math.max(socket.heardAt, this.#surroundings.lastHeard(socket.id));
      if (this.now - heard > SOCKET_SILENCE_MS) this.disconnect(socket, "restarting", heard);
    }
  }

  /** An alarm asks for the push; the caller saves the device. */
  owePush(device: Device): void {
    device.owesPush = true;
    device.calledForAlert = device.lastAlert;
    this.store.armBy(this.now);
  }

  // ── inbox ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** For this a device that is away is woken: what another person says. A commit says nothing, whoever makes it. */
  isNews({ user, body }: Entry): boolean {
    return user !== this.id && !isCommit(body);
  }

  /** Lowers what the device misses; the caller saves the device. True: its row changes. */
  markDirty(device: Device, conversation: ConversationId, since: Cursor, pushed: boolean): boolean {
    const dirty = device.dirty.get(conversation);
    if (dirty) {
      const changes = since < dirty.since || (pushed && !dirty.pushed);
      dirty.since = Math.min(dirty.since, since);
      dirty.pushed ||= pushed;
      return changes;
    }
    if (device.dirty.size < MAX_DIRTY_PER_DEVICE) device.dirty.set(conversation, { since, pushed });
    else if (device.isSuspect) return false;
    else device.isSuspect = true;
    return true;
  }

  /** The conversation takes part in every comparison from now on. */
  know(conversation: ConversationId): void {
    if (this.knows(conversation)) return;
    this.store.addConversation(conversation);
    this.#known.add(conversation);
  }

  knows(conversation: ConversationId): boolean {
    if (this.#known.has(conversation)) return true;
    const known = this.store.hasConversation(conversation);
    if (known) this.#known.add(conversation);
    return known;
  }

  /** What nobody may bring back: the person on the other side is gone. */
  forget(conversation: ConversationId, peer: UserId): void {
    this.store.removeConversation(conversation);
    this.store.removePeer(peer);
    this.store.claimants.remove(peer);
    this.store.adders.remove(peer);
    this.#known.delete(conversation);
    this.#peers.delete(peer);
    for (const device of this.devices.values()) {
      if (device.dirty.delete(conversation)) this.store.save(device);
    }
    for (const socket of this.sockets.values()) {
      if (socket.tracks.delete(conversation)) this.#changed.add(socket);
    }
    this.onForget(conversation);
  }

  // ── others ────────────────────────────────────────────────────────────────────────────────────────────────────────

  peer(id: UserId): Peer {
    const peer = this.#peers.get(id) ?? this.store.peer(id) ?? stranger;
    this.#peers.set(id, peer);
    return peer;
  }

  setPeer(id: UserId, peer: Peer): void {
    this.store.savePeer(id, peer);
    this.#peers.set(id, peer);
  }

  /**
   * What they write is no request any more; what was withheld from them is told.
   * @param isUntold they have not heard yet that something is kept about them here
   */
  accept(id: UserId, isUntold: boolean): void {
    const peer = this.peer(id);
    if (peer.isAccepted) return;
    this.setPeer(id, { ...peer, isAccepted: true, isUntold: isUntold || peer.isUntold });
    this.onAccept(directConversation(id, this.id));
  }

  /** How far this person has got with what a stranger wrote, for when they are accepted. */
  #keepWithheld(conversation: ConversationId, { acked: delivered, read }: Track): void {
    const id = directPeer(conversation, this.id);
    if (id === undefined || this.peer(id).isAccepted) return;
    const peer = this.peer(id);
    if (delivered <= peer.delivered && read <= peer.read) return;
    this.setPeer(id, { ...peer, delivered: Math.max(delivered, peer.delivered), read: Math.max(read, peer.read) });
  }

  /** A stranger, or somebody blocked, learns nothing of what becomes of their messages (docs/protocol.md R12). */
  isWithheld(conversation: ConversationId): boolean {
    const id = directPeer(conversation, this.id);
    if (id === undefined) return false;
    const { isAccepted, isBlocked } = this.peer(id);
    return !isAccepted || isBlocked;
  }

  /** The watermark as far as others may know it, also from what leaves the log early. */
  reported(conversation: ConversationId): Watermark {
    return this.isWithheld(conversation) ? nothing : this.watermark(conversation);
  }

  // ── watermarks ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** How far this person's devices are known to have got. Where nothing is known it claims nothing. */
  watermark(conversation: ConversationId): Watermark {
    const tracks = [...this.sockets.values()].flatMap((socket) => socket.tracks.get(conversation) ?? []);
    const delivered = Math.max(0, ...tracks.map((track) => track.acked));
    const read = Math.max(0, ...tracks.map((track) => track.read));
    const kept = Math.min(delivered, ...[...this.devices.values()].map((device) => this.#kept(device, conversation)));
    return { delivered, read, kept };
  }

  /** The watermark with what speaks against forgetting: asked before a log is dropped early. */
  standing(conversation: ConversationId): AskWatermarkReply {
    const missing = [...this.devices.values()].map((device) => this.#missingAbove(device, conversation));
    return { ...this.reported(conversation), missingAbove: Math.min(Number.MAX_SAFE_INTEGER, ...missing) };
  }

  #missingAbove(device: Device, conversation: ConversationId): number {
    if (device.isSuspect) return 0;
    const track = this.socketOf(device.id)?.tracks.get(conversation);
    const unacked = track && isUnacked(track) ? track.low : Infinity;
    return Math.min(unacked, device.dirty.get(conversation)?.since ?? Infinity);
  }

  /** What the device surely has; infinite where it has everything that this object was ever told of. */
  #kept(device: Device, conversation: ConversationId): number {
    if (device.isSuspect) return 0;
    const dirty = device.dirty.get(conversation);
    const missed = dirty && dirty.since !== RECEIPTS_ONLY ? dirty.since : Infinity;
    const track = this.socketOf(device.id)?.tracks.get(conversation);
    return Math.min(missed, track && track.high > 0 ? track.acked : Infinity);
  }
}
