import type { DeviceId } from "../../shared/ids.ts";
import { MAX_ALERTS_PER_DEVICE, MAX_DEVICES_PER_USER, personBuckets, REFRESH_GRACE_MS } from "../../shared/limits.ts";
import type { Alert } from "../../shared/protocol/down.ts";
import type {
  DeviceListed,
  Refresh,
  RefreshReply,
  RegisterDevice,
  RegisterDeviceReply,
  RenameDevice,
  RevokeDevice,
  RevokeDeviceReply,
  SessionRef,
} from "../../shared/rpc.ts";
import { type BucketState, take } from "../runtime/token-bucket.ts";
import type { Person } from "./person.ts";
import type { Socket } from "./socket.ts";
import { type Device, type Session, untouched } from "./store.ts";

/** A person's devices: who they are, how they stay signed in, and what their owner is shown about them. */
export class Devices {
  readonly #person: Person;
  #refreshes: BucketState | undefined;

  constructor(person: Person) {
    this.#person = person;
  }

  /** A further device starts suspect: it was nobody's when conversations fell asleep (design §5, rule 4). */
  register(args: RegisterDevice): RegisterDeviceReply {
    const person = this.#person;
    if (person.account.removal || (args.mustExist && !person.store.exists)) return { ok: false, code: "not_found" };
    const known = person.devices.get(args.device);
    if (known?.session?.requestId === args.requestId) return { ok: true, session: refOf(known.session) };
    if (args.revokeOthers) this.removeAllBut(args.device);
    if (!known && person.devices.size >= MAX_DEVICES_PER_USER) return { ok: false, code: "too_many_devices" };
    if (!person.store.exists) person.begin();
    const device = known ?? this.#newDevice(args);
    const former = person.socketOf(device.id);
    if (former) person.disconnect(former, "replaced");
    const { now: rotatedAt } = person;
    device.sessions++;
    const family = `${device.registeredAt}.${device.sessions}`;
    const session = { family, generation: 1, rotatedAt, attempt: undefined, requestId: args.requestId };
    Object.assign(device, { name: args.name, place: args.place ?? device.place, session });
    person.devices.set(device.id, device);
    person.store.save(device);
    this.alert("device_added", device);
    return { ok: true, session: refOf(session) };
  }

  /** Its socket closes, and with its row go inbox, session and pushes (docs/protocol.md R6). */
  revoke({ device: id }: RevokeDevice): RevokeDeviceReply {
    const device = this.#person.devices.get(id);
    if (!device) return { found: false };
    this.#remove(id);
    this.alert("device_removed", device);
    return { found: true };
  }

  removeAllBut(kept?: DeviceId): void {
    for (const id of [...this.#person.devices.keys()]) if (id !== kept) this.#remove(id);
  }

  rename({ device: id, name }: RenameDevice): { found: boolean } {
    const device = this.#person.devices.get(id);
    if (!device) return { found: false };
    device.name = name;
    this.#person.store.save(device);
    return { found: true };
  }

  list(): DeviceListed[] {
    const person = this.#person;
    person.disconnectSilent();
    return [...person.devices.values()].map((device) => {
      const isOnline = person.socketOf(device.id) !== undefined;
      const seenAt = isOnline ? person.now : device.seenAt;
      const { id, name, registeredAt: addedAt, place } = device;
      return { device: id, name, addedAt, lastSeenAt: seenAt || undefined, isOnline, place };
    });
  }

  /**
   * Rotates a refresh token (docs/protocol.md R13). What is given out to a device that is about to connect is written with
   * that connection. A newer generation than is stored was given out all the same: this object has forgotten.
   */
  refresh({ device: id, session: { family, generation }, connects, attempt }: Refresh): RefreshReply {
    const { now, devices, store } = this.#person;
    const device = devices.get(id);
    const session = device?.session;
    if (!device || session?.family !== family) return { ok: false, code: "unauthenticated", retry: "never" };
    if (generation === session.generation - 1 && this.#mayBeLost(session, attempt)) return answerOf(session);
    if (generation < session.generation) return this.#signOut(device);
    const taken = take(personBuckets.refresh, this.#refreshes, 1, now);
    if (!taken.ok) return { ok: false, code: "rate_limited", retry: Math.max(1, taken.retryMs) };
    this.#refreshes = taken.state;
    device.session = { ...session, generation: generation + 1, rotatedAt: now, attempt };
    if (!connects) store.save(device);
    return answerOf(device.session);
  }

  /** The device repeats an attempt that it knows by name; or it is so soon that two may have been made at once. */
  #mayBeLost(session: Session, attempt: string | undefined): boolean {
    const isRepeated = attempt !== undefined && attempt === session.attempt;
    return isRepeated || this.#person.now - session.rotatedAt <= REFRESH_GRACE_MS;
  }

  /** Shows something on all devices but the one it is about: now, on the next connection, and until it is noted. */
  alert(kind: Alert["kind"], about?: Device): void {
    const person = this.#person;
    const subject = about && { device: about.id, name: about.name, ...(about.place && { place: about.place }) };
    for (const device of person.devices.values()) {
      if (device.id === about?.id) continue;
      device.lastAlert++;
      const alert = { alert: device.lastAlert, kind, at: person.now, ...subject };
      device.alerts = [...device.alerts, alert].slice(-MAX_ALERTS_PER_DEVICE);
      const socket = person.socketOf(device.id);
      if (socket?.greeted) person.send(socket, { type: "alert", ...alert });
      else if (!socket) person.owePush(device);
      person.store.save(device);
    }
  }

  /** What this device's person has not been shown there yet. */
  sendAlerts(socket: Socket): void {
    const alerts = this.#person.devices.get(socket.device)?.alerts ?? [];
    for (const alert of alerts) this.#person.send(socket, { type: "alert", ...alert });
  }

  noted(socket: Socket, alert: number): void {
    const device = this.#person.devices.get(socket.device);
    const left = device?.alerts.filter((standing) => standing.alert > alert);
    if (device) device.calledForAlert = Math.max(device.calledForAlert, Math.min(alert, device.lastAlert));
    if (!device || !left || left.length === device.alerts.length) return;
    device.alerts = left;
    this.#person.store.save(device);
  }

  #newDevice({ device: id, name }: RegisterDevice): Device {
    return {
      id,
      name,
      registeredAt: this.#person.now,
      ...untouched,
      epoch: 0,
      isOpen: false,
      isSuspect: this.#person.store.conversations().length > 0,
      owesPush: false,
      budget: undefined,
      tickets: [],
      dirty: new Map(),
    };
  }

  #remove(id: DeviceId): void {
    const person = this.#person;
    const device = person.devices.get(id);
    if (!device) return;
    const socket = person.socketOf(id);
    if (socket) person.disconnect(socket, "revoked");
    person.noteSeen(Math.max(device.seenAt, device.registeredAt));
    person.devices.delete(id);
    person.store.remove(id, person.epoch);
  }

  /** Somebody else has the device's tokens, or it has an old copy of itself: nobody can tell, so neither goes on. */
  #signOut(device: Device): RefreshReply {
    device.session = undefined;
    const socket = this.#person.socketOf(device.id);
    if (socket) this.#person.disconnect(socket, "signed_out");
    this.#person.store.save(device);
    return { ok: false, code: "unauthenticated", retry: "never" };
  }
}

function answerOf(session: SessionRef): RefreshReply {
  return { ok: true, session: refOf(session) };
}

function refOf({ family, generation }: SessionRef): SessionRef {
  return { family, generation };
}
