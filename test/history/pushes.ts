import type { DeviceId, UserId } from "../../shared/ids.ts";
import type { Facts, KnownDevice, Sent } from "./facts.ts";
import type { HistoryRecord } from "./record.ts";
import type { Finding } from "./verdict.ts";

/** So long a device must have been away that it should have been woken, retries of a failing queue included. */
const GRACE_MS = 180_000;

/** So long an object may take a device for connected whose path is broken. */
const UNNOTICED_MS = 120_000;
/** A message came a little before its sender saw the ✓. */
const ACK_MS = 5_000;

interface Absence {
  readonly from: number;
  /** When it next had a connection; infinite if it never did. */
  to: number;
  pushed: boolean;
  /** When its person's object crashed that may not have noticed the absence. */
  crashedAt: number;
}

/**
 * A device that is away when a message of another person comes gets at least one push before it next connects. One push
 * stands for everything that comes during an absence.
 */
export function missedPushes(facts: Facts, history: readonly HistoryRecord[]): Finding[] {
  const absences = absencesOf(history);
  const end = history.at(-1)?.t ?? 0;
  return [...facts.sent.values()].flatMap((sent) =>
    [...facts.devices]
      .filter(
        ([id, device]) => mayRead(facts, sent, id, device) && isUnpushed(sent, device, absences.get(id) ?? [], end),
      )
      .map(
        ([id]): Finding => ({
          fault: "missedPushes",
          text: `${id} was not woken for ${sent.conversation} ${sent.acked?.seq}`,
        }),
      ),
  );
}

/** For others it would be woken in vain, and may have seen that before it was known to be placed. */
function mayRead({ memberships }: Facts, { conversation, acked }: Sent, id: DeviceId, { user }: KnownDevice): boolean {
  return memberships.mayRead(conversation, user, id, acked?.seq ?? 0);
}

function isUnpushed(sent: Sent, device: KnownDevice, absences: readonly Absence[], end: number): boolean {
  const came = sent.acked?.t;
  if (came === undefined || device.user === sent.user || device.registeredAt > sent.invokedAt) return false;
  if (device.isRevoked) return false;
  const absence = absences.find(({ from, to }) => from <= came && came < to);
  if (!absence || absence.pushed || Math.min(absence.to, end) - came < GRACE_MS) return false;
  // Sent over a broken path by an object that crashed before it knew: the push follows when something wakes the object.
  if (came - ACK_MS <= absence.crashedAt) return false;
  return !device.applied.some((sighting) => sighting.hash === sent.hash && sighting.t <= came);
}

/** A device begins away, for its object a little earlier than anybody is told. */
function absencesOf(history: readonly HistoryRecord[]): Map<DeviceId, Absence[]> {
  const absences = new Map<DeviceId, Absence[]>();
  const owners = new Map<DeviceId, UserId>();
  const crashes = new Map<UserId, number>();
  for (const { t, type, op, user, device } of history) {
    const known = absences.get(device!) ?? [];
    const last = known.at(-1);
    const isAway = last?.to === Number.POSITIVE_INFINITY;
    const isBeginning = !last && (op === "register" || op === "push");
    if (isBeginning || (op === "disconnect" && !isAway)) {
      owners.set(device!, user!);
      absences.set(device!, [...known, absence(t, op === "push", crashes.get(user!))]);
    } else if (op === "connect" && type === "ok" && last) last.to = Math.min(last.to, t);
    else if (op === "push" && last && isAway) last.pushed = true;
    else if (op === "fault" && user !== undefined) {
      crashes.set(user, t);
      for (const [id, all] of absences) if (owners.get(id) === user) noteCrash(all.at(-1), t);
    }
  }
  return absences;
}

/** @param crashedAt when the person's object last crashed: perhaps that is why the device is away now */
function absence(from: number, pushed: boolean, crashedAt = Number.NEGATIVE_INFINITY): Absence {
  return { from, to: Number.POSITIVE_INFINITY, pushed, crashedAt };
}

function noteCrash(absence: Absence | undefined, at: number): void {
  if (absence?.to === Number.POSITIVE_INFINITY && at - absence.from <= UNNOTICED_MS) absence.crashedAt = at;
}
