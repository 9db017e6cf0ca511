import type { DeviceId } from "../../shared/ids.ts";
import { MAX_ALERTS_PER_DEVICE, MAX_DEVICES_PER_USER, REFRESH_GRACE_MS } from "../../shared/limits.ts";
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
import type { Person } from "./person.ts";
import type { Socket } from "./socket.ts";
import type { Device } from "./store.ts";

/** A person's devices: who they are, how they stay signed in, and what their owner is shown about them. */
export class Devices {
  readonly #person: Person;

  constructor(person: Person) {
    this.#person = person;
  }

  /** A further device starts suspect: it was nobody's when conversations fell asleep (design §5, rule 4). */
  register(args: RegisterDevice): RegisterDeviceReply {
    const person = this.#person;
    if (person.account.removal) return { ok: false, code: "unavailable" };
    const known = person.devices.get(args.device);
    if (known?.session?.requestId === args.requestId) return { ok: true, session: refOf(known.session) };
    if (args.revokeOthers) this.removeAllBut(args.device);
    if (!known && person.devices.size >= MAX_DEVICES_PER_USER) return { ok: false, code: "too_many_devices" };
    if (!person.store.exists) person.begin();
    const device = known ?? this.#newDevice(args);
    const former = person.socketOf(device.id);
    if (former) person.disconnect(former, "replaced");
    const { now: rotatedAt } = person;
    const family = this.#newFamily(device);
    const session = { family, generation: 1, rotatedAt, awaitsConnection: false, requestId: args.requestId };
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
    return [...person.devices.values()].map((device) => {
      const isOnline = person.socketOf(device.id) !== undefined;
      const seenAt = isOnline ? person.now : device.seenAt;
      const { id, name, registeredAt: addedAt, place } = device;
      return { device: id, name, addedAt, lastSeenAt: seenAt || undefined, isOnline, place };
    });
  }

  /**
   * Rotates a refresh token (docs/protocol.md R13). What is given out to a device that is about to connect is written with
   * that connection. If it never comes, its answer may have been lost, so the token before stays good; and a newer
   * generation than is stored was given out all the same: only this object has forgotten.
   */
  refresh({ device: id, session: { family, generation }, connects }: Refresh): RefreshReply {
    const device = this.#person.devices.get(id);
    const session = device?.session;
    if (!device || session?.family !== family) return { ok: false, code: "unauthenticated" };
    const { now } = this.#person;
    const mayBeLost = session.awaitsConnection || now - session.rotatedAt <= REFRESH_GRACE_MS;
    if (generation === session.generation - 1 && mayBeLost) return { ok: true, session: refOf(session) };
    if (generation < session.generation) return this.#signOut(device);
    device.session = { ...session, generation: generation + 1, rotatedAt: now, awaitsConnection: connects };
    if (!connects) this.#person.store.save(device);
    return { ok: true, session: refOf(device.session) };
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
      else person.owePush(device);
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
    if (!device || !left || left.length === device.alerts.length) return;
    device.alerts = left;
    this.#person.store.save(device);
  }

  #newDevice({ device: id, name }: RegisterDevice): Device {
    return {
      id,
      name,
      registeredAt: this.#person.now,
      session: undefined,
      seenAt: 0,
      place: undefined,
      alerts: [],
      lastAlert: 0,
      epoch: 0,
      isOpen: false,
      isSuspect: this.#person.store.conversations().length > 0,
      owesPush: false,
      budget: undefined,
      tickets: [],
      dirty: new Map(),
    };
  }

  /** No token of an earlier family can belong to it. */
  #newFamily(device: Device): string {
    return String(Math.max(this.#person.now, Number(device.session?.family ?? 0) + 1));
  }

  #remove(id: DeviceId): void {
    const person = this.#person;
    const device = person.devices.get(id);
    if (!device) return;
    const socket = person.socketOf(id);
    if (socket) person.disconnect(socket, "revoked");
    person.noteSeen(device.seenAt);
    person.devices.delete(id);
    person.store.remove(id, person.epoch);
  }

  /** Somebody else has the device's tokens, or it has an old copy of itself: nobody can tell, so neither goes on. */
  #signOut(device: Device): RefreshReply {
    device.session = undefined;
    const socket = this.#person.socketOf(device.id);
    if (socket) this.#person.disconnect(socket, "signed_out");
    this.#person.store.save(device);
    return { ok: false, code: "unauthenticated" };
  }
}

function refOf({ family, generation }: SessionRef): SessionRef {
  return { family, generation };
}
