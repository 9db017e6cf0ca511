import { defaultRetry, type ErrorCode, type Retry } from "../../shared/errors.ts";
import {
  type ConversationId,
  type DeviceId,
  directPeer,
  isForeign,
  type MessageId,
  messageTime,
} from "../../shared/ids.ts";
import {
  MAX_APPEND_BYTES,
  MAX_APPEND_MESSAGES,
  MAX_BODY_BYTES,
  MAX_ID_AHEAD_MS,
  MAX_WAITING_SEND_BYTES_PER_USER,
  MAX_WAITING_SENDS_PER_USER,
  SEND_STALL_MS,
} from "../../shared/limits.ts";
import type { Appended, AppendReply, Entry } from "../../shared/rpc.ts";
import { Gather, TURN_MS } from "../runtime/gather.ts";
import type { Deliveries } from "./deliveries.ts";
import type { Person } from "./person.ts";
import { type Socket, type SocketId, touch, trackOwn } from "./socket.ts";
import type { Budget } from "./store.ts";

/** A message as a device hands it in. */
export interface SentMessage {
  readonly id: MessageId;
  readonly body: Uint8Array;
}

interface Outgoing extends SentMessage {
  /** Counts what comes in: ids do not tell the order, for a device may give a message that waits a later one. */
  readonly turn: number;
  readonly socket: SocketId;
  readonly device: DeviceId;
}

type Queue = Gather<Outgoing>;

/** From this message on a device has to send again. */
interface Stall {
  readonly turn: number;
  readonly id: MessageId;
  readonly until: number;
}

/** What this person's devices send: one call in flight a conversation, each with all that waits for it. */
export class Sends {
  readonly #person: Person;
  readonly #deliveries: Deliveries;
  readonly #queues = new Map<ConversationId, Queue>();
  readonly #stalls = new WeakMap<Socket, Map<ConversationId, Stall>>();
  #waiting = { messages: 0, bytes: 0 };
  #turns = 0;

  constructor(person: Person, deliveries: Deliveries) {
    this.#person = person;
    this.#deliveries = deliveries;
  }

  accept(socket: Socket, conversation: ConversationId, messages: readonly SentMessage[]): void {
    const queue = this.#queues.get(conversation) ?? new Gather<Outgoing>();
    this.#queues.set(conversation, queue);
    for (const message of messages) {
      const turn = ++this.#turns;
      const refused = this.#refusal(socket, conversation, message);
      if (refused) this.#refuse(socket, conversation, { turn, id: message.id }, refused, defaultRetry[refused]);
      else this.#enqueue(queue, socket, conversation, { turn, ...message });
    }
    this.#next(conversation, queue, socket);
  }

  /** Nothing more is sent there. True: something still is under way. */
  abandon(conversation: ConversationId): boolean {
    const queue = this.#queues.get(conversation);
    if (!queue) return false;
    this.#refuseWaiting(conversation, queue, "not_found");
    return !queue.isIdle;
  }

  #isBlocked(conversation: ConversationId): boolean {
    const peer = directPeer(conversation, this.#person.id);
    return peer !== undefined && this.#person.peer(peer).isBlocked;
  }

  #enqueue(
    queue: Queue,
    socket: Socket,
    conversation: ConversationId,
    message: Pick<Outgoing, "turn" | "id" | "body">,
  ): void {
    this.#stalls.get(socket)?.delete(conversation);
    queue.add({ socket: socket.id, device: socket.device, ...message });
    this.#count(1, message.body.byteLength);
  }

  #refusal(socket: Socket, conversation: ConversationId, { id, body }: SentMessage): ErrorCode | undefined {
    if (body.byteLength === 0) return "bad_frame";
    if (body.byteLength > MAX_BODY_BYTES) return "too_large";
    if (isForeign(conversation, this.#person.id)) return "not_found";
    if (this.#isBlocked(conversation)) return "blocked";
    if (messageTime(id) > this.#person.now + MAX_ID_AHEAD_MS) return "id_from_future";
    if (this.#isStalled(socket, conversation, id)) return "busy";
    if (this.#waiting.messages >= MAX_WAITING_SENDS_PER_USER) return "busy";
    if (this.#waiting.bytes >= MAX_WAITING_SEND_BYTES_PER_USER) return "busy";
    return this.#spend(socket) ? undefined : "rate_limited";
  }

  /**
   * A device's messages stay in the order it sent them (R2): after one that it is to send again, what came behind that one
   * is refused too, until that one has come again, or for long enough to show that it will not.
   */
  #refuse(
    socket: Socket,
    conversation: ConversationId,
    { turn, id }: Pick<Outgoing, "turn" | "id">,
    code: ErrorCode,
    retry: Retry,
  ): void {
    this.#person.refuse(socket, code, { conversation, id, retry });
    if (retry === "never") return;
    const stalls = this.#stalls.get(socket) ?? new Map<ConversationId, Stall>();
    this.#stalls.set(socket, stalls);
    const standing = this.#stall(socket, conversation);
    const isFirst = !standing || standing.id === id || turn < standing.turn;
    if (isFirst) stalls.set(conversation, { turn, id, until: this.#person.now + SEND_STALL_MS });
  }

  #isStalled(socket: Socket, conversation: ConversationId, id: MessageId): boolean {
    const stall = this.#stall(socket, conversation);
    return stall !== undefined && stall.id !== id;
  }

  #stall(socket: Socket, conversation: ConversationId): Stall | undefined {
    const stall = this.#stalls.get(socket)?.get(conversation);
    return stall && this.#person.now < stall.until ? stall : undefined;
  }

  /** One budget for all devices of the person; it is kept with the socket that used it last, and attached with what follows. */
  #spend(socket: Socket): boolean {
    const person = this.#person;
    const budgets = [
      ...person.sockets.values(),
      ...[...person.devices.values()].flatMap((device) => device.budget ?? []),
    ];
    const counted = budgets.reduce((a, b) => (b.allowance.at > a.allowance.at ? b : a), socket as Budget).allowance;
    const earned = ((person.now - counted.at) * person.sendsPerMinute) / 60_000;
    const sends = Math.min(person.sendsPerMinute, counted.sends + earned);
    if (sends < 1) return false;
    socket.allowance = { sends: sends - 1, at: person.now };
    return true;
  }

  #next(conversation: ConversationId, queue: Queue, via: Socket | undefined): void {
    const batch = queue.take(MAX_APPEND_MESSAGES, MAX_APPEND_BYTES, (message) => message.body.byteLength);
    if (batch.length === 0) {
      if (queue.isIdle) this.#queues.delete(conversation);
      return;
    }
    const peer = directPeer(conversation, this.#person.id);
    if (peer === undefined || this.#person.knows(conversation)) return this.#append(conversation, queue, batch, via);
    this.#person.request({ to: "user", id: peer, method: "isRegistered", args: undefined }, (result) => {
      if (!result.ok) return this.#settle(conversation, queue, batch, refuseAll(batch, "unavailable"));
      if (result.value !== true) return this.#settle(conversation, queue, batch, refuseAll(batch, "not_found"));
      const retry = this.#person.take("first_contact", 1);
      if (retry === undefined) this.#append(conversation, queue, batch, via);
      else this.#settle(conversation, queue, batch, refuseAll(batch, "rate_limited", retry));
    });
  }

  #append(conversation: ConversationId, queue: Queue, batch: Outgoing[], via: Socket | undefined): void {
    if (this.#person.account.removal) {
      return this.#settle(conversation, queue, batch, refuseAll(batch, "not_found"));
    }
    const args = {
      user: this.#person.id,
      messages: batch.map(({ id, device, body }) => ({ id, device, body })),
      watermark: this.#person.reported(conversation),
      requestId: via?.requestId ?? "",
    };
    const request = {
      to: "conversation",
      id: conversation,
      method: "append",
      args,
    } as const;
    this.#person.request(request, (result) => {
      const reply = result.ok ? (result.value as AppendReply) : refuseAll(batch, "unavailable");
      this.#settle(conversation, queue, batch, reply);
    });
  }

  /** The other devices are served or marked before ✓ goes out: an acked message reaches them too (R1). */
  #settle(conversation: ConversationId, queue: Queue, batch: readonly Outgoing[], reply: AppendReply): void {
    const { results } = reply;
    this.#count(-batch.length, -batch.reduce((sum, { body }) => sum + body.byteLength, 0));
    if (results.some((result) => result.ok)) this.#wrote(conversation);
    for (const device of new Set(batch.map((outgoing) => outgoing.device))) {
      this.#toOtherDevices(device, conversation, batch, results);
    }
    for (const socket of new Set(batch.map((outgoing) => outgoing.socket))) {
      this.#answer(socket, conversation, batch, reply);
    }
    if (results.some((result) => !result.ok && result.retry !== "never"))
      this.#refuseWaiting(conversation, queue, "unavailable");
    this.#afterTurn(conversation, queue);
  }

  /** Who writes to somebody accepts what they write; the message has told them that something is kept here. */
  #wrote(conversation: ConversationId): void {
    this.#person.know(conversation);
    const peer = directPeer(conversation, this.#person.id);
    if (peer !== undefined) this.#person.accept(peer, false);
  }

  #refuseWaiting(conversation: ConversationId, queue: Queue, code: ErrorCode): void {
    const waiting = queue.drain();
    this.#count(-waiting.length, -waiting.reduce((sum, { body }) => sum + body.byteLength, 0));
    for (const message of waiting) {
      const socket = this.#person.sockets.get(message.socket);
      if (socket) this.#refuse(socket, conversation, message, code, defaultRetry[code]);
    }
  }

  #afterTurn(conversation: ConversationId, queue: Queue): void {
    if (!queue.done()) {
      this.#queues.delete(conversation);
      return;
    }
    this.#person.later(TURN_MS, () => {
      queue.resume();
      const via = this.#person.sockets.get(queue.waiting[0]?.socket ?? 0);
      this.#next(conversation, queue, via);
    });
  }

  #toOtherDevices(
    device: DeviceId,
    conversation: ConversationId,
    batch: readonly Outgoing[],
    results: readonly Appended[],
  ): void {
    const others = [...this.#person.devices.values()].filter((other) => other.id !== device);
    if (others.length === 0) return;
    const entries = results.flatMap((result, index): Entry[] => {
      const message = batch[index];
      if (!result.ok || message?.device !== device) return [];
      return [{ seq: result.seq, id: result.id, at: result.at, user: this.#person.id, device, body: message.body }];
    });
    this.#deliveries.toDevices(others, conversation, entries.toSorted(bySeq));
  }

  #answer(id: SocketId, conversation: ConversationId, batch: readonly Outgoing[], reply: AppendReply): void {
    const { results, hasOrphans } = reply;
    const socket = this.#person.sockets.get(id);
    if (!socket) return;
    const mine = results.filter((_, index) => batch[index]?.socket === id);
    const placed = mine.flatMap((result) => (result.ok ? [{ id: result.id, seq: result.seq, at: result.at }] : []));
    if (placed.length > 0) {
      const track = touch(socket, conversation);
      for (const { seq } of placed.toSorted(bySeq)) trackOwn(track, seq);
      this.#person.attach(socket);
      this.#person.send(socket, { type: "sent", conversation, messages: placed, ...(hasOrphans && { hasOrphans }) });
    }
    for (const [index, result] of results.entries()) {
      const message = batch[index];
      if (result.ok || message?.socket !== id) continue;
      this.#refuse(socket, conversation, message, result.code, result.retry);
    }
  }

  #count(messages: number, bytes: number): void {
    this.#waiting = { messages: this.#waiting.messages + messages, bytes: this.#waiting.bytes + bytes };
  }
}

function bySeq(a: { seq: number }, b: { seq: number }): number {
  return a.seq - b.seq;
}

function refuseAll(batch: readonly Outgoing[], code: ErrorCode, retry: Retry = defaultRetry[code]): AppendReply {
  return { results: batch.map(({ id }) => ({ ok: false, id, code, retry })) };
}
