import { type Facts, held, type Sighting } from "./facts.ts";
import { type Places, sightingsOf } from "./places.ts";
import type { Finding } from "./verdict.ts";

/** A message has one place and a place one message, whoever is asked. */
export function disagreements(facts: Facts, places: Places): Finding[] {
  const seqs = new Map<string, number>();
  const findings: Finding[] = [];
  const compare = (conversation: string, seq: number, hash: string) => {
    const other = places.get(conversation)?.get(seq);
    const isElsewhere = (seqs.get(hash) ?? seq) !== seq;
    seqs.set(hash, seq);
    if (other?.hash === hash && !isElsewhere) return;
    findings.push({ fault: "reordered", text: `not all agree on ${conversation} ${seq}` });
  };
  for (const { conversation, hash, acked } of facts.sent.values()) if (acked) compare(conversation, acked.seq!, hash);
  for (const sighting of sightingsOf(facts)) compare(sighting.conversation, sighting.seq, sighting.hash);
  return findings;
}

/** A device applies what others sent in the order of the places, and shows everything in that order. */
export function outOfOrder(facts: Facts): Finding[] {
  return [...facts.devices].flatMap(([id, device]) => {
    const own = new Set([...facts.sent.values()].filter((sent) => sent.device === id).map((sent) => sent.hash));
    const received = device.applied.filter((sighting) => !own.has(sighting.hash));
    return [...descents(received), ...(device.viewed ? descents(held(device)) : [])];
  });
}

/** What a device sends to a conversation keeps its order. */
export function ownOutOfOrder(facts: Facts, places: Places): Finding[] {
  const placed = [...places].flatMap(([conversation, taken]) =>
    [...taken.values()].map(({ hash, seq }) => [hash, { conversation, seq }] as const),
  );
  const seqOf = new Map(placed);
  const last = new Map<string, number>();
  return [...facts.sent.values()].flatMap(({ hash, device, conversation }): Finding[] => {
    const seq = seqOf.get(hash)?.seq;
    if (seq === undefined) return [];
    const key = `${device} ${conversation}`;
    const before = last.get(key) ?? 0;
    last.set(key, Math.max(before, seq));
    return seq < before ? [{ fault: "reordered", text: `${key}: ${seq} was sent after ${before}` }] : [];
  });
}

function descents(sightings: readonly Sighting[]): Finding[] {
  const last = new Map<string, number>();
  return sightings.flatMap(({ device, conversation, seq }): Finding[] => {
    const before = last.get(conversation) ?? 0;
    last.set(conversation, seq);
    return seq < before ? [{ fault: "reordered", text: `${device} ${conversation}: ${seq} after ${before}` }] : [];
  });
}
