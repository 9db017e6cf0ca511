import { Refusal } from "../../../shared/errors.ts";
import type { UserId } from "../../../shared/ids.ts";
import type { SetPeer } from "../../../shared/rpc.ts";
import type { Caller } from "../auth/tokens.ts";
import type { Database } from "../database/database.ts";
import { peopleById } from "../database/people.ts";
import type { Call } from "../serve.ts";

type CallerCall = Pick<Call, "c" | "requestId"> & { readonly caller: Caller };

/** The caller's own object keeps how they stand to others. @throws Refusal too_many */
export async function setPeer(call: CallerCall, peer: UserId, change: SetPeer["change"]): Promise<void> {
  const { c, caller, requestId } = call;
  const reply = await c.env.USER.getByName(caller.user).setPeer({ peer, change, requestId });
  if (!reply.ok) throw new Refusal(reply.code);
}

/** To oneself one stands in no way. @throws Refusal not_found */
export async function requireOther(db: Database, caller: Caller, other: UserId): Promise<void> {
  const found = other === caller.user ? [] : await peopleById(db, [other]);
  if (found.length === 0) throw new Refusal("not_found");
}
