import type { Env } from "../../../durable-objects/runtime/env.ts";
import { Refusal } from "../../../shared/errors.ts";
import type { ConversationId } from "../../../shared/ids.ts";
import { MAX_INLINE_GROUP_BYTES } from "../../../shared/limits.ts";
import type { Stored } from "../../../shared/rpc.ts";
import { toBase64url } from "./base64url.ts";

/**
 * What is too large for the conversation's object goes to the file store first. The name is this request's own: nobody can
 * replace what another request has put there. The object deletes what it does not take, and what it needs no more.
 */
export async function storeGroupBytes(
  env: Pick<Env, "MEDIA">,
  { conversation, requestId }: { conversation: ConversationId; requestId: string },
  part: "commit" | "welcome" | "tree" | "group-info",
  bytes: Uint8Array<ArrayBuffer>,
): Promise<Stored> {
  if (bytes.byteLength <= MAX_INLINE_GROUP_BYTES) return bytes;
  const name = `conversation/${conversation}/mls/${requestId}/${part}`;
  await env.MEDIA.put(name, bytes);
  return name;
}

/** @returns in base64url @throws Refusal not_found where the file has just gone with what it belonged to */
export async function loadGroupBytes(env: Pick<Env, "MEDIA">, stored: Stored): Promise<string> {
  if (typeof stored !== "string") return toBase64url(stored);
  const file = await env.MEDIA.get(stored);
  if (!file) throw new Refusal("not_found");
  return toBase64url(new Uint8Array(await file.arrayBuffer()));
}
