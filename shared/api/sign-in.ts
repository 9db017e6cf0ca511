import * as v from "valibot";
import { DeviceId, Time, UserId } from "../ids.ts";
import {
  CODE_DIGITS,
  MAX_DEVICE_NAME_CHARS,
  MAX_PHONE_CHARS,
  MAX_PIN_DIGITS,
  MAX_TOKEN_CHARS,
  MIN_PIN_DIGITS,
} from "../limits.ts";
import { endpoint } from "./endpoint.ts";

/** International format, "+" and digits; blanks, dots, hyphens and brackets are overlooked. */
export const Phone = v.pipe(v.string(), v.minLength(4), v.maxLength(MAX_PHONE_CHARS));
export const Pin = v.pipe(v.string(), v.regex(new RegExp(`^\\d{${MIN_PIN_DIGITS},${MAX_PIN_DIGITS}}$`)));
export const DeviceName = v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(MAX_DEVICE_NAME_CHARS));
export const TokenText = v.pipe(v.string(), v.minLength(1), v.maxLength(MAX_TOKEN_CHARS));

/** The device that signs in. */
const Device = v.object({
  name: DeviceName,
  /** Signs a device that was signed out in again, with its inbox, instead of adding one. */
  id: v.optional(DeviceId),
});

/** What a signed-in device holds. */
export const Session = v.object({
  user: UserId,
  device: DeviceId,
  accessToken: v.string(),
  accessExpiresAt: Time,
  /** Absent where it was set as a cookie. */
  refreshToken: v.optional(v.string()),
  refreshExpiresAt: Time,
  /** The account is new: it has no name yet. */
  isNew: v.boolean(),
});
export type Session = v.InferOutput<typeof Session>;

const options = {
  device: Device,
  /** Removes all other devices of the person: for a lost phone, or when there are too many. */
  revokeOthers: v.optional(v.boolean(), false),
  /** Puts the refresh token into a cookie that no script can read, instead of the answer. For pages. */
  cookie: v.optional(v.boolean(), false),
};

export const requestCode = endpoint({
  name: "requestCode",
  tag: "sign-in",
  method: "post",
  path: "/v1/sign-in/code",
  summary: "Sends a code to a phone number. The answer is the same whether the number is known or not.",
  access: "anyone",
  body: v.object({ phone: Phone }),
  answer: v.object({
    expiresAt: Time,
    /** Before this no further code is sent. */
    nextSendAt: Time,
    triesLeft: v.number(),
  }),
  errors: ["phone_invalid", "rate_limited"],
});

export const signIn = endpoint({
  name: "signIn",
  tag: "sign-in",
  method: "post",
  path: "/v1/sign-in",
  summary: "Signs a device in with the code, and makes the account if there is none. A code is good once.",
  access: "anyone",
  body: v.object({
    phone: Phone,
    code: v.pipe(v.string(), v.regex(new RegExp(`^\\d{${CODE_DIGITS}}$`))),
    pin: v.optional(Pin),
    ...options,
  }),
  answer: Session,
  /** `not_found`: the device is none of this account's. */
  errors: ["phone_invalid", "code_wrong", "pin_required", "pin_wrong", "too_many_devices", "not_found", "rate_limited"],
});

export const completeSignIn = endpoint({
  name: "completeSignIn",
  tag: "sign-in",
  method: "post",
  path: "/v1/sign-in/complete",
  summary:
    "Goes on with the proof that a refused sign-in carried: with a PIN, without other devices, or with a new account.",
  access: "anyone",
  body: v.object({
    proof: TokenText,
    pin: v.optional(Pin),
    /** Gives the account up for a new one. Possible once nobody was seen there for seven days (`canReset`). */
    reset: v.optional(v.boolean(), false),
    ...options,
  }),
  answer: Session,
  errors: ["unauthenticated", "pin_required", "pin_wrong", "too_many_devices", "not_found", "rate_limited"],
});
