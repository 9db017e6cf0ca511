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
import type { Send } from "../../shared/protocol/up.ts";
import type { Appended, AppendReply, Entry } from "../../shared/rpc.ts";
import { Gather } from "../runtime/gather.ts";
import type { Deliveries } from "./deliveries.ts";
import type { Person } from "./person.ts";
import { type Socket, type SocketId, touch, trackOwn } from "./socket.ts";

interface Outgoing {
  readonly socket: SocketId;
  readonly device: DeviceId;
  readonly id: MessageId;
  readonly body: Uint8Array;
}

type Queue = Gather<Outgoing>;

/** From this message on a device has to send again. */
interface Stall {
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

  constructor(person: Person, deliveries: Deliveries) {
    this.#person = person;
    this.#deliveries = deliveries;
  }

  accept(socket: Socket, frame: Send, body: Uint8Array): void {
    const refused = this.#refusal(socket, frame, body);
    if (refused) return this.#refuse(socket, frame.conversation, frame.id, refused, defaultRetry[refused]);
    this.#stalls.get(socket)?.delete(frame.conversation);
    const queue = this.#queues.get(frame.conversation) ?? new Gather<Outgoing>();
    this.#queues.set(frame.conversation, queue);
    queue.add({ socket: socket.id, device: socket.device, id: frame.id, body });
    this.#count(1, body.byteLength);
    this.#next(frame.conversation, queue, socket);
  }

  #refusal(socket: Socket, { id, conversation }: Send, body: Uint8Array): ErrorCode | undefined {
    if (body.byteLength === 0) return "bad_frame";
    if (body.byteLength > MAX_BODY_BYTES) return "too_large";
    if (isForeign(conversation, this.#person.id)) return "not_found";
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
  #refuse(socket: Socket, conversation: ConversationId, id: MessageId, code: ErrorCode, retry: Retry): void {
    this.#person.refuse(socket, code, { conversation, id, retry });
    if (retry === "never") return;
    const stalls = this.#stalls.get(socket) ?? new Map<ConversationId, Stall>();
    this.#stalls.set(socket, stalls);
    const standing = stalls.get(conversation);
    if (!standing || id <= standing.id) stalls.set(conversation, { id, until: this.#person.now + SEND_STALL_MS });
  }

  #isStalled(socket: Socket, conversation: ConversationId, id: MessageId): boolean {
    const stall = this.#stalls.get(socket)?.get(conversation);
    return stall !== undefined && id > stall.id && this.#person.now < stall.until;
  }

  /** One budget for all devices of the person; it is kept with the socket that used it last, and attached with what follows. */
  #spend(socket: Socket): boolean {
    const person = this.#person;
    const counted = [...person.sockets.values()].reduce(
      (a, b) => (b.allowance.at > a.allowance.at ? b : a),
      socket,
    ).allowance;
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
      if (result.ok && result.value === true) return this.#append(conversation, queue, batch, via);
      this.#settle(conversation, queue, batch, refuseAll(batch, result.ok ? "not_found" : "unavailable"));
    });
  }

  #append(conversation: ConversationId, queue: Queue, batch: Outgoing[], via: Socket | undefined): void {
    const args = {
      user: this.#person.id,
      messages: batch.map(({ id, device, body }) => ({ id, device, body })),
      watermark: this.#person.watermark(conversation),
      requestId: via?.requestId ?? "",
    };
    const request = {
      to: "conversation",
      id: conversation,
      method: "append",
      args,
    } as const;
    this.#person.request(request, (result) => {
      const results = result.ok ? (result.value as AppendReply).results : refuseAll(batch, "unavailable");
      this.#settle(conversation, queue, batch, results);
    });
  }

  /** The other devices are served or marked before ✓ goes out: an acked message reaches them too (R1). */
  #settle(conversation: ConversationId, queue: Queue, batch: readonly Outgoing[], results: readonly Appended[]): void {
    this.#count(-batch.length, -batch.reduce((sum, { body }) => sum + body.byteLength, 0));
    if (results.some((result) => result.ok)) this.#person.know(conversation);
    for (const device of new Set(batch.map((outgoing) => outgoing.device))) {
      this.#toOtherDevices(device, conversation, batch, results);
    }
    for (const socket of new Set(batch.map((outgoing) => outgoing.socket))) {
      this.#answer(socket, conversation, batch, results);
    }
    if (results.some((result) => !result.ok && result.retry !== "never")) this.#refuseWaiting(conversation, queue);
    this.#afterTurn(conversation, queue);
  }

  #refuseWaiting(conversation: ConversationId, queue: Queue): void {
    const waiting = queue.drain();
    this.#count(-waiting.length, -waiting.reduce((sum, { body }) => sum + body.byteLength, 0));
    for (const { socket: id, id: message } of waiting) {
      const socket = this.#person.sockets.get(id);
      if (socket) this.#refuse(socket, conversation, message, "unavailable", defaultRetry.unavailable);
    }
  }

  #afterTurn(conversation: ConversationId, queue: Queue): void {
    if (!queue.done()) {
      this.#queues.delete(conversation);
      return;
    }
    this.#person.later(1, () => {
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

  #answer(id: SocketId, conversation: ConversationId, batch: readonly Outgoing[], results: readonly Appended[]): void {
    const socket = this.#person.sockets.get(id);
    if (!socket) return;
    const mine = results.filter((_, index) => batch[index]?.socket === id);
    const placed = mine.flatMap((result) => (result.ok ? [{ id: result.id, seq: result.seq, at: result.at }] : []));
    if (placed.length > 0) {
      const track = touch(socket, conversation);
      for (const { seq } of placed.toSorted(bySeq)) trackOwn(track, seq);
      this.#person.attach(socket);
      this.#person.send(socket, { type: "sent", conversation, messages: placed });
    }
    for (const result of mine) {
      if (!result.ok) this.#refuse(socket, conversation, result.id, result.code, result.retry);
    }
  }

  #count(messages: number, bytes: number): void {
    this.#waiting = { messages: this.#waiting.messages + messages, bytes: this.#waiting.bytes + bytes };
  }
}

function bySeq(a: { seq: number }, b: { seq: number }): number {
  return a.seq - b.seq;
}

function refuseAll(batch: readonly Outgoing[], code: "not_found" | "unavailable"): Appended[] {
  return batch.map(({ id }) => ({ ok: false, id, code, retry: code === "unavailable" ? 1_000 : "never" }));
}
