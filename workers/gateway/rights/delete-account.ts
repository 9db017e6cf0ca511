import type * as rights from "../../../shared/api/rights.ts";
import type { Removal } from "../../../shared/api/rights.ts";
import type { Serve } from "../serve.ts";
import { requirePin } from "../sign-in/pin.ts";
import { signRemoval } from "./removal-receipt.ts";

/** The person's object does all of it, and goes on by itself if it cannot be done in time. */
export const deleteAccount: Serve<typeof rights.deleteAccount> = async (call) => {
  const { c, caller, body, requestId } = call;
  const requestedAt = Date.now();
  await requirePin(call, body.pin);
  const { isComplete, devices, conversations, databaseRows, files } = await c.env.USER.getByName(
    caller.user,
  ).removePerson({ requestId });
  const counts = { devices, conversations, databaseRows, files };
  const completed = isComplete ? { completedAt: Date.now() } : {};
  const removal: Removal = { user: caller.user, requestedAt, ...completed, ...counts };
  return { removal, receipt: await signRemoval(c.env.TOKEN_KEYS, removal) };
};
