import type { DeviceId, MessageId, UserId } from "../../shared/ids.ts";
import type { Member, Role, State } from "./state.ts";

/** The state as the log's rows carry it (docs/decisions/0002): short, for it is written with every message. */

/** What few members have stands there only for them. */
type PackedMember = [
  UserId,
  delivered: number,
  read: number,
  kept: number,
  dormant: 0 | 1,
  hidden?: [number, number | null][],
  blockVersion?: number,
  joined?: number,
  role?: number,
];
type PackedState = [
  revision: number,
  head: number,
  owedAbove: number | null,
  members: PackedMember[],
  newest: [DeviceId, MessageId, number][],
  epoch?: number | null,
  former?: PackedFormer[],
  hasOrphans?: 0 | 1,
  forgottenUntil?: number,
];
type PackedFormer = [UserId, [joined: number, left: number][]];
/** Packed by their place here. */
const roles: readonly Role[] = ["member", "admin", "owner"];

export function pack(state: State): string {
  const packed: PackedState = [
    state.revision,
    state.head,
    state.owedAbove,
    [...state.members].map(packMember),
    [...state.newest].map(([device, { id, seq }]) => [device, id, seq]),
  ];
  const { epoch, former, hasOrphans, forgottenUntil } = state;
  const rest = [epoch, packFormer(state), hasOrphans ? 1 : 0, forgottenUntil];
  const isSaid = [epoch !== null, former.size > 0, hasOrphans, forgottenUntil > 0];
  return JSON.stringify([...packed, ...rest.slice(0, isSaid.lastIndexOf(true) + 1)]);
}

function packFormer({ former }: State): PackedFormer[] {
  return [...former].map(([user, spans]) => [user, spans.map(({ joined, left }) => [joined, left])]);
}

function packMember([user, member]: [UserId, Member]): PackedMember {
  const { delivered, read, kept, dormant, hidden, blockVersion, joined, role } = member;
  const packed: PackedMember = [user, delivered, read, kept, dormant ? 1 : 0];
  const isPlain = joined === 0 && role === "member";
  if (blockVersion > 0 || !isPlain) packed.push(hidden, blockVersion);
  if (!isPlain) packed.push(joined, roles.indexOf(role));
  return packed;
}

export function unpack(text: string): State {
  const [revision, head, owedAbove, members, newest, epoch = null, former = [], hasOrphans = 0, forgottenUntil = 0] =
    JSON.parse(text) as PackedState;
  return {
    ...{ revision, head, owedAbove, epoch, hasOrphans: hasOrphans === 1, forgottenUntil },
    members: new Map(members.map(unpackMember)),
    former: new Map(former.map(([user, spans]) => [user, spans.map(([joined, left]) => ({ joined, left }))])),
    newest: new Map(newest.map(([device, id, seq]) => [device, { id, seq }])),
  };
}

function unpackMember(packed: PackedMember): [UserId, Member] {
  const [user, delivered, read, kept, dormant, hidden = [], blockVersion = 0, joined = 0, role = 0] = packed;
  const standing = { joined, role: roles[role] ?? "member" };
  return [user, { delivered, read, kept, dormant: dormant === 1, hidden, blockVersion, ...standing }];
}
