import type { ConversationId, Cursor, DeviceId, MessageId, Seq, UserId } from "../../shared/ids.ts";
import { directMembers } from "../../shared/ids.ts";
import type { Watermark } from "../../shared/rpc.ts";

/** What a conversation knows beside its log. Small: it is packed into the log's rows (docs/decisions/0002). */
export interface State {
  /** Rises with every write; of two stored states the higher one is the newer. */
  revision: number;
  /** Last place taken. */
  head: Cursor;
  /**
   * What lies above this was answered with ✓ before its fan-out was done: an alarm is set that will finish it. Null:
   * everything answered has reached every live member's user object.
   */
  owedAbove: Cursor | null;
  members: Map<UserId, Member>;
  /** The newest message of each device: what is above it is certainly not a repeat. */
  newest: Map<DeviceId, { id: MessageId; seq: Seq }>;
}

export interface Member extends Watermark {
  /** Asleep: no device connected, every device marked; not called until its next read. */
  dormant: boolean;
  /**
   * What the other one wrote in [from, to] is not for this member, who had blocked them (docs/protocol.md R12).
   * `to` null: they are blocked now.
   */
  hidden: [from: Seq, to: Seq | null][];
  /** Of this member's last change of mind about that; an older one is ignored. */
  blockVersion: number;
}

/** Whether this member may have what stands at this place. */
export function isHidden(member: Member, seq: Seq): boolean {
  return member.hidden.some(([from, to]) => seq >= from && seq <= (to ?? Number.POSITIVE_INFINITY));
}

/** Whether this member has blocked the other one. */
export function isBlocking(member: Member): boolean {
  return member.hidden.at(-1)?.[1] === null;
}

/** From the next place on; or up to the last one. Where nothing was written meanwhile nothing is hidden. */
export function setBlocking(member: Member, blocks: boolean, head: Cursor): void {
  const standing = member.hidden.at(-1);
  if (blocks === isBlocking(member)) return;
  if (blocks) member.hidden.push([head + 1, null]);
  else if (standing && standing[0] > head) member.hidden.pop();
  else if (standing) standing[1] = head;
}

/** A 1:1 conversation begins with the two members that its id names, a group with none. */
export function emptyState(id: ConversationId): State {
  return { revision: 0, head: 0, owedAbove: null, members: membersOf(directMembers(id)), newest: new Map() };
}

export function membersOf(users: readonly UserId[]): Map<UserId, Member> {
  return new Map(
    users.map((user) => [user, { delivered: 0, read: 0, kept: 0, dormant: false, hidden: [], blockVersion: 0 }]),
  );
}

/** Raises what is higher. A claim beyond the head is no claim. True if anything rose. */
export function raise(member: Member, claim: Watermark, head: Cursor): boolean {
  const before = member.delivered + member.read + member.kept;
  const credible = (cursor: Cursor) => (cursor <= head ? cursor : 0);
  member.read = Math.max(member.read, credible(claim.read));
  member.delivered = Math.max(member.delivered, member.read, credible(claim.delivered));
  member.kept = Math.max(member.kept, credible(claim.kept));
  return member.delivered + member.read + member.kept > before;
}

/** With what blocking has left only where it has. */
type PackedMember = [
  UserId,
  delivered: number,
  read: number,
  kept: number,
  dormant: 0 | 1,
  hidden?: [number, number | null][],
  blockVersion?: number,
];
type PackedState = [
  revision: number,
  head: number,
  owedAbove: number | null,
  PackedMember[],
  [DeviceId, MessageId, number][],
];

export function pack(state: State): string {
  const packed: PackedState = [
    state.revision,
    state.head,
    state.owedAbove,
    [...state.members].map(packMember),
    [...state.newest].map(([device, { id, seq }]) => [device, id, seq]),
  ];
  return JSON.stringify(packed);
}

function packMember([user, { delivered, read, kept, dormant, hidden, blockVersion }]: [UserId, Member]): PackedMember {
  const packed: PackedMember = [user, delivered, read, kept, dormant ? 1 : 0];
  if (blockVersion > 0) packed.push(hidden, blockVersion);
  return packed;
}

export function unpack(text: string): State {
  const [revision, head, owedAbove, members, newest] = JSON.parse(text) as PackedState;
  return {
    revision,
    head,
    owedAbove,
    members: new Map(
      members.map(([user, delivered, read, kept, dormant, hidden = [], blockVersion = 0]) => [
        user,
        { delivered, read, kept, dormant: dormant === 1, hidden, blockVersion },
      ]),
    ),
    newest: new Map(newest.map(([device, id, seq]) => [device, { id, seq }])),
  };
}
