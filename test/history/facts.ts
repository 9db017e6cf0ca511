import type { ConversationId, DeviceId, MessageId, UserId } from "../../shared/ids.ts";
import { Memberships } from "./membership.ts";
import type { HistoryRecord } from "./record.ts";

/** One message that somebody gave to a device, and what became of it. */
export interface Sent {
  readonly hash: string;
  readonly user: UserId;
  readonly device: DeviceId;
  readonly conversation: ConversationId;
  readonly invokedAt: number;
  /** The device was told these; more than one of either breaks a rule. */
  readonly ids: Set<MessageId>;
  readonly seqs: Set<number>;
  acked: HistoryRecord | undefined;
  failed: boolean;
  unknown: boolean;
}

/** A message as a device has it. */
export interface Sighting {
  readonly t: number;
  readonly user: UserId;
  readonly device: DeviceId;
  readonly conversation: ConversationId;
  readonly seq: number;
  readonly messageId: MessageId;
  readonly hash: string;
  /** Who wrote it, as far as the device says so. */
  readonly author: UserId | undefined;
}

export interface KnownDevice {
  readonly user: UserId;
  readonly registeredAt: number;
  isRevoked: boolean;
  /** What it applied, in the order in which it did. */
  readonly applied: Sighting[];
  /** What its final read showed; undefined if it made none. */
  viewed: Sighting[] | undefined;
}

/** What a history tells, in the order in which the rules need it. */
export interface Facts {
  readonly devices: Map<DeviceId, KnownDevice>;
  /** By hash, in the order of sending. */
  readonly sent: Map<string, Sent>;
  readonly memberships: Memberships;
  /** Places at which somebody knows that there is no message for them. */
  readonly passed: Map<ConversationId, Set<number>>;
  /** So often a device could not read what stands at a place. */
  unreadable: number;
  readonly expired: Map<ConversationId, { t: number; through: number }[]>;
  readonly wire: Omit<Sighting, "hash" | "author">[];
}

export function factsOf(history: readonly HistoryRecord[]): Facts {
  const facts: Facts = {
    ...{ devices: new Map(), sent: new Map(), expired: new Map(), wire: [] },
    ...{ memberships: new Memberships(), passed: new Map(), unreadable: 0 },
  };
  for (const record of history) learn(facts, record);
  return facts;
}

/** What a device has in the end: what its final read shows, or else what it is known to have applied. */
export function held(device: KnownDevice): readonly Sighting[] {
  return device.viewed ?? device.applied;
}

function learn(facts: Facts, record: HistoryRecord): void {
  switch (record.op) {
    case "register": {
      const fresh = { isRevoked: false, applied: [], viewed: undefined };
      facts.devices.set(record.device!, { user: record.user!, registeredAt: record.t, ...fresh });
      return;
    }
    case "revoke":
      deviceOf(facts, record).isRevoked = true;
      return;
    case "enter":
    case "leave":
    case "lose":
      return facts.memberships.learn(record);
    case "send":
      return learnSend(facts, record);
    case "apply":
      return void deviceOf(facts, record).applied.push(sighting(record));
    case "unreadable":
      facts.unreadable++;
      return append(facts.passed, record.conversation!, record.seq!);
    case "pass":
      return append(facts.passed, record.conversation!, record.seq!);
    case "wire":
      return void facts.wire.push(sighting(record));
    case "final":
      deviceOf(facts, record).viewed = [];
      return;
    case "view":
      return void deviceOf(facts, record).viewed?.push(sighting(record));
    case "expire": {
      const known = facts.expired.get(record.conversation!) ?? [];
      facts.expired.set(record.conversation!, [...known, { t: record.t, through: record.cursor! }]);
    }
  }
}

function learnSend(facts: Facts, record: HistoryRecord): void {
  const hash = record.hash!;
  if (record.type === "invoke") {
    if (facts.sent.has(hash)) throw new Error(`two messages with the same body: ${hash}`);
    const { user, device, conversation, t } = record;
    const fresh = {
      ids: new Set<MessageId>(),
      seqs: new Set<number>(),
      acked: undefined,
      failed: false,
      unknown: false,
    };
    facts.sent.set(hash, { hash, user: user!, device: device!, conversation: conversation!, invokedAt: t, ...fresh });
    return;
  }
  const sent = facts.sent.get(hash);
  if (!sent) throw new Error(`the end of a message that nobody sent: ${hash}`);
  if (record.type === "fail") sent.failed = true;
  else if (record.type === "info") sent.unknown = true;
  else {
    sent.acked ??= record;
    sent.ids.add(record.messageId!);
    sent.seqs.add(record.seq!);
  }
}

function deviceOf(facts: Facts, record: HistoryRecord): KnownDevice {
  const known = facts.devices.get(record.device!);
  if (!known) throw new Error(`a device that was never registered: ${record.device}`);
  return known;
}

function sighting({ t, user, device, conversation, seq, messageId, hash, peer }: HistoryRecord): Sighting {
  return {
    ...{ t, user: user!, device: device!, conversation: conversation! },
    ...{ seq: seq!, messageId: messageId!, hash: hash!, author: peer },
  };
}

function append<K, V>(sets: Map<K, Set<V>>, key: K, value: V): void {
  sets.set(key, (sets.get(key) ?? new Set<V>()).add(value));
}
