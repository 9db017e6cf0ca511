import type * as people from "../../../shared/api/people.ts";
import { peopleById } from "../database/people.ts";
import type { Serve } from "../serve.ts";
import { requireOther, setPeer } from "./peers.ts";

export const listBlocked: Serve<typeof people.listBlocked> = async ({ c, caller, db }) => {
  const { blocked } = await c.env.USER.getByName(caller.user).overview();
  return { blocked: await peopleById(db, blocked) };
};

export const block: Serve<typeof people.block> = async (call) => {
  await requireOther(call.db, call.caller, call.params.user);
  await setPeer(call, call.params.user, "block");
};

/** Also of somebody who does not exist any more. */
export const unblock: Serve<typeof people.unblock> = async (call) => {
  await setPeer(call, call.params.user, "unblock");
};
