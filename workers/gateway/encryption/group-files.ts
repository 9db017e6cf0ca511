import type { Env } from "../../../durable-objects/runtime/env.ts";
import { Refusal } from "../../../shared/errors.ts";
import type { ConversationId } from "../../../shared/ids.ts";
import { MAX_INLINE_GROUP_BYTES } from "../../../shared/limits.ts";
import type { ConversationRpc, Stored } from "../../../shared/rpc.ts";
import { toBase64url } from "./base64url.ts";

type Part = "commit" | "welcome" | "tree" | "group-info";
/** Whose file it is. */
interface Request {
  readonly conversation: ConversationId;
  readonly requestId: string;
}

/**
 * Tells the conversation's object which files are about to be stored, before they are: should nobody come to hand them in,
 * it deletes them.
 */
export async function expectGroupFiles(
  object: Pick<ConversationRpc, "expectFiles">,
  request: Request,
  parts: Partial<Record<Part, Uint8Array>>,
): Promise<void> {
  const large = (Object.entries(parts) as [Part, Uint8Array][]).filter(([, bytes]) => isLarge(bytes));
  const names = large.map(([part]) => nameOf(request, part));
  if (names.length > 0) await object.expectFiles({ names, requestId: request.requestId });
}

/**
 * What is too large for the conversation's object goes to the file store first. The name is this request's own: nobody can
 * replace what another request has put there. The object deletes what it does not take, and what it needs no more.
 */
export async function storeGroupBytes(
  env: Pick<Env, "MEDIA">,
  request: Request,
  part: Part,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<Stored> {
  if (!isLarge(bytes)) return bytes;
  const name = nameOf(request, part);
  await env.MEDIA.put(name, bytes);
  return name;
}

/** @returns in base64url @throws Refusal not_found where the file has just gone with what it belonged to */
export async function loadGroupBytes(env: Pick<Env, "MEDIA">, stored: Stored): Promise<string> {
  const bytes = await readGroupBytes(env, stored);
  if (!bytes) throw new Refusal("not_found");
  return toBase64url(bytes);
}

/** @returns undefined where the file has just gone with what it belonged to */
export async function readGroupBytes(env: Pick<Env, "MEDIA">, stored: Stored): Promise<Uint8Array | undefined> {
  if (typeof stored !== "string") return stored;
  const file = await env.MEDIA.get(stored);
  return file ? new Uint8Array(await file.arrayBuffer()) : undefined;
}

function nameOf({ conversation, requestId }: Request, part: Part): string {
  return `conversation/${conversation}/mls/${requestId}/${part}`;
}

function isLarge(bytes: Uint8Array): boolean {
  return bytes.byteLength > MAX_INLINE_GROUP_BYTES;
}
