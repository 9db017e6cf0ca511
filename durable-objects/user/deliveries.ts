import type { ConversationId, Cursor, DeviceId } from "../../shared/ids.ts";
import { MAX_DIRTY_PER_DEVICE, MAX_FRAME_BYTES } from "../../shared/limits.ts";
import type { Deliver, DeliverReply, Entry, NotifyReceipt, NotifyTyping } from "../../shared/rpc.ts";
import type { CallId } from "./effects.ts";
import type { Person } from "./person.ts";
import { type Socket, type SocketId, touch, trackSent } from "./socket.ts";
import { type Device, RECEIPTS_ONLY } from "./store.ts";

/** What conversations and other people bring. */
export class Deliveries {
  readonly #person: Person;

  constructor(person: Person) {
    this.#person = person;
  }

  /**
   * The edge-triggered inbox (design §5). A device that is away gets one dirty entry and one push for a conversation
   * however much arrives. The push is handed to the queue first, then the entry is committed, then the call answered:
   * a crash in between repeats the push, and nothing else.
   */
  deliver(call: CallId, args: Deliver): void {
    const person = this.#person;
    const isNobody = !person.store.exists || person.account.removal !== undefined;
    if (isNobody) return person.reply(call, this.#replyOfNobody(args.conversation));
    person.disconnectSilent();
    person.know(args.conversation);
    // Whoever is here does not wait for the queue.
    const served = new Set(person.sockets.keys());
    for (const socket of person.sockets.values()) this.#live(socket, args.conversation, args.entries);
    this.#markAway(call, args, served, new Set());
  }

  /** What their removal knows of it sees to itself. */
  #replyOfNobody(conversation: ConversationId): DeliverReply {
    const state = this.#person.knows(conversation) ? "dormant" : "gone";
    return { state, epoch: this.#person.epoch, watermark: nothing };
  }

  /** @param pushed devices for which a push was asked for */
  #markAway(call: CallId, args: Deliver, served: ReadonlySet<SocketId>, pushed: ReadonlySet<DeviceId>): void {
    const person = this.#person;
    const { conversation, entries, requestId } = args;
    const away = entries.some((entry) => person.isNews(entry)) ? person.offlineDevices() : [];
    const devices = away
      .filter((device) => wantsPush(device, conversation) && !pushed.has(device.id))
      .map((device) => device.id);
    if (devices.length === 0) return this.#commit(call, args, served, pushed);
    const job = { user: person.id, devices, conversation, at: person.now, requestId };
    person.request({ to: "push", job }, (result) => {
      if (result.ok) this.#markAway(call, args, served, new Set([...pushed, ...devices]));
      else person.emit({ do: "fail", call });
    });
  }

  #commit(
    call: CallId,
    { conversation, entries }: Deliver,
    served: ReadonlySet<SocketId>,
    pushed: ReadonlySet<DeviceId>,
  ): void {
    const person = this.#person;
    const unserved = [...person.devices.values()].filter((device) => {
      const socket = person.socketOf(device.id);
      return !socket || !served.has(socket.id);
    });
    this.toDevices(unserved, conversation, entries, pushed);
    // Marked for nothing but commits, a device has still to be woken when something is said.
    const isListening = person.sockets.size > 0 || person.offlineDevices().some((d) => wantsPush(d, conversation));
    const state = isListening ? "live" : "dormant";
    const reply: DeliverReply = { state, epoch: person.epoch, watermark: person.reported(conversation) };
    person.reply(call, reply);
  }

  /** Sends to the devices that are here, marks it for those that are not. @param pushed for these a push was asked for */
  toDevices(
    devices: readonly Device[],
    conversation: ConversationId,
    entries: readonly Entry[],
    pushed: ReadonlySet<DeviceId> = new Set(),
  ): void {
    const first = entries[0];
    if (!first) return;
    for (const device of devices) {
      const socket = this.#person.socketOf(device.id);
      if (socket) this.#live(socket, conversation, entries);
      else if (this.#person.markDirty(device, conversation, first.seq - 1, pushed.has(device.id))) {
        this.#person.store.save(device);
      }
    }
  }

  #live(socket: Socket, conversation: ConversationId, entries: readonly Entry[]): void {
    const track = touch(socket, conversation);
    const news = entries.filter((entry) => entry.seq > track.acked);
    const [first, last] = [news[0], news.at(-1)];
    if (!first || !last) return;
    trackSent(track, first.seq - 1, last.seq, news.length);
    track.foreign = Math.max(track.foreign, ...news.filter((entry) => this.#person.isNews(entry)).map((e) => e.seq));
    this.#person.attach(socket);
    if (!this.#person.sockets.has(socket.id)) return;
    for (const run of denseRuns(news)) this.sendEntries(socket, conversation, (run[0]?.seq ?? 1) - 1, run);
  }

  /**
   * Sends a page that is complete from `after` to its last entry (or to `through`), in as many frames as it takes.
   * A single message is the commonest page and has the shortest frame.
   */
  sendEntries(
    socket: Socket,
    conversation: ConversationId,
    after: Cursor,
    page: readonly Entry[],
    through?: Cursor,
  ): void {
    let from = after;
    const frames = framesOf(page);
    for (const [index, entries] of frames.entries()) {
      const to = index === frames.length - 1 ? (through ?? lastSeq(entries, from)) : lastSeq(entries, from);
      this.#sendFrame(socket, conversation, from, to, entries);
      from = to;
    }
  }

  #sendFrame(socket: Socket, conversation: ConversationId, after: Cursor, through: Cursor, entries: Entry[]): void {
    const bodies = entries.map((entry) => entry.body);
    const [only] = entries;
    if (only && through === after + 1) {
      const { body: _, ...meta } = only;
      return this.#person.send(socket, { type: "message", conversation, ...meta }, bodies);
    }
    const metas = entries.map(({ body, ...meta }) => ({ ...meta, length: body.byteLength }));
    this.#person.send(socket, { type: "entries", conversation, after, through, entries: metas }, bodies);
  }

  /** A device that is away is marked, so that it asks the conversation; the caller makes sure the conversation knows. */
  notifyReceipt(call: CallId, { requestId: _, ...receipt }: NotifyReceipt): void {
    const person = this.#person;
    for (const socket of person.sockets.values()) person.send(socket, { type: "receipt", ...receipt });
    const away = person.offlineDevices();
    this.markReceipts(away, receipt.conversation);
    person.reply(call, { everyDevice: away.length === 0 });
  }

  markReceipts(devices: readonly Device[], conversation: ConversationId): void {
    for (const device of devices) {
      if (this.#person.markDirty(device, conversation, RECEIPTS_ONLY, false)) this.#person.store.save(device);
    }
  }

  notifyTyping(call: CallId, args: NotifyTyping): void {
    const sockets = this.#person.isWithheld(args.conversation) ? [] : this.#person.sockets.values();
    for (const socket of sockets) this.#person.send(socket, { type: "typing", ...args });
    this.#person.reply(call, undefined);
  }
}

const nothing = { delivered: 0, read: 0, kept: 0 };

/** A device that is told to compare everything anyway has had its pushes. */
function wantsPush(device: Device, conversation: ConversationId): boolean {
  const dirty = device.dirty.get(conversation);
  return dirty ? !dirty.pushed : device.dirty.size < MAX_DIRTY_PER_DEVICE;
}

function lastSeq(entries: readonly Entry[], otherwise: Cursor): Cursor {
  return entries.at(-1)?.seq ?? otherwise;
}

/** A delivery leaves out what the receiver wrote; a frame claims to be complete, so it ends where something is left out. */
function denseRuns(entries: readonly Entry[]): Entry[][] {
  const runs: Entry[][] = [];
  for (const entry of entries) {
    const run = runs.at(-1);
    if (run && run.at(-1)?.seq === entry.seq - 1) run.push(entry);
    else runs.push([entry]);
  }
  return runs;
}

/** Room that an entry's part of the header takes, generously. */
const ENTRY_HEADER_BYTES = 256;

/** At least one frame, even for an empty page. */
function framesOf(page: readonly Entry[]): Entry[][] {
  const frames: Entry[][] = [[]];
  let bytes = ENTRY_HEADER_BYTES;
  for (const entry of page) {
    const size = entry.body.byteLength + ENTRY_HEADER_BYTES;
    const current = frames.at(-1);
    if (current && (current.length === 0 || bytes + size <= MAX_FRAME_BYTES)) {
      current.push(entry);
      bytes += size;
    } else {
      frames.push([entry]);
      bytes = ENTRY_HEADER_BYTES + size;
    }
  }
  return frames;
}
