import {
  type DeviceListing,
  listDevices,
  renameDevice,
  revokeDevice,
  type viewDeviceLink,
} from "../../shared/api/devices.ts";
import type { AnswerOf } from "../../shared/api/endpoint.ts";
import type { DeviceId } from "../../shared/ids.ts";
import type { DeviceSession } from "../device-session.ts";
import type { LinkChannel } from "../link-channel.ts";
import { readLinkCode } from "../link-code.ts";
import { approveLink, viewLink } from "../linking.ts";

export interface LinkOptions {
  /** For the new device alone. */
  readonly payload?: Uint8Array;
  readonly signal?: AbortSignal;
}

/** This person's devices. Everything here rejects with a `ChatError`. */
export class Devices {
  readonly #session: Pick<DeviceSession, "call">;

  constructor(session: Pick<DeviceSession, "call">) {
    this.#session = session;
  }

  /** The oldest first. */
  async list(): Promise<DeviceListing[]> {
    return (await this.#session.call(listDevices)).devices;
  }

  rename(device: DeviceId, name: string): Promise<void> {
    return this.#session.call(renameDevice, { params: { device }, body: { name } });
  }

  /** Its connection closes at once, and nothing reaches it any more. */
  revoke(device: DeviceId): Promise<void> {
    return this.#session.call(revokeDevice, { params: { device } });
  }

  /**
   * Which device shows this QR code, for the person to confirm before it is linked. It names itself, so that this proves
   * nothing: what counts is that they scanned the code from the device that they mean. Code `link_invalid` if it is none.
   */
  async view(qr: string): Promise<AnswerOf<typeof viewDeviceLink>> {
    return viewLink({ session: this.#session }, readLinkCode(qr));
  }

  /** Lets the device in that shows this QR code. @returns a way to pass it more that the server cannot read */
  async link(qr: string, { payload = new Uint8Array(0), signal }: LinkOptions = {}): Promise<LinkChannel> {
    const device = { session: this.#session, ...(signal && { signal }) };
    return approveLink(device, readLinkCode(qr), payload);
  }
}
