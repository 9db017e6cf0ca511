import type { ConversationId, UserId } from "../../shared/ids.ts";
import { type Facts, held, type Sighting } from "./facts.ts";

/** A place of a conversation that is known to be taken, because somebody was told so or has what is there. */
export interface Place {
  readonly seq: number;
  readonly hash: string;
  readonly author: UserId | undefined;
}

export type Places = ReadonlyMap<ConversationId, ReadonlyMap<number, Place>>;

export function placesOf(facts: Facts): Places {
  const places = new Map<ConversationId, Map<number, Place>>();
  const take = (conversation: ConversationId, seq: number, hash: string) => {
    const taken = places.get(conversation) ?? new Map<number, Place>();
    places.set(conversation, taken);
    if (!taken.has(seq)) taken.set(seq, { seq, hash, author: facts.sent.get(hash)?.user });
  };
  for (const { conversation, hash, acked } of facts.sent.values()) if (acked) take(conversation, acked.seq!, hash);
  for (const sighting of sightingsOf(facts)) take(sighting.conversation, sighting.seq, sighting.hash);
  return places;
}

/** Everything that any device ever had. */
export function* sightingsOf(facts: Facts): Generator<Sighting> {
  for (const device of facts.devices.values()) {
    yield* device.applied;
    if (device.viewed) yield* held(device);
  }
}
