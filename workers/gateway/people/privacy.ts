import type * as people from "../../../shared/api/people.ts";
import { Refusal } from "../../../shared/errors.ts";
import { peopleById } from "../database/people.ts";
import { changePrivacy, privacyOf } from "../database/privacy.ts";
import type { Serve } from "../serve.ts";

export const getPrivacy: Serve<typeof people.getPrivacy> = async ({ caller, db }) => {
  const privacy = await privacyOf(db, caller.user);
  // Their own object knows them: the replica that was asked does not yet.
  if (!privacy) throw new Refusal("unavailable");
  return privacy;
};

export const setPrivacy: Serve<typeof people.setPrivacy> = async ({ caller, body, db }) => {
  if (Object.keys(body).length === 0) return;
  const exceptions = [...new Set(Object.values(body).flatMap((audience) => audience?.except ?? []))];
  const known = await peopleById(db, exceptions);
  if (known.length < exceptions.length) throw new Refusal("not_found");
  await changePrivacy(db, caller.user, body);
};
