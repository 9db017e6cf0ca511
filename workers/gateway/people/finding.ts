import type * as people from "../../../shared/api/people.ts";
import { Refusal } from "../../../shared/errors.ts";
import { admit } from "../auth/admission.ts";
import { BOOKMARK_HEADER, openPrimary } from "../database/database.ts";
import { peopleByPhoneHash, personByLink, personByUsername } from "../database/people.ts";
import type { Serve } from "../serve.ts";
import { hashOfDigest } from "../sign-in/phone.ts";

export const findUsername: Serve<typeof people.findUsername> = async ({ body, db }) => {
  const found = await personByUsername(db, body.username);
  if (!found) throw new Refusal("not_found");
  return found;
};

/** From the primary: a link that was rotated a moment ago leads nowhere, whatever a replica still says. */
export const openUserLink: Serve<typeof people.openUserLink> = async ({ c, body }) => {
  const { db, bookmark } = openPrimary(c);
  const found = await personByLink(db, body.link);
  if (!found) throw new Refusal("not_found");
  c.header(BOOKMARK_HEADER, bookmark());
  return found;
};

/** Every number asked about is paid for, also one that is nobody's: nobody sweeps a country's numbers. */
export const discoverContacts: Serve<typeof people.discoverContacts> = async ({ c, caller, body, db }) => {
  await admit(c.env, caller, "discovery", body.digests.length);
  const hashed = await Promise.all(
    body.digests.map(async (digest) => [await hashOfDigest(c.env, digest), digest] as const),
  );
  const digests = new Map(hashed);
  const known = await peopleByPhoneHash(db, [...digests.keys()]);
  const found = known.flatMap(({ user, name, phoneHash }) => {
    const digest = digests.get(phoneHash);
    return digest === undefined ? [] : [{ digest, user, name }];
  });
  return { found };
};
