import { keyedHash } from "../../../durable-objects/runtime/keyed-hash.ts";
import type * as people from "../../../shared/api/people.ts";
import { Refusal } from "../../../shared/errors.ts";
import * as usernames from "../database/usernames.ts";
import type { Call, Serve } from "../serve.ts";

/** Names that would speak for the service, or for nobody. */
const reservedWords: ReadonlySet<string> = new Set([
  "abuse",
  "admin",
  "administrator",
  "anonymous",
  "everyone",
  "help",
  "helpdesk",
  "info",
  "mod",
  "moderator",
  "nobody",
  "null",
  "official",
  "operator",
  "owner",
  "postmaster",
  "privacy",
  "root",
  "sandpiper",
  "security",
  "service",
  "staff",
  "support",
  "system",
  "team",
  "undefined",
  "verified",
  "webmaster",
]);

export const reserveUsername: Serve<typeof people.reserveUsername> = async (call) => {
  const { username } = call.body;
  if (reservedWords.has(username)) throw new Refusal("taken");
  const until = await usernames.reserveUsername(call.db, await usernameCall(call));
  if (until === undefined) throw new Refusal("taken");
  return { username, until };
};

export const confirmUsername: Serve<typeof people.confirmUsername> = async (call) => {
  const isOwn = await usernames.confirmUsername(call.db, await usernameCall(call));
  if (!isOwn) throw new Refusal("taken");
};

export const releaseUsername: Serve<typeof people.releaseUsername> = async ({ caller, db }) => {
  await usernames.releaseUsername(db, caller.user, Date.now());
};

type NamedCall = Call<typeof people.reserveUsername | typeof people.confirmUsername>;

async function usernameCall({ c, caller, body }: NamedCall): Promise<usernames.UsernameCall> {
  const nameHash = await keyedHash(c.env.PEPPER, "username", body.username);
  return { name: body.username, nameHash, owner: caller.user, now: Date.now() };
}
