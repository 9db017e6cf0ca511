import * as v from "valibot";
import { Time } from "../ids.ts";
import { endpoint } from "./endpoint.ts";
import { TokenText } from "./sign-in.ts";

export const refreshSession = endpoint({
  name: "refreshSession",
  tag: "session",
  method: "post",
  path: "/v1/session/refresh",
  summary:
    "Exchanges the refresh token, which is good once, for new tokens. One that is used again later than a moment after ends the session.",
  access: "anyone",
  body: v.object({
    /** Absent where it comes as a cookie. */
    refreshToken: v.optional(TokenText),
    /** Also answers a ticket: the device is about to connect. */
    ticket: v.optional(v.boolean(), false),
    /** Chosen by the device and kept until the answer has come: the same attempt again gets the same answer, however late. */
    attempt: v.optional(v.pipe(v.string(), v.regex(/^[\w-]{16,64}$/))),
  }),
  answer: v.object({
    accessToken: v.string(),
    accessExpiresAt: Time,
    refreshToken: v.optional(v.string()),
    refreshExpiresAt: Time,
    ticket: v.optional(v.string()),
  }),
  errors: ["unauthenticated", "rate_limited"],
});

export const signOut = endpoint({
  name: "signOut",
  tag: "session",
  method: "delete",
  path: "/v1/session",
  summary: "Removes the calling device, and its cookie.",
  access: "device",
  bucket: "account",
  errors: [],
});

export const connectTicket = endpoint({
  name: "connectTicket",
  tag: "connection",
  method: "post",
  path: "/v1/connect-ticket",
  summary: "A ticket that opens one socket within 30 s: browsers can send no header with an upgrade.",
  access: "device",
  answer: v.object({ ticket: v.string(), expiresAt: Time }),
  errors: [],
});
