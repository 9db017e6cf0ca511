import * as v from "valibot";
import { DeviceId, DeviceLinkId, Time } from "../ids.ts";
import { MAX_LINK_MESSAGE_BYTES, MAX_LINK_MESSAGES } from "../limits.ts";
import { endpoint } from "./endpoint.ts";
import { DeviceName, Session } from "./sign-in.ts";

/** A device as its owner sees it. */
export const DeviceListing = v.object({
  device: DeviceId,
  name: v.string(),
  addedAt: Time,
  /** Absent if it never connected. */
  lastSeenAt: v.optional(Time),
  isOnline: v.boolean(),
  /** Where it connected from last, such as "Berlin, DE", as far as the network tells. */
  place: v.optional(v.string()),
  /** It is the one that asks. */
  isCurrent: v.boolean(),
});
export type DeviceListing = v.InferOutput<typeof DeviceListing>;

const oneDevice = v.object({ device: DeviceId });

export const listDevices = endpoint({
  name: "listDevices",
  tag: "devices",
  method: "get",
  path: "/v1/devices",
  summary: "The caller's devices, the oldest first.",
  access: "device",
  bucket: "account",
  answer: v.object({ devices: v.array(DeviceListing) }),
  errors: [],
});

export const renameDevice = endpoint({
  name: "renameDevice",
  tag: "devices",
  method: "patch",
  path: "/v1/devices/:device",
  summary: "Names one of the caller's devices.",
  access: "device",
  bucket: "account",
  params: oneDevice,
  body: v.object({ name: DeviceName }),
  errors: ["not_found"],
});

export const revokeDevice = endpoint({
  name: "revokeDevice",
  tag: "devices",
  method: "delete",
  path: "/v1/devices/:device",
  summary: "Removes one of the caller's devices: its socket closes at once, and nothing reaches it any more.",
  access: "device",
  bucket: "account",
  params: oneDevice,
  errors: ["not_found"],
});

// ── linking (docs/protocol.md §8): two devices meet for ten minutes and pass each other sealed bytes ───────────────

const oneLink = v.object({ link: DeviceLinkId });
/** Sealed for the other device; base64url. The server cannot open it. */
const Sealed = v.pipe(v.string(), v.regex(/^[\w-]+$/), v.maxLength(Math.ceil((MAX_LINK_MESSAGE_BYTES * 4) / 3)));
const poll = v.object({ after: v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(MAX_LINK_MESSAGES)) });
export const LinkState = v.picklist(["waiting", "approved", "completed"]);
export type LinkState = v.InferOutput<typeof LinkState>;
/** Messages for the asking side above `after`, numbered from 1. */
const polled = v.object({ state: LinkState, messages: v.array(v.object({ number: v.number(), sealed: v.string() })) });

export const openDeviceLink = endpoint({
  name: "openDeviceLink",
  tag: "devices",
  method: "post",
  path: "/v1/device-links",
  summary: "A new device opens a place to meet, which its QR code names. The token speaks for the new device there.",
  access: "anyone",
  body: v.object({ deviceName: DeviceName }),
  answer: v.object({ link: DeviceLinkId, token: v.string(), expiresAt: Time }),
  errors: ["rate_limited"],
});

export const viewDeviceLink = endpoint({
  name: "viewDeviceLink",
  tag: "devices",
  method: "get",
  path: "/v1/device-links/:link",
  summary: "Which device it is that wants to be linked, for its owner to confirm.",
  access: "device",
  bucket: "account",
  params: oneLink,
  answer: v.object({ deviceName: v.string(), place: v.optional(v.string()), expiresAt: Time, state: LinkState }),
  errors: ["not_found"],
});

export const approveDeviceLink = endpoint({
  name: "approveDeviceLink",
  tag: "devices",
  method: "put",
  path: "/v1/device-links/:link/approval",
  summary: "The caller lets the new device in, with a first sealed message for it.",
  access: "device",
  bucket: "device_link",
  params: oneLink,
  body: v.object({ sealed: Sealed }),
  errors: ["not_found", "taken", "too_many_devices"],
});

const linkMessage = {
  tag: "devices",
  method: "post",
  params: oneLink,
  body: v.object({ sealed: Sealed }),
  errors: ["not_found", "too_many"],
} as const;
const linkPoll = {
  tag: "devices",
  method: "post",
  params: oneLink,
  body: poll,
  answer: polled,
  errors: ["not_found"],
} as const;

export const sendAsNewDevice = endpoint({
  ...linkMessage,
  name: "sendAsNewDevice",
  path: "/v1/device-links/:link/new/messages",
  summary: "The new device passes sealed bytes to the one that approved it.",
  access: "link",
});
export const pollAsNewDevice = endpoint({
  ...linkPoll,
  name: "pollAsNewDevice",
  path: "/v1/device-links/:link/new/poll",
  summary: "What the new device has been sent, and whether it was approved.",
  access: "link",
});
export const sendAsOldDevice = endpoint({
  ...linkMessage,
  name: "sendAsOldDevice",
  path: "/v1/device-links/:link/old/messages",
  summary: "The device that approved passes further sealed bytes to the new one.",
  access: "device",
  bucket: "account",
});
export const pollAsOldDevice = endpoint({
  ...linkPoll,
  name: "pollAsOldDevice",
  path: "/v1/device-links/:link/old/poll",
  summary: "What the device that approved has been sent, and whether the new one has signed in.",
  access: "device",
  bucket: "account",
});

export const completeDeviceLink = endpoint({
  name: "completeDeviceLink",
  tag: "devices",
  method: "post",
  path: "/v1/device-links/:link/complete",
  summary: "The new device signs in, once, after it was approved.",
  access: "link",
  params: oneLink,
  body: v.object({ cookie: v.optional(v.boolean(), false) }),
  answer: Session,
  errors: ["not_found", "too_many_devices"],
});
