import * as v from "valibot";
import { ConversationId, DeviceId, Time, UserId } from "./ids.ts";

/**
 * What the messaging Worker hands to the push Worker: who and where to, never what.
 * Repeats collapse: a device shows at most one notification a conversation.
 */
export const PushJob = v.object({
  user: UserId,
  devices: v.array(DeviceId),
  /** Collapses repeats; absent when the device only has to come and compare. */
  conversation: v.optional(ConversationId),
  at: Time,
  /** Carried through every log line of this piece of work. */
  requestId: v.string(),
});
export type PushJob = v.InferOutput<typeof PushJob>;
