import type * as rights from "../../../shared/api/rights.ts";
import type { Removal } from "../../../shared/api/rights.ts";
import { Refusal } from "../../../shared/errors.ts";
import type { Call, Serve } from "../serve.ts";
import { pinVerifier } from "../sign-in/pin.ts";
import { signRemoval } from "./removal-receipt.ts";

type DeleteCall = Call<typeof rights.deleteAccount>;

/** The person's object does all of it, and goes on by itself if it cannot be done in time. */
export const deleteAccount: Serve<typeof rights.deleteAccount> = async (call) => {
  const { c, caller, requestId } = call;
  const requestedAt = Date.now();
  await requirePin(call);
  const { isComplete, devices, conversations, databaseRows, files } = await c.env.USER.getByName(
    caller.user,
  ).removePerson({ requestId });
  const counts = { devices, conversations, databaseRows, files };
  const completed = isComplete ? { completedAt: Date.now() } : {};
  const removal: Removal = { user: caller.user, requestedAt, ...completed, ...counts };
  return { removal, receipt: await signRemoval(c.env.TOKEN_KEYS, removal) };
};

/** Whoever holds a device for a moment must not be able to end the account. @throws Refusal pin_required, pin_wrong */
async function requirePin({ c, caller, body: { pin } }: DeleteCall): Promise<void> {
  const stub = c.env.USER.getByName(caller.user);
  if (!(await stub.overview()).hasPin) return;
  const verifier = pin === undefined ? {} : { verifier: await pinVerifier(c.env, caller.user, pin) };
  // As if all other devices were to go: how many there are does not matter here.
  const reply = await stub.assessSignIn({ ...verifier, revokeOthers: true });
  if (!reply.ok) throw new Refusal(reply.code, reply.retry);
}
