import { type ConversationId, directConversation, type UserId } from "../../shared/ids.ts";
import { MAX_CONTENT_BYTES, MAX_INLINE_GROUP_BYTES, SENDS_PER_MINUTE } from "../../shared/limits.ts";
import type { DeviceConfig } from "./device-book.ts";
import { type FaultName, faultNames, faults } from "./faults.ts";
import type { MlsKind } from "./mls-module.ts";
import { Random } from "./random.ts";

interface Person {
  readonly user: UserId;
  readonly devices: readonly DeviceConfig[];
  readonly conversations: readonly ConversationId[];
}

export interface Plan {
  readonly seed: number;
  readonly mls: MlsKind;
  readonly people: readonly Person[];
  /** The first of them founds it. */
  readonly group: { readonly id: ConversationId; readonly members: readonly UserId[] } | undefined;
  /** A device that one of them links when all is under way. */
  readonly lateDevice: DeviceConfig;
  readonly faults: readonly FaultName[];
  /** How often each of them is to strike while people do things. */
  readonly strikes: readonly [least: number, most: number];
  /** What people do, twice: before and after a time of quiet. */
  readonly actions: number;
  /** Large bodies fill a page with few messages. */
  readonly maxBodyBytes: number;
  readonly sendsPerMinute: number;
  readonly keyPackagesKept: number;
  /** What belongs to groups and is larger goes to the file store. */
  readonly maxInlineBytes: number;
}

/** Which module for MLS: of many seeds one is run with the real one, which takes much longer. */
export type MlsChoice = MlsKind | "mixed";
const REAL_EVERY_SEEDS = 20;

/** Only where there is a group. */
const groupFaults: readonly FaultName[] = ["member-comes", "member-goes"];

/** The circumstances of a seed. */
export function planOf(seed: number, mls: MlsChoice = "mixed"): Plan {
  const random = new Random(seed);
  const drawn = faultNames.filter((name) => random.chance(faults[name]));
  const users = Array.from({ length: random.chance(0.6) ? 3 : 2 }, (_, index) => id(`P${index + 1}`));
  // Somebody can come only if they are not there from the beginning.
  const founders = users.slice(0, drawn.includes("member-comes") ? 2 : 3);
  const group = users.length === 3 && random.chance(0.9) ? { id: id("G"), members: founders } : undefined;
  const planned = drawn.filter((name) => group || !groupFaults.includes(name));
  const isClockWrong = planned.includes("client-clock-wrong");
  const people = users.map((user, index) => ({
    user,
    devices: Array.from({ length: Number(random.weighted({ 1: 5, 2: 4, 3: 1 })) }, (_, device) =>
      deviceOf(user, `D${index + 1}${device + 1}`, isClockWrong, random),
    ),
    conversations: conversationsOf(user, users, group?.id),
  }));
  const late = random.between(1, users.length);
  const hasSpare = people.some(({ devices }) => devices.length > 1);
  return {
    seed,
    mls: mls === "mixed" ? (seed % REAL_EVERY_SEEDS === 0 ? "real" : "fake") : mls,
    people,
    group,
    lateDevice: deviceOf(id(`P${late}`), `D${late}9`, isClockWrong, random),
    faults: planned.filter((name) => name !== "device-revoked" || hasSpare),
    strikes: random.chance(0.15) ? [4, 8] : [1, 2],
    actions: random.between(8, 22),
    maxBodyBytes: random.chance(0.1) ? MAX_CONTENT_BYTES - 100 : 40,
    sendsPerMinute: random.chance(0.15) ? 20 : SENDS_PER_MINUTE,
    keyPackagesKept: random.between(1, 3),
    maxInlineBytes: random.chance(0.1) ? 1 : MAX_INLINE_GROUP_BYTES,
  };
}

/** With everybody, the first person also with themself. */
function conversationsOf(user: UserId, users: readonly UserId[], group: ConversationId | undefined): ConversationId[] {
  const others = users.filter((other) => other !== user || user === users[0]);
  return [...others.map((other) => directConversation(user, other)), ...(group === undefined ? [] : [group])];
}

function deviceOf(user: UserId, word: string, isClockWrong: boolean, random: Random): DeviceConfig {
  const skewMs = isClockWrong ? random.between(-300_000, 300_000) : 0;
  return { user, device: id(word), skewMs };
}

/** A ULID that can be read. */
function id(word: string): string {
  return word.padStart(26, "0");
}
