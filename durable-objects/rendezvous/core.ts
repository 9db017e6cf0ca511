import type { LinkState } from "../../shared/api/devices.ts";
import type { DeviceId, UserId } from "../../shared/ids.ts";
import { DEVICE_LINK_TTL_MS, MAX_LINK_MESSAGE_BYTES, MAX_LINK_MESSAGES } from "../../shared/limits.ts";
import type {
  ApproveLink,
  LinkRefusal,
  LinkSide,
  LinkView,
  OpenLink,
  PollLink,
  SendOverLink,
} from "../../shared/rpc.ts";
import type { Storage } from "../runtime/storage.ts";
import { type Link, type LinkMessage, RendezvousStore } from "./store.ts";

type Answer<T> = ({ ok: true } & T) | LinkRefusal;
type Done = Answer<unknown>;

const done = { ok: true } as const;

/**
 * The place where a new device and the one that lets it in meet (docs/protocol.md §8). It carries sealed bytes between
 * the two and never more than that; to anybody else, and once its time is over, it looks as if it had never been.
 */
export class RendezvousCore {
  readonly #store: RendezvousStore;

  constructor(storage: Storage) {
    this.#store = new RendezvousStore(storage);
  }

  /** Once: the same call again changes nothing and answers the same. */
  open(call: OpenLink, now: number): { expiresAt: number } {
    const known = this.#store.link();
    if (known) return { expiresAt: known.expiresAt };
    const expiresAt = now + DEVICE_LINK_TTL_MS;
    this.#store.open(call, expiresAt);
    return { expiresAt };
  }

  /** For whoever holds the QR code, as long as nobody has approved. */
  view(now: number): Answer<{ view: LinkView }> {
    const link = this.#live(now);
    if (link?.state !== "waiting") return refuse("not_found");
    const { deviceName, place, expiresAt, state } = link;
    return { ok: true, view: { deviceName, place: place ?? undefined, expiresAt, state } };
  }

  /** The first device to approve is the only one; its answer may have been lost, so the same approval is good again. */
  approve({ user, device, sealed }: ApproveLink, now: number): Done {
    const link = this.#live(now);
    if (!link) return refuse("not_found");
    if (link.state !== "waiting") return this.#hasApproved(link, { user, device, sealed }) ? done : refuse("taken");
    const added = this.#add("new", sealed);
    if (added.ok) this.#store.approve(user, device);
    return added;
  }

  send({ side, user, device, sealed }: SendOverLink, now: number): Done {
    const link = this.#live(now);
    const isBefore = !link || link.state === "waiting";
    if (isBefore || !isOn(side, link, { user, device })) return refuse("not_found");
    return this.#add(side === "new" ? "old" : "new", sealed);
  }

  poll({ side, user, device, after }: PollLink, now: number): Answer<{ state: LinkState; messages: LinkMessage[] }> {
    const link = this.#live(now);
    if (!link || !isOn(side, link, { user, device })) return refuse("not_found");
    return { ok: true, state: link.state, messages: this.#store.messages(side, after) };
  }

  /** Signs in once, never before the approval; a second time there is nothing to complete any more. */
  complete(now: number): Answer<{ user: UserId; device: DeviceId; deviceName: string; place: string | undefined }> {
    const link = this.#live(now);
    if (link?.state !== "approved" || link.user === null || link.device === null) return refuse("not_found");
    this.#store.complete();
    const { user, device, deviceName, place } = link;
    return { ok: true, user, device, deviceName, place: place ?? undefined };
  }

  /** The alarm that wipes it may be late; nothing is answered from what is left until then. */
  #live(now: number): Link | undefined {
    const link = this.#store.link();
    return link && now < link.expiresAt ? link : undefined;
  }

  #hasApproved(link: Link, { user, device, sealed }: ApproveLink): boolean {
    const [approval] = this.#store.messages("new", 0);
    return link.user === user && link.device === device && approval?.sealed === sealed;
  }

  /** What is there already is a repeat: its sender has had no answer. No two messages are sealed to the same. */
  #add(receiver: LinkSide, sealed: string): Done {
    if (this.#store.has(receiver, sealed)) return done;
    const number = this.#store.count(receiver) + 1;
    if (number > MAX_LINK_MESSAGES || bytesIn(sealed) > MAX_LINK_MESSAGE_BYTES) return refuse("too_many");
    this.#store.add(receiver, { number, sealed });
    return done;
  }
}

/** The new device is known by its token, the other one by having approved. */
function isOn(
  side: LinkSide,
  link: Link,
  caller: { user?: UserId | undefined; device?: DeviceId | undefined },
): boolean {
  if (side === "new") return true;
  return link.user !== null && link.user === caller.user && link.device === caller.device;
}

/** Of base64url without padding. */
function bytesIn(sealed: string): number {
  return Math.floor((sealed.length * 3) / 4);
}

function refuse(code: LinkRefusal["code"]): LinkRefusal {
  return { ok: false, code };
}
