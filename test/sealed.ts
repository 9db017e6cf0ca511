import { groupIdOf, readFraming } from "../shared/mls/framing.ts";
import type { LeafOwner, SubmitCommit } from "../shared/rpc.ts";

/**
 * What the server takes for sealed: it reads the framing of a message (RFC 9420 §6) and nothing behind it, so a test of the
 * server alone needs no keys. The payload stands there in the open, to be compared.
 */

/** A message of a conversation in an epoch; the first one that a group has is 1. */
export function sealedBytes(
  conversation: string,
  epoch: number,
  payload: string | Uint8Array,
): Uint8Array<ArrayBuffer> {
  const group = groupIdOf(conversation);
  const content = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
  const bytes = new Uint8Array(payloadAt(group) + content.byteLength);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 1);
  view.setUint16(2, 2);
  bytes[4] = group.byteLength;
  bytes.set(group, 5);
  view.setBigUint64(5 + group.byteLength, BigInt(epoch));
  bytes[payloadAt(group) - 1] = 1;
  bytes.set(content, payloadAt(group));
  return bytes;
}

/** What was sealed; of what is no message, that it is a commit. */
export function payloadOf(bytes: Uint8Array): string {
  const sealed = readFraming(bytes);
  if (sealed?.kind !== "message") return "(commit)";
  return new TextDecoder().decode(bytes.subarray(payloadAt(sealed.group)));
}

/** A public message, of which the server's objects read no more than that. */
export function commitBytes(payload: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(0, 1, 0, 1, ...new TextEncoder().encode(payload));
}

/** The commit that begins a conversation's group: its maker has leaf 0, the others the next ones. */
export function foundingCommit(
  conversation: string,
  maker: LeafOwner,
  others: readonly LeafOwner[],
  id: string,
): SubmitCommit {
  return commit(conversation, maker, {
    id,
    epoch: 0,
    leaf: 0,
    adds: others.map(({ user, device }) => ({ user, device })),
  });
}

/** Any commit: what is not said changes nothing. */
export function commit(
  conversation: string,
  { user, device }: LeafOwner,
  change: Pick<SubmitCommit, "id" | "epoch" | "leaf"> & Partial<SubmitCommit>,
): SubmitCommit {
  const about = `epoch ${change.epoch} of ${conversation}, by ${device}`;
  const bytes = (text: string) => new Uint8Array(new TextEncoder().encode(`${text} after ${about}`));
  return {
    ...{ user, device, adds: [], removes: [], after: 0, requestId: "r" },
    ...{ body: commitBytes(`commit in ${about}`), groupInfo: bytes("group info"), tree: bytes("tree") },
    ...(change.adds && change.adds.length > 0 && { welcome: bytes("welcome") }),
    ...change,
  };
}

/** Where the payload begins: behind version, wire format, group id with its length, epoch and content type. */
function payloadAt(group: Uint8Array): number {
  return 4 + 1 + group.byteLength + 8 + 1;
}
