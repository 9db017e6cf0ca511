import { Refusal } from "../../shared/errors.ts";
import { type ConversationId, directPeer, isForeign, type MessageId, type UserId } from "../../shared/ids.ts";
import { FRAMES_PER_SEND, PUSH_RETRY_MS, TYPING_INTERVAL_MS } from "../../shared/limits.ts";
import { decodeUp, type Framed, splitBodies, type Wire } from "../../shared/protocol/codec.ts";
import type { UpFrame } from "../../shared/protocol/up.ts";
import type { Connect } from "../../shared/rpc.ts";
import type { Storage } from "../runtime/storage.ts";
import { Additions } from "./additions.ts";
import { Admission } from "./admission.ts";
import { CatchUp } from "./catch-up.ts";
import { Deliveries } from "./deliveries.ts";
import { Devices } from "./devices.ts";
import type { ConnectReply, UserEffect, UserEvent } from "./effects.ts";
import { KeyPackages } from "./key-packages.ts";
import { Peers } from "./peers.ts";
import { Person, type Surroundings } from "./person.ts";
import { Receipts } from "./receipts.ts";
import { Removal } from "./removal.ts";
import { Sends, type SentMessage } from "./sends.ts";
import type { Socket } from "./socket.ts";
import { type Device, UserStore } from "./store.ts";

/**
 * One person's decisions: devices, connections, inbox (design §5). No I/O: an event comes in with the time, SQL is done
 * through the store inside the caller's transaction, and what the world must do is returned as effects.
 */
export class UserCore {
  readonly #person: Person;
  readonly #store: UserStore;
  readonly #deliveries: Deliveries;
  readonly #sends: Sends;
  readonly #catchUp: CatchUp;
  readonly #receipts: Receipts;
  readonly #devices: Devices;
  readonly #admission: Admission;
  readonly #keyPackages: KeyPackages;
  readonly #additions: Additions;
  readonly #peers: Peers;
  readonly #removal: Removal;
  #typedAt = 0;

  /** @param sockets those that survived this object's sleep, with the state that was attached to them */
  constructor(id: UserId, storage: Storage, sockets: readonly Socket[], surroundings: Surroundings) {
    this.#store = new UserStore(storage);
    this.#person = new Person(id, this.#store, sockets, surroundings);
    this.#deliveries = new Deliveries(this.#person);
    this.#sends = new Sends(this.#person, this.#deliveries);
    this.#catchUp = new CatchUp(this.#person, this.#deliveries);
    this.#receipts = new Receipts(this.#person, this.#deliveries, this.#catchUp);
    this.#devices = new Devices(this.#person);
    this.#admission = new Admission(this.#person);
    this.#keyPackages = new KeyPackages(this.#person, this.#devices);
    this.#additions = new Additions(this.#person);
    this.#peers = new Peers(this.#person, this.#sends);
    this.#removal = new Removal(this.#person, this.#devices, this.#sends, this.#peers);
    this.#person.onAccept = (conversation) => this.#receipts.reveal(conversation);
    this.#person.onForget = (conversation) => this.#catchUp.forget(conversation);
    this.#person.onDisconnect = (socket) => this.#catchUp.closed(socket);
  }

  handle(event: UserEvent, now: number): UserEffect[] {
    this.#person.now = now;
    this.#dispatch(event);
    return this.#person.takeEffects();
  }

  #dispatch(event: UserEvent): void {
    switch (event.type) {
      case "woken":
        return this.#woken();
      case "connect":
        return this.#person.reply(event.call, this.#connect(event.args));
      case "frame":
        return this.#frame(event.socket, event.wire);
      case "closed":
        return this.#closed(event.socket);
      case "deliver":
        return this.#deliveries.deliver(event.call, event.args);
      case "notifyReceipt":
        return this.#deliveries.notifyReceipt(event.call, event.args);
      case "notifyTyping":
        return this.#deliveries.notifyTyping(event.call, event.args);
      case "askWatermark":
        return this.#person.reply(event.call, this.#person.standing(event.args.conversation));
      case "isRegistered":
        return this.#person.reply(event.call, this.#store.exists && this.#person.account.removal === undefined);
      case "askAddition":
        return this.#person.reply(event.call, this.#additions.ask(event.args));
      case "registerDevice":
        return this.#person.reply(event.call, this.#devices.register(event.args));
      case "revokeDevice":
        return this.#person.reply(event.call, this.#devices.revoke(event.args));
      case "renameDevice":
        return this.#person.reply(event.call, this.#devices.rename(event.args));
      case "listDevices":
        return this.#person.reply(event.call, this.#devices.list());
      case "refresh":
        return this.#person.reply(event.call, this.#devices.refresh(event.args));
      case "raiseAlert":
        return this.#person.reply(event.call, this.#devices.alert(event.args.kind));
      case "admit":
        return this.#person.reply(event.call, this.#admission.admit(event.args));
      case "putKeys":
        return this.#person.reply(event.call, this.#keyPackages.put(event.args));
      case "askKeys":
        return this.#person.reply(event.call, this.#keyPackages.ask(event.args));
      case "accountKey":
        return this.#person.reply(event.call, this.#person.account.accountKey);
      case "claimKeyPackages":
        return this.#person.reply(event.call, this.#keyPackages.claim(event.args));
      case "setPin":
        return this.#person.reply(event.call, this.#admission.setPin(event.args.verifier));
      case "assessSignIn":
        return this.#person.reply(event.call, this.#admission.assess(event.args));
      case "setPeer":
        return this.#peers.set(event.call, event.args);
      case "overview":
        return this.#person.reply(event.call, this.#peers.overview());
      case "askPresence":
        return this.#person.reply(event.call, this.#peers.presence(event.args));
      case "notePeer":
        return this.#person.reply(event.call, this.#peers.note(event.args));
      case "forgetPeer":
        return this.#peers.forget(event.call, event.args);
      case "removePerson":
        return this.#removal.begin(event.args, event.call);
      case "result":
        return this.#person.resume(event.token, event.result);
      case "timer":
        return this.#person.resume(event.token, { ok: true, value: undefined });
      case "alarm":
        this.#payPushes();
        this.#keyPackages.sweep();
        this.#additions.sweep();
        this.#peers.tellUntold();
        return this.#removal.look();
    }
  }

  // ── connections ───────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * After a crash a connection is open in storage that no socket stands for: nobody knows what reached that device, so it
   * is suspect. A device that was being caught up has lost its place and begins anew.
   */
  #woken(): void {
    const person = this.#person;
    for (const device of person.devices.values()) {
      if (!device.isOpen || person.sockets.has(device.epoch)) continue;
      device.isOpen = false;
      device.isSuspect = true;
      // It was connected until now, for all that is known.
      device.seenAt = person.now;
      person.owePush(device);
      this.#store.save(device);
    }
    for (const socket of [...person.sockets.values()]) {
      if (socket.catchingUp) person.disconnect(socket, "restarting");
      else if (this.#wasDrained(socket)) this.#catchUp.restore(socket);
    }
  }

  #wasDrained(socket: Socket): boolean {
    const device = this.#person.devices.get(socket.device);
    return socket.greeted && device !== undefined && !device.isSuspect && device.dirty.size > 0;
  }

  /** One row: it is the connection, the epoch, and the ticket used up. */
  #connect(args: Connect): ConnectReply {
    const person = this.#person;
    const device = person.devices.get(args.device);
    if (!device) return { ok: false, code: "revoked" };
    const isOver = !device.session || (args.family !== undefined && args.family !== device.session.family);
    if (isOver) return { ok: false, code: "signed_out" };
    const tickets = device.tickets.filter(([, expiresAt]) => expiresAt > person.now);
    const isSpent = tickets.some(([ticket]) => ticket === args.ticket) || args.ticketExpiresAt <= person.now;
    if (isSpent) return { ok: false, code: "unauthenticated" };
    const former = person.socketOf(device.id);
    if (former) person.disconnect(former, "replaced");
    person.epoch++;
    device.epoch = person.epoch;
    device.isOpen = true;
    device.owesPush = false;
    device.seenAt = person.now;
    device.place = args.place ?? device.place;
    device.tickets = [...tickets, [args.ticket, args.ticketExpiresAt]];
    this.#store.save(device);
    const socket = this.#openSocket(device, args);
    return { ok: true, socket };
  }

  #openSocket(device: Device, args: Connect): Socket {
    const socket: Socket = {
      id: device.epoch,
      device: device.id,
      requestId: args.requestId,
      heardAt: this.#person.now,
      greeted: false,
      catchingUp: true,
      ...(device.budget ?? {
        allowance: { sends: this.#person.sendsPerMinute, at: 0 },
        frames: { count: 0, since: this.#person.now },
        offences: { count: 0, since: this.#person.now },
      }),
      tracks: new Map(),
    };
    this.#person.sockets.set(socket.id, socket);
    return socket;
  }

  #closed(id: number): void {
    const socket = this.#person.sockets.get(id);
    if (socket) this.#person.disconnect(socket);
  }

  // ── frames ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #frame(id: number, wire: Wire): void {
    const socket = this.#person.sockets.get(id);
    if (!socket) return;
    socket.heardAt = this.#person.now;
    if (this.#isFlooding(socket)) return this.#person.disconnect(socket, "flooding");
    try {
      this.#handleFrame(socket, decodeUp(wire));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.code === "too_large") this.#person.disconnect(socket, "too_large");
      else this.#person.refuse(socket, error.code, { retry: error.retry });
    }
  }

  /** However valid: a frame may cause a call or a page of the log. */
  #isFlooding(socket: Socket): boolean {
    const isNewMinute = this.#person.now - socket.frames.since > 60_000;
    if (isNewMinute) socket.frames = { count: 0, since: this.#person.now };
    socket.frames.count++;
    return socket.frames.count > FRAMES_PER_SEND * this.#person.sendsPerMinute;
  }

  /** @throws Refusal too_early */
  #handleFrame(socket: Socket, { frame, body }: Framed<UpFrame>): void {
    if (frame.type === "hello") return this.#hello(socket);
    if (!socket.greeted) throw new Refusal("too_early");
    switch (frame.type) {
      case "send":
        return this.#sends.accept(socket, frame.conversation, [{ id: frame.id, body }]);
      case "sends":
        return this.#sends.accept(socket, frame.conversation, messagesOf(frame.messages, body));
      case "ack":
        return this.#receipts.acked(socket, frame.conversation, frame.seq, false);
      case "read":
        return this.#receipts.acked(socket, frame.conversation, frame.seq, true);
      case "sync":
        return this.#catchUp.sync(socket, frame);
      case "typing":
        return this.#typing(socket, frame.conversation);
      case "noted":
        return this.#devices.noted(socket, frame.alert);
    }
  }

  /** @throws Refusal bad_frame on a second hello */
  #hello(socket: Socket): void {
    const person = this.#person;
    const device = person.devices.get(socket.device);
    if (socket.greeted || !device) throw new Refusal("bad_frame");
    socket.greeted = true;
    const compare = device.isSuspect;
    socket.catchingUp = !compare;
    person.attach(socket);
    const { id: user, epoch, now: time } = person;
    person.send(socket, { type: "welcome", user, device: device.id, epoch, time, compare });
    this.#devices.sendAlerts(socket);
    this.#keyPackages.greet(socket);
    if (!compare) this.#catchUp.begin(socket, device);
  }

  /** Nothing is stored and nothing repeated: whoever misses it misses little. */
  #typing(socket: Socket, conversation: ConversationId): void {
    const person = this.#person;
    if (isForeign(conversation, person.id)) return person.refuse(socket, "not_found", { conversation });
    // In one conversation at a time, and only where messages have been: more than that nobody types.
    if (person.now - this.#typedAt < TYPING_INTERVAL_MS || !person.knows(conversation)) return;
    if (person.isWithheld(conversation)) return;
    this.#typedAt = person.now;
    const peer = directPeer(conversation, person.id);
    const args = { conversation, user: person.id };
    if (peer !== undefined) person.request({ to: "user", id: peer, method: "notifyTyping", args }, ignore, NO_RETRY);
    else {
      const group = { user: person.id, requestId: socket.requestId };
      person.request({ to: "conversation", id: conversation, method: "signalTyping", args: group }, ignore, NO_RETRY);
    }
  }

  // ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Pushes for devices that went away with something unseen. The next alarm stands until the queue has taken them. */
  #payPushes(): void {
    const person = this.#person;
    const owed = person.offlineDevices().filter((device) => device.owesPush);
    if (owed.length === 0) return;
    const job = { user: person.id, devices: owed.map((device) => device.id), at: person.now, requestId: "" };
    const owedSince = new Map(owed.map((device) => [device, device.epoch]));
    this.#store.armBy(person.now + PUSH_RETRY_MS);
    person.request({ to: "push", job }, (result) => {
      if (!result.ok) return;
      for (const [device, epoch] of owedSince) {
        // Who has connected and gone again meanwhile is owed another one.
        if (!person.devices.has(device.id) || device.epoch !== epoch) continue;
        device.owesPush = false;
        this.#store.save(device);
      }
    });
  }
}

/** @throws Refusal bad_frame where the lengths do not fit the bytes */
function messagesOf(messages: readonly { id: MessageId; length: number }[], bytes: Uint8Array): SentMessage[] {
  const bodies = splitBodies(
    messages.map(({ length }) => length),
    bytes,
  );
  return bodies.flatMap((body, index) => ({ id: messages[index]?.id ?? "", body }));
}

const ignore = () => {};
/** Past the last pause: a call that fails is given up. */
const NO_RETRY = Number.POSITIVE_INFINITY;
