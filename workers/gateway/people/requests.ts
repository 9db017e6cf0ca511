import type * as people from "../../../shared/api/people.ts";
import { peopleById } from "../database/people.ts";
import type { Serve } from "../serve.ts";
import { requireOther, setPeer } from "./peers.ts";

export const listRequests: Serve<typeof people.listRequests> = async ({ c, caller, db }) => {
  const { requests } = await c.env.USER.getByName(caller.user).overview();
  return { requests: await peopleById(db, requests) };
};

export const acceptRequest: Serve<typeof people.acceptRequest> = async (call) => {
  await requireOther(call.db, call.caller, call.params.user);
  await setPeer(call, call.params.user, "accept");
};
