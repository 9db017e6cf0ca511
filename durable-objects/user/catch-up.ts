import { defaultRetry, type ErrorCode } from "../../shared/errors.ts";
import { type ConversationId, type Cursor, isForeign, type Seq, type UserId } from "../../shared/ids.ts";
import {
  FAN_OUT_HOLD_MEMBERS,
  MAX_CONVERSATIONS_PER_USER,
  MAX_PARALLEL_READS,
  MAX_SYNCS_PER_SOCKET,
  MAX_UNACKED_READS,
} from "../../shared/limits.ts";
import type { Position, Sync } from "../../shared/protocol/up.ts";
import type { ReadLogReply, Watermark } from "../../shared/rpc.ts";
import type { Deliveries } from "./deliveries.ts";
import type { Person } from "./person.ts";
import { isUnacked, type Socket, type SocketId, touch, trackSent } from "./socket.ts";
import type { Device } from "./store.ts";

/** One request being worked off for one socket. */
interface Run {
  readonly socket: SocketId;
  /** 0: what follows `hello` by itself. */
  readonly request: Cursor;
  /** Everything is compared, not only what is listed: afterwards nothing is suspect. */
  readonly isComparison: boolean;
  /** Conversations still to be read, and above what. */
  waiting: Position[];
  /** Reads under way, and pages that must be acked before the next one goes out. */
  readonly open: Set<ConversationId>;
  /** Pages sent whose end the device has not acked; with the next position to read, if the page was not the last. */
  readonly unsettled: Map<ConversationId, { target: Cursor; next: Cursor | undefined }>;
  /** The device was told that this was all. */
  isDrained: boolean;
  /** Something it named is not the person's; that counts once, however much of it there is. */
  hasOffended: boolean;
}

type Page = Extract<ReadLogReply, { ok: true }>;

/** Brings devices up to date: after `hello` from what is dirty, and on request from the device's own positions. */
export class CatchUp {
  readonly #person: Person;
  readonly #deliveries: Deliveries;
  #runs: Run[] = [];
  /** Cursors of a comparison that comes in several frames. */
  readonly #collected = new Map<SocketId, Map<ConversationId, Position>>();

  constructor(person: Person, deliveries: Deliveries) {
    this.#person = person;
    this.#deliveries = deliveries;
  }

  /** After `hello` of a device that is not suspect. */
  begin(socket: Socket, device: Device): void {
    const waiting = [...device.dirty].map(([conversation, { since }]): Position => [conversation, since, 0]);
    this.#start(socket, 0, false, waiting);
  }

  sync(socket: Socket, frame: Sync): void {
    const collected = this.#collected.get(socket.id) ?? new Map<ConversationId, Position>();
    const runs = this.#runs.filter((run) => run.socket === socket.id);
    if (runs.length >= MAX_SYNCS_PER_SOCKET || collected.size > MAX_CONVERSATIONS_PER_USER) {
      this.#collected.delete(socket.id);
      return this.#person.refuse(socket, "busy", { request: frame.request });
    }
    for (const position of frame.cursors) collected.set(position[0], position);
    if (frame.more) {
      this.#collected.set(socket.id, collected);
      return this.#noteCatchingUp(socket);
    }
    this.#collected.delete(socket.id);
    const isComparison = frame.scope === "all";
    if (isComparison) {
      for (const conversation of this.#person.store.conversations()) {
        if (!collected.has(conversation)) collected.set(conversation, [conversation, 0, 0]);
      }
    }
    this.#start(socket, frame.request, isComparison, [...collected.values()]);
  }

  /**
   * For a socket that outlived this object's sleep: what it was sent had been read to the end, but which of it was still
   * to be acked was known to memory alone. It stands in the tracks as well.
   */
  restore(socket: Socket): void {
    const unacked = [...socket.tracks].filter(([, track]) => isUnacked(track));
    const unsettled = new Map(unacked.map(([id, track]) => [id, { target: track.high, next: undefined }]));
    const run = {
      socket: socket.id,
      request: 0,
      isComparison: false,
      waiting: [],
      open: new Set<ConversationId>(),
      unsettled,
    };
    this.#runs.push({ ...run, isDrained: true, hasOffended: false });
    for (const restored of this.#runs) if (restored.socket === socket.id) this.#advance(restored, socket);
  }

  /** The device has everything up to `seq`: its next page may go, and what that settles is settled. */
  acked(socket: Socket, conversation: ConversationId, seq: Seq): void {
    const runs = this.#runs.filter((run) => run.socket === socket.id);
    for (const { unsettled, waiting } of runs) {
      const page = unsettled.get(conversation);
      if (!page || seq < page.target) continue;
      unsettled.delete(conversation);
      if (page.next !== undefined) waiting.push([conversation, page.next, 0]);
    }
    for (const run of runs) this.#advance(run, socket);
  }

  /** The conversation is gone: nothing of it is still to come, or to be acked. */
  forget(conversation: ConversationId): void {
    for (const run of this.#runs) {
      run.waiting = run.waiting.filter(([waiting]) => waiting !== conversation);
      run.open.delete(conversation);
      run.unsettled.delete(conversation);
    }
    for (const collected of this.#collected.values()) collected.delete(conversation);
    for (const run of [...this.#runs]) {
      const socket = this.#person.sockets.get(run.socket);
      if (socket) this.#advance(run, socket);
    }
  }

  closed(socket: SocketId): void {
    this.#runs = this.#runs.filter((run) => run.socket !== socket);
    this.#collected.delete(socket);
  }

  #start(socket: Socket, request: Cursor, isComparison: boolean, waiting: Position[]): void {
    const pages = { open: new Set<ConversationId>(), unsettled: new Map(), isDrained: false, hasOffended: false };
    const run: Run = { socket: socket.id, request, isComparison, waiting, ...pages };
    this.#runs.push(run);
    this.#advance(run, socket);
  }

  #advance(run: Run, socket: Socket): void {
    while (run.open.size < MAX_PARALLEL_READS && this.#outstanding(socket) < MAX_UNACKED_READS) {
      const index = run.waiting.findIndex(([conversation]) => !run.open.has(conversation));
      const [position] = index === -1 ? [] : run.waiting.splice(index, 1);
      if (!position) break;
      this.#read(run, socket, position);
    }
    if (this.#person.sockets.has(socket.id)) this.#finish(run, socket);
  }

  /** Conversations being read for the socket or sent and not acked: its attachment has room for so many. */
  #outstanding(socket: Socket): number {
    if (!this.#person.sockets.has(socket.id)) return Infinity;
    const runs = this.#runs.filter((run) => run.socket === socket.id);
    return runs.reduce((sum, run) => sum + run.open.size + run.unsettled.size, 0);
  }

  #read(run: Run, socket: Socket, [conversation, after, read]: Position): void {
    const person = this.#person;
    if (isForeign(conversation, person.id) || (run.request > 0 && !person.knows(conversation))) {
      return this.#refuse(run, socket, "not_found", conversation);
    }
    run.open.add(conversation);
    const isAsserted = run.request > 0 && !person.isWithheld(conversation);
    const known = person.reported(conversation);
    const watermark = isAsserted ? asserted(known, after, read) : known;
    const { id: user, epoch } = person;
    const args = { user, epoch, after, watermark, notify: isAsserted, requestId: socket.requestId };
    const request = {
      to: "conversation",
      id: conversation,
      method: "readLog",
      args,
    } as const;
    person.request(request, (result) => {
      if (person.sockets.get(socket.id) !== socket) return;
      if (!result.ok) return person.disconnect(socket, "restarting");
      // Forgotten while it was being read.
      if (!run.open.delete(conversation)) return;
      const reply = result.value as ReadLogReply;
      if (!reply.ok) this.#refuse(run, socket, reply.code, conversation);
      else this.#page(run, socket, conversation, after, reply);
      if (person.sockets.has(socket.id)) this.#advance(run, socket);
    });
  }

  #refuse(run: Run, socket: Socket, code: ErrorCode, conversation: ConversationId): void {
    const about = { conversation, ...numbered(run.request) };
    if (run.hasOffended) this.#person.send(socket, { type: "error", code, retry: defaultRetry[code], ...about });
    else this.#person.refuse(socket, code, about);
    run.hasOffended = true;
  }

  #page(run: Run, socket: Socket, conversation: ConversationId, after: Cursor, page: Page): void {
    const person = this.#person;
    if (after > page.head && run.request > 0) {
      return this.#refuse(run, socket, "seq_unknown", conversation);
    }
    this.#receipts(socket, conversation, page);
    if (page.through <= after) return;
    person.know(conversation);
    const track = touch(socket, conversation);
    trackSent(track, after, page.through, page.entries.length);
    const foreign = page.entries.filter((entry) => person.isNews(entry)).map((entry) => entry.seq);
    track.foreign = Math.max(track.foreign, ...foreign);
    const next = page.through < page.head ? page.through : undefined;
    run.unsettled.set(conversation, { target: page.through, next });
    person.attach(socket);
    if (person.sockets.has(socket.id)) {
      this.#deliveries.sendEntries(socket, conversation, after, page.entries, page.through);
    }
  }

  /** How far the others had got: each of them, or in a large group all together; who has what is asked for on demand. */
  #receipts(socket: Socket, conversation: ConversationId, { watermarks }: Page): void {
    const isOwn = ({ user }: { user: UserId }) => user === this.#person.id;
    const isLarge = watermarks.length > FAN_OUT_HOLD_MEMBERS;
    const levels = isLarge ? [...watermarks.filter(isOwn), floorOf(watermarks.filter((w) => !isOwn(w)))] : watermarks;
    for (const level of levels) {
      if (level.delivered > 0) this.#person.send(socket, { type: "receipt", conversation, ...level });
    }
  }

  #finish(run: Run, socket: Socket): void {
    const hasMore = [...run.unsettled.values()].some((page) => page.next !== undefined);
    const isDrained = run.waiting.length === 0 && run.open.size === 0 && !hasMore;
    const isSettled = isDrained && run.unsettled.size === 0;
    if (isDrained && !run.isDrained) {
      run.isDrained = true;
      this.#person.send(socket, { type: "drained", request: run.request });
    }
    if (isSettled) this.#settle(run, socket);
    this.#noteCatchingUp(socket);
  }

  /** What is under way for a socket is known to memory alone: should that be lost, the device has to begin anew. */
  #noteCatchingUp(socket: Socket): void {
    const isRunning = this.#runs.some((run) => run.socket === socket.id && !run.isDrained);
    const catchingUp = isRunning || this.#collected.has(socket.id);
    if (catchingUp === socket.catchingUp) return;
    socket.catchingUp = catchingUp;
    this.#person.attach(socket);
  }

  /** The device has acked all that its reads saw: nothing is dirty any more (design §5, rule 5). */
  #settle(run: Run, socket: Socket): void {
    this.#runs = this.#runs.filter((other) => other !== run);
    const device = this.#person.devices.get(socket.device);
    if (!device || !(run.isComparison || run.request === 0)) return;
    if (!run.isComparison && device.dirty.size === 0) return;
    device.dirty.clear();
    if (run.isComparison) device.isSuspect = false;
    this.#person.store.save(device);
  }
}

function floorOf(watermarks: readonly { delivered: Cursor; read: Cursor }[]): { delivered: Cursor; read: Cursor } {
  const floor = (part: "delivered" | "read") => Math.min(...watermarks.map((watermark) => watermark[part]));
  return { delivered: floor("delivered"), read: floor("read") };
}

function numbered(request: Cursor): { request?: Seq } {
  return request > 0 ? { request } : {};
}

/** What the device says of itself on top of what this connection has shown. */
function asserted(known: Watermark, delivered: Cursor, read: Cursor): Watermark {
  return {
    delivered: Math.max(known.delivered, delivered),
    read: Math.max(known.read, Math.min(read, delivered)),
    kept: known.kept,
  };
}
