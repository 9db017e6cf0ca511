import type { Audience } from "../../../shared/api/people.ts";
import type { View } from "../database/privacy.ts";

export interface Visible {
  readonly about: boolean;
  /** Online and last seen. */
  readonly seen: boolean;
}

/**
 * What the viewer sees of the owner beside name and username, which have no audience.
 * @param isHidden the owner's object says that the viewer is blocked or not accepted: they see what they would see of
 * somebody who shows everything to nobody, and cannot tell the difference
 */
export function visibleParts(view: View, isHidden: boolean): Visible {
  const isShown = (subject: "about" | "seen", audience: Audience["audience"]) =>
    !isHidden && isIn(audience, { isContact: view.isContact, isExcepted: view.exceptions.includes(subject) });
  return {
    about: isShown("about", view.aboutAudience),
    // Who shows it to nobody sees nobody's.
    seen: view.viewerSeenAudience !== "nobody" && isShown("seen", view.seenAudience),
  };
}

/** "except" are the contacts without those named: somebody who is named and no contact is in neither way. */
export function isIn(
  audience: Audience["audience"],
  { isContact, isExcepted }: { readonly isContact: boolean; readonly isExcepted: boolean },
): boolean {
  switch (audience) {
    case "everyone":
      return true;
    case "contacts":
      return isContact;
    case "except":
      return isContact && !isExcepted;
    case "nobody":
      return false;
  }
}
