import type * as people from "../../../shared/api/people.ts";
import { Refusal } from "../../../shared/errors.ts";
import { viewOf } from "../database/privacy.ts";
import type { Serve } from "../serve.ts";
import { visibleParts } from "./audience.ts";

/** The person's object is asked only if there is such a person, and always then: what is hidden shows in no timing. */
export const viewPerson: Serve<typeof people.viewPerson> = async ({ c, caller, params: { user }, db }) => {
  const view = await viewOf(db, user, caller.user);
  if (!view) throw new Refusal("not_found");
  const presence = await c.env.USER.getByName(user).askPresence({ viewer: caller.user });
  const isSelf = user === caller.user;
  const visible = isSelf ? { about: true, seen: true } : visibleParts(view, presence.isHidden);
  return {
    user,
    name: view.name,
    username: view.username ?? undefined,
    ...(visible.about && { about: view.about }),
    ...(visible.seen && !presence.isHidden && { isOnline: presence.isOnline, lastSeenAt: presence.lastSeenAt }),
  };
};
