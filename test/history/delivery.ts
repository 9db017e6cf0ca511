import type { ConversationId, DeviceId } from "../../shared/ids.ts";
import { RETENTION_MS } from "../../shared/limits.ts";
import { type Facts, held, type KnownDevice, type Sent, type Sighting } from "./facts.ts";
import type { Place, Places } from "./places.ts";
import type { Finding } from "./verdict.ts";

/** Objects' clocks differ a little, so that a month may seem shorter than it was. */
const CLOCKS_DIFFER_MS = 60_000;

/** Every device that was in the group then has, in the end, whatever message has a place: what was ✓ above all. */
export function missing(facts: Facts, places: Places): Finding[] {
  const findings: Finding[] = [];
  for (const [id, device] of facts.devices) {
    if (device.isRevoked) continue;
    for (const [conversation, taken] of places) {
      const has = new Set(
        held(device)
          .filter((s) => s.conversation === conversation)
          .map((s) => s.hash),
      );
      for (const place of taken.values()) {
        if (has.has(place.hash) || !isOwed(facts, id, device, conversation, place)) continue;
        const isAcked = facts.sent.get(place.hash)?.acked !== undefined;
        findings.push({ fault: isAcked ? "lost" : "gaps", text: `${id} lacks ${conversation} ${place.seq}` });
      }
    }
  }
  return findings;
}

function isOwed(facts: Facts, id: DeviceId, device: KnownDevice, conversation: ConversationId, place: Place): boolean {
  const { memberships } = facts;
  if (!memberships.mayRead(conversation, device.user, id, place.seq)) return false;
  return !memberships.isLost(conversation, id, place.seq) && !isExpired(facts, device, conversation, place);
}

/** A conversation's places are 1, 2, 3 …: a place that nobody has and nobody was told of was never given. */
export function holes(facts: Facts, places: Places): Finding[] {
  return [...places].flatMap(([conversation, messages]) => {
    const taken = new Set([...messages.keys(), ...(facts.passed.get(conversation) ?? [])]);
    const last = Math.max(...taken);
    const gone = Math.max(0, ...(facts.expired.get(conversation) ?? []).map(({ through }) => through));
    const findings: Finding[] = [];
    for (let seq = gone + 1; seq < last; seq++) {
      if (!taken.has(seq)) findings.push({ fault: "gaps", text: `${conversation} ${seq} is nobody's` });
    }
    return findings;
  });
}

/** Nothing that nobody sent, or sent otherwise, or sent elsewhere, or was told that it had failed. */
export function phantoms(facts: Facts): Finding[] {
  return judgeEachDevice(facts, (sightings) =>
    sightings.flatMap((sighting): Finding[] => {
      const reason = strangeness(facts, sighting);
      return reason ? [{ fault: "phantom", text: `${nameOf(sighting)}: ${reason}` }] : [];
    }),
  );
}

/** No message twice on a device, be it by its place, its id or its content. */
export function duplicates(facts: Facts): Finding[] {
  const findings = judgeEachDevice(facts, (sightings) => {
    const known = new Set<string>();
    return sightings.flatMap((sighting): Finding[] => {
      const { conversation, seq, messageId, hash } = sighting;
      const keys = [`${conversation} ${seq}`, messageId, hash];
      const isKnown = keys.some((key) => known.has(key));
      for (const key of keys) known.add(key);
      return isKnown ? [{ fault: "duplicatesSeen", text: `${nameOf(sighting)} is there twice` }] : [];
    });
  });
  for (const { hash, seqs, ids } of facts.sent.values()) {
    if (seqs.size > 1 || ids.size > 1) findings.push({ fault: "duplicatesSeen", text: `${hash} was ✓ at two places` });
  }
  return findings;
}

export function duplicatesOnWire(facts: Facts): number {
  return facts.wire.length - new Set(facts.wire.map((s) => `${s.device} ${s.conversation} ${s.seq}`)).size;
}

/** Sends whose end was unknown for a while, and that somebody has. */
export function recovered(facts: Facts, places: Places): number {
  const placed = new Set([...places.values()].flatMap((taken) => [...taken.values()].map((place) => place.hash)));
  return [...facts.sent.values()].filter((sent) => sent.unknown && placed.has(sent.hash)).length;
}

function judgeEachDevice(facts: Facts, judge: (sightings: readonly Sighting[]) => Finding[]): Finding[] {
  return [...facts.devices.values()].flatMap(({ applied, viewed }) => [...judge(applied), ...judge(viewed ?? [])]);
}

function strangeness(facts: Facts, sighting: Sighting): string | undefined {
  const sent = facts.sent.get(sighting.hash);
  if (!sent) return "nobody sent this";
  if (sent.failed) return "its sender was told that it had failed";
  if (sent.conversation !== sighting.conversation) return "sent to another conversation";
  if (sighting.author !== undefined && sighting.author !== sent.user) return "sent by somebody else";
  const { conversation, user, device, seq } = sighting;
  if (!facts.memberships.isMember(conversation, user, seq)) return "not a member";
  if (!facts.memberships.mayRead(conversation, user, device, seq)) return "a device that was not in the group";
  return hasOtherId(sent, sighting) ? "its sender knows it by another id" : undefined;
}

function hasOtherId(sent: Sent, { messageId }: Sighting): boolean {
  return sent.ids.size > 0 && !sent.ids.has(messageId);
}

/**
 * What has left the log is not lost to a device that stayed away for a month, nor to one that was linked when all others
 * had it already. The place of a device's own message is not lost either, if all others have it and only the ✓ was lost.
 */
function isExpired(facts: Facts, device: KnownDevice, conversation: ConversationId, { seq, hash }: Place): boolean {
  const sent = facts.sent.get(hash);
  const since = sent?.invokedAt ?? 0;
  const isOwn = sent?.unknown === true && facts.devices.get(sent.device) === device;
  return (facts.expired.get(conversation) ?? []).some(({ t, through }) => {
    const isOld = t - since >= RETENTION_MS - CLOCKS_DIFFER_MS;
    return through >= seq && (isOld || isOwn || device.registeredAt > since);
  });
}

function nameOf({
  device,
  conversation,
  seq,
}: {
  device: DeviceId;
  conversation: ConversationId;
  seq: number;
}): string {
  return `${conversation} ${seq} on ${device}`;
}
