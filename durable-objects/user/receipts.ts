import { type ConversationId, type Cursor, directMembers, directPeer, isForeign, type Seq } from "../../shared/ids.ts";
import { MAX_TRACKED_PER_SOCKET, RECEIPT_INTERVAL_MS } from "../../shared/limits.ts";
import type { NotifyReceiptReply, PutWatermarkReply } from "../../shared/rpc.ts";
import type { CatchUp } from "./catch-up.ts";
import type { Deliveries } from "./deliveries.ts";
import type { Person } from "./person.ts";
import { type Socket, touch, trackAcked } from "./socket.ts";

const none = { delivered: 0, read: 0 };
const nothing = { ...none, kept: 0 };

type Level = { delivered: Cursor; read: Cursor };

/** Announcements of one conversation: one at a time and not too often, only the latest level waits. */
interface Announcing {
  wanted: Level;
  told: Level;
  /** When the last one went out. */
  toldAt: number;
  /** One is under way, or a timer will see to it. */
  isBusy: boolean;
  /** The conversation has to know too: a device that is away will ask it. */
  viaConversation: boolean;
}

/**
 * Acks and reads are watermarks and are the receipts. In a 1:1 conversation they go straight to the peer's object — one
 * call, where the way through the conversation takes two — and the conversation learns them from what passes anyway
 * (docs/decisions/0004). In a group they go to the conversation, which knows when all have it.
 */
export class Receipts {
  readonly #person: Person;
  readonly #deliveries: Deliveries;
  readonly #catchUp: CatchUp;
  readonly #announcing = new Map<ConversationId, Announcing>();

  constructor(person: Person, deliveries: Deliveries, catchUp: CatchUp) {
    this.#person = person;
    this.#deliveries = deliveries;
    this.#catchUp = catchUp;
  }

  /** @param isRead the person has read it; otherwise the device has it */
  acked(socket: Socket, conversation: ConversationId, seq: Seq, isRead: boolean): void {
    if (isForeign(conversation, this.#person.id)) return this.#person.refuse(socket, "not_found", { conversation });
    const track = socket.tracks.get(conversation);
    const isProven = track !== undefined && seq <= Math.max(track.high, track.own);
    if (isProven) this.#raise(socket, conversation, seq, isRead);
    else this.#prove(socket, conversation, seq, isRead);
  }

  /** The peer may know from now on how far this person has got. */
  reveal(conversation: ConversationId): void {
    const now = this.#person.watermark(conversation);
    const before = this.#person.peer(directPeer(conversation, this.#person.id) ?? "");
    const read = Math.max(now.read, before.read);
    const delivered = Math.max(now.delivered, before.delivered, read);
    if (delivered > 0) this.#announce(conversation, { delivered, read }, true);
  }

  #raise(socket: Socket, conversation: ConversationId, seq: Seq, isRead: boolean): void {
    const person = this.#person;
    const before = person.watermark(conversation);
    const track = touch(socket, conversation);
    const foreignBefore = track.foreign > before.delivered;
    trackAcked(track, seq);
    if (isRead) track.read = Math.max(track.read, seq);
    person.attach(socket);
    this.#catchUp.acked(socket, conversation, seq);
    const after = person.watermark(conversation);
    const isNews = (after.delivered > before.delivered && foreignBefore) || after.read > before.read;
    if (!isNews) return;
    const tellsDevices = after.read > before.read && this.#tellOwnDevices(socket, conversation, after);
    this.#announce(conversation, after, tellsDevices);
  }

  /** Nothing in this connection shows that the device got this far, so the conversation is asked before it is believed. */
  #prove(socket: Socket, conversation: ConversationId, seq: Seq, isRead: boolean): void {
    const person = this.#person;
    const isWithheld = person.isWithheld(conversation);
    const watermark = isWithheld ? nothing : { delivered: seq, read: isRead ? seq : 0, kept: 0 };
    const args = { user: person.id, watermark, notify: !isWithheld, requestId: socket.requestId };
    person.request({ to: "conversation", id: conversation, method: "putWatermark", args }, (result) => {
      if (person.sockets.get(socket.id) !== socket) return;
      const reply = result.ok ? (result.value as PutWatermarkReply) : undefined;
      if (!reply) return person.refuse(socket, "unavailable", { conversation });
      if (!reply.ok) return person.refuse(socket, reply.code, { conversation });
      if (seq > reply.head) return person.refuse(socket, "seq_unknown", { conversation });
      const track = touch(socket, conversation);
      track.high = Math.max(track.high, seq);
      trackAcked(track, seq);
      if (isRead) track.read = Math.max(track.read, seq);
      person.attach(socket);
      this.#catchUp.acked(socket, conversation, seq);
      if (isRead) this.#tellOwnDevices(socket, conversation, { delivered: seq, read: seq });
    });
  }

  /** What one device has read is read on all. True: one of them is away and will ask the conversation. */
  #tellOwnDevices(socket: Socket, conversation: ConversationId, { delivered, read }: Level): boolean {
    const person = this.#person;
    for (const other of person.sockets.values()) {
      if (other !== socket) person.send(other, { type: "receipt", conversation, user: person.id, delivered, read });
    }
    const away = person.offlineDevices();
    this.#deliveries.markReceipts(away, conversation);
    return away.length > 0;
  }

  /** At once as a rule; what rises again within a moment waits for it, so that a burst of acks is one call. */
  #announce(conversation: ConversationId, { delivered, read }: Level, viaConversation: boolean): void {
    if (this.#person.isWithheld(conversation)) return;
    const known = this.#announcing.get(conversation);
    const announcing = known ?? { wanted: none, told: none, toldAt: 0, isBusy: false, viaConversation: false };
    this.#announcing.set(conversation, announcing);
    announcing.wanted = { delivered, read };
    announcing.viaConversation ||= viaConversation;
    this.#tellSoon(conversation, announcing);
  }

  #tellSoon(conversation: ConversationId, announcing: Announcing): void {
    if (announcing.isBusy) return;
    announcing.isBusy = true;
    const waitMs = announcing.toldAt + RECEIPT_INTERVAL_MS - this.#person.now;
    if (waitMs > 0) this.#person.later(waitMs, () => this.#tell(conversation, announcing));
    else this.#tell(conversation, announcing);
  }

  #tell(conversation: ConversationId, announcing: Announcing): void {
    // It would be marked with others after they have forgotten this person.
    if (this.#person.account.removal) return;
    announcing.told = announcing.wanted;
    announcing.toldAt = this.#person.now;
    const peer = directPeer(conversation, this.#person.id);
    if (peer === undefined) return this.#tellConversation(conversation, announcing);
    const args = { conversation, user: this.#person.id, ...announcing.told, requestId: this.#requestId() };
    this.#person.request({ to: "user", id: peer, method: "notifyReceipt", args }, (result) => {
      const reachedAll = result.ok && (result.value as NotifyReceiptReply).everyDevice;
      if (reachedAll && !announcing.viaConversation) this.#told(conversation, announcing);
      else this.#tellConversation(conversation, announcing);
    });
  }

  /** A conversation with oneself has nobody to notify; it only has to know. */
  #tellConversation(conversation: ConversationId, announcing: Announcing): void {
    announcing.viaConversation = false;
    const watermark = { ...announcing.told, kept: this.#person.watermark(conversation).kept };
    const notify = directMembers(conversation).length !== 1;
    const args = { user: this.#person.id, watermark, notify, requestId: this.#requestId() };
    const request = { to: "conversation", id: conversation, method: "putWatermark", args } as const;
    this.#person.request(request, () => this.#told(conversation, announcing));
  }

  /** A receipt that was lost all the same is carried by the next one: they are watermarks. */
  #told(conversation: ConversationId, announcing: Announcing): void {
    announcing.isBusy = false;
    const { wanted, told } = announcing;
    const isCurrent = wanted.delivered === told.delivered && wanted.read === told.read && !announcing.viaConversation;
    if (!isCurrent) this.#tellSoon(conversation, announcing);
    else if (this.#announcing.size > MAX_TRACKED_PER_SOCKET) this.#announcing.delete(conversation);
  }

  #requestId(): string {
    return [...this.#person.sockets.values()].at(-1)?.requestId ?? "";
  }
}
