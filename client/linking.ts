import {
  approveDeviceLink,
  completeDeviceLink,
  openDeviceLink,
  pollAsNewDevice,
  pollAsOldDevice,
  sendAsNewDevice,
  sendAsOldDevice,
  viewDeviceLink,
} from "../shared/api/devices.ts";
import type { AnswerOf } from "../shared/api/endpoint.ts";
import type { Session } from "../shared/api/sign-in.ts";
import { toBase64url } from "../shared/base64url.ts";
import type { DeviceLinkId } from "../shared/ids.ts";
import { DEVICE_LINK_TTL_MS } from "../shared/limits.ts";
import { ChatError } from "./chat-error.ts";
import type { DeviceSession } from "./device-session.ts";
import type { Http } from "./http.ts";
import { LinkChannel, type LinkDirections, type LinkRequests, LinkWire } from "./link-channel.ts";
import { agreeOnCiphers, type EphemeralKey, joinBytes, makeEphemeralKey } from "./link-cipher.ts";
import { LINK_SECRET_BYTES, type LinkCode, PUBLIC_KEY_BYTES, writeLinkCode } from "./link-code.ts";
import { Patience } from "./patience.ts";

/**
 * Linking a device (docs/protocol.md §8): a new device shows a code, a device of the account scans it, and from then on
 * the two talk past the server, which passes on what it cannot read. Everything here rejects with a `ChatError`.
 */

export interface NewDevice {
  readonly http: Pick<Http, "call" | "cookie">;
  readonly deviceName: string;
  /** Ends the waiting, with code `closed`. */
  readonly signal?: AbortSignal;
}

export interface OpenedLink {
  /** To be shown as a QR code, and to nobody but the person: whoever sees it can pretend to be their other device. */
  readonly qr: string;
  readonly expiresAt: number;
  /**
   * Waits for the approval, then signs in. To be called once.
   * Codes: `tampered` this was not approved by a device that has seen the code; `not_found` nobody did in time.
   */
  session(): Promise<LinkedDevice>;
}

interface LinkedDevice {
  readonly session: Session;
  /** What the other device has sent with its approval. */
  readonly payload: Uint8Array;
  readonly channel: LinkChannel;
}

export async function openLink({ http, deviceName, signal }: NewDevice): Promise<OpenedLink> {
  const key = await makeEphemeralKey();
  const { link, token, expiresAt } = await http.call(openDeviceLink, { body: { deviceName } });
  const secret = crypto.getRandomValues(new Uint8Array(LINK_SECRET_BYTES));
  const code = { link, publicKey: key.publicKey, secret };
  const wire = new LinkWire(requestsAsNew(http, link, token), new Patience(DEVICE_LINK_TTL_MS, signal));
  return {
    qr: writeLinkCode(code),
    expiresAt,
    async session() {
      const { payload, channel } = await receiveApproval(code, key, wire);
      const body = { cookie: http.cookie };
      return { session: await http.call(completeDeviceLink, { params: { link }, body, token }), payload, channel };
    },
  };
}

/** What is opened here comes from a device that has seen the code; before that is certain nothing is signed in. */
async function receiveApproval(code: LinkCode, { privateKey }: EphemeralKey, wire: LinkWire) {
  const { value: approval } = await wire.after(0).next();
  const oldKey = joinBytes(approval.subarray(0, PUBLIC_KEY_BYTES));
  const ciphers = await agreeOnCiphers(code, privateKey, { theirs: oldKey, oldKey });
  const payload = await ciphers.new.open(1, approval.subarray(PUBLIC_KEY_BYTES));
  const directions: LinkDirections = { outgoing: ciphers.old, incoming: ciphers.new };
  return { payload, channel: new LinkChannel(wire, directions, { sent: 0, received: 1 }) };
}

export interface OldDevice {
  readonly session: Pick<DeviceSession, "call">;
  /** Ends the waiting, with code `closed`. */
  readonly signal?: AbortSignal;
}

/**
 * Which device shows this code, for the person to confirm. It names itself, so it proves nothing: what counts is that the
 * code was scanned from the device that they mean. Code `not_found`: too late, or somebody else was faster.
 */
export function viewLink({ session }: OldDevice, { link }: LinkCode): Promise<AnswerOf<typeof viewDeviceLink>> {
  return session.call(viewDeviceLink, { params: { link } });
}

/**
 * Lets the new device in.
 * @param payload up to `MAX_LINK_PAYLOAD_BYTES`, for the new device alone
 * @throws ChatError link_invalid, not_found, taken, too_many_devices, too_large, closed
 */
export async function approveLink(
  { session, signal }: OldDevice,
  code: LinkCode,
  payload: Uint8Array,
): Promise<LinkChannel> {
  const { privateKey, publicKey: oldKey } = await makeEphemeralKey();
  const ciphers = await agreeOnCiphers(code, privateKey, { theirs: code.publicKey, oldKey }).catch((cause) => {
    throw new ChatError("link_invalid", { cause });
  });
  const approval = joinBytes(oldKey, await ciphers.new.seal(1, payload));
  const request = { params: { link: code.link }, body: { sealed: toBase64url(approval) } };
  const patience = new Patience(DEVICE_LINK_TTL_MS, signal);
  await patience.insist(() => session.call(approveDeviceLink, request));
  const wire = new LinkWire(requestsAsOld(session, code.link), patience);
  return new LinkChannel(wire, { outgoing: ciphers.new, incoming: ciphers.old }, { sent: 1, received: 0 });
}

function requestsAsNew(http: NewDevice["http"], link: DeviceLinkId, token: string): LinkRequests {
  const params = { link };
  return {
    send: (sealed) => http.call(sendAsNewDevice, { params, body: { sealed }, token }),
    poll: (after) => http.call(pollAsNewDevice, { params, body: { after }, token }),
  };
}

function requestsAsOld(session: OldDevice["session"], link: DeviceLinkId): LinkRequests {
  const params = { link };
  return {
    send: (sealed) => session.call(sendAsOldDevice, { params, body: { sealed } }),
    poll: (after) => session.call(pollAsOldDevice, { params, body: { after } }),
  };
}
