import * as v from "valibot";
import { Time, UserId } from "../ids.ts";
import { endpoint } from "./endpoint.ts";
import { Pin } from "./sign-in.ts";

export const exportAccount = endpoint({
  name: "exportAccount",
  tag: "rights",
  method: "get",
  path: "/v1/me/export",
  summary: "All that is kept about the caller: a ZIP archive with account.json and the same to read, account.html.",
  access: "device",
  bucket: "export",
  media: "application/zip",
  errors: [],
});

/** What was removed, as the claims of a signed receipt. Counts only: nothing of the person is left. */
export const Removal = v.object({
  user: UserId,
  requestedAt: Time,
  /** Absent while it goes on: it then ends by itself, whatever fails meanwhile. */
  completedAt: v.optional(Time),
  devices: v.number(),
  conversations: v.number(),
  databaseRows: v.number(),
  files: v.number(),
});
export type Removal = v.InferOutput<typeof Removal>;

export const deleteAccount = endpoint({
  name: "deleteAccount",
  tag: "rights",
  method: "post",
  path: "/v1/me/removal",
  summary:
    "Removes the caller's account and everything of it, everywhere, for good: devices, messages on the server, profile, contacts, files.",
  access: "device",
  bucket: "account",
  body: v.object({
    /** Says that it is meant. */
    confirm: v.literal("remove my account"),
    /** If the account has one. */
    pin: v.optional(Pin),
  }),
  /** `receipt`: the same, signed (JWS, compact) with a key of the published key set. */
  answer: v.object({ removal: Removal, receipt: v.string() }),
  errors: ["pin_required", "pin_wrong", "rate_limited"],
});
