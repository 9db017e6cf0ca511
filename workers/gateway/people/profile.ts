import { base64url } from "../../../durable-objects/runtime/keyed-hash.ts";
import type * as people from "../../../shared/api/people.ts";
import { Refusal } from "../../../shared/errors.ts";
import { changeProfile, ownProfile } from "../database/profiles.ts";
import type { Serve } from "../serve.ts";

export const getMe: Serve<typeof people.getMe> = async ({ c, caller, db }) => {
  const [profile, { hasPin }] = await Promise.all([
    ownProfile(db, caller.user),
    c.env.USER.getByName(caller.user).overview(),
  ]);
  // Their own object knows them: the replica that was asked does not yet.
  if (!profile) throw new Refusal("unavailable");
  const { username, link, ...rest } = profile;
  return { ...rest, user: caller.user, username: username ?? undefined, link: link ?? undefined, hasPin };
};

export const updateMe: Serve<typeof people.updateMe> = async ({ caller, body, db }) => {
  if (Object.keys(body).length > 0) await changeProfile(db, caller.user, body);
};

export const rotateLink: Serve<typeof people.rotateLink> = async ({ caller, db }) => {
  const link = base64url(crypto.getRandomValues(new Uint8Array(32)));
  await changeProfile(db, caller.user, { link });
  return { link };
};

export const removeLink: Serve<typeof people.removeLink> = async ({ caller, db }) => {
  await changeProfile(db, caller.user, { link: null });
};
