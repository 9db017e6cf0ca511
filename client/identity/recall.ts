import type { UserId } from "../../shared/ids.ts";
import { MAX_FORMER_KEYS } from "../../shared/limits.ts";
import { isSameKey } from "./ed25519.ts";
import { type Judgement, type Pin, type Pins, withFormer } from "./pins.ts";

/**
 * What an archive of this person's says of somebody, beside what this device knows. Whatever key is pinned here stays; that it
 * was compared is taken over for the very same key alone.
 * @returns the pin to be kept, and how it differs from what is known, where that has not been shown here
 */
export function recall({ own, others }: Pins, user: UserId, known: Pin, now: number): Omit<Judgement, "ok"> {
  if (user === own.user) return {};
  const pinned = others.get(user);
  if (!pinned) return { pin: known };
  if (isSameKey(pinned.accountKey, known.accountKey)) return joinPins(pinned, known);
  const wasVerified = known.verifiedAt !== undefined;
  // A key that came later will be met, and shown then; where one was compared, no clock is believed.
  if (pinned.verifiedAt !== undefined || (!wasVerified && pinned.since < known.since)) return {};
  const had = formerOf(pinned, known);
  if (had && (had.wasVerified || !wasVerified)) return {};
  const before = (pinned.former ?? []).filter((key) => key !== had);
  const kept = { ...pinned, former: withFormer({ ...known, former: before }, now) };
  const isUnconfirmed = wasVerified || known.isUnconfirmed;
  const change = { user, oldKey: known.accountKey, newKey: pinned.accountKey, at: now, wasVerified };
  return { pin: isUnconfirmed ? { ...kept, isUnconfirmed: true } : kept, change };
}

/** Of the same key. Who knows here that keys were compared has judged a change that the archive has not seen: that stands. */
function joinPins(pinned: Pin, known: Pin): Omit<Judgement, "ok"> {
  const { former = [] } = pinned;
  const hadCompared = former.some(({ wasVerified }) => wasVerified);
  const hasSeenMore = former.some((key) => !formerOf(known, key));
  if (hasSeenMore && (hadCompared || pinned.isUnconfirmed)) return {};
  const { isUnconfirmed, ...rest } = known;
  const pin = { ...rest, since: Math.min(pinned.since, known.since), ...joinFormer(pinned, known) };
  const verifiedAt = pinned.verifiedAt ?? known.verifiedAt;
  if (verifiedAt !== undefined) return { pin: { ...pin, verifiedAt } };
  const isOpen = pinned.isUnconfirmed || (isUnconfirmed && !hadCompared);
  return { pin: isOpen ? { ...pin, isUnconfirmed: true } : pin };
}

function joinFormer(pinned: Pin, known: Pin): Pick<Pin, "former"> {
  const here = (pinned.former ?? []).map((key) => ({ ...formerOf(known, key), ...key }));
  const former = [...here, ...(known.former ?? []).filter((key) => !formerOf(pinned, key))];
  return former.length > 0 ? { former: former.slice(0, MAX_FORMER_KEYS) } : {};
}

function formerOf({ former = [] }: Pin, { accountKey }: Pick<Pin, "accountKey">) {
  return former.find((key) => isSameKey(key.accountKey, accountKey));
}
