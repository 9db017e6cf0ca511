import { keySet } from "../../shared/api/service.ts";
import { MAX_REPORT_EVIDENCE_CHARS } from "../../shared/limits.ts";
import type { Message } from "../chat/message.ts";
import { ChatError } from "../chat-error.ts";
import type { DeviceSession } from "../device-session.ts";

/**
 * What the messages say, without what others have done with them, as a JWE (RFC 7516, compact) for the key that the server
 * publishes for reports: only those who have its private part can read them, not the server. Nothing if there are none, or
 * if the server takes none.
 * @throws ChatError too_large
 */
export async function sealEvidence(
  session: Pick<DeviceSession, "call">,
  messages: readonly Message[],
): Promise<{ readonly evidence?: string }> {
  if (messages.length === 0) return {};
  const { keys } = await session.call(keySet);
  const key = keys.find(({ use }) => use === "enc");
  if (!key) return {};
  const evidence = await seal(key, messages);
  if (evidence.length > MAX_REPORT_EVIDENCE_CHARS) throw new ChatError("too_large");
  return { evidence };
}

async function seal(key: Record<string, unknown>, messages: readonly Message[]): Promise<string> {
  // Few ever report anybody: the main bundle goes without.
  const { CompactEncrypt, importJWK } = await import("jose");
  const shown = messages.map(({ conversation, id, seq, user, device, at, content }) => {
    return { conversation, id, seq, user, device, at, content };
  });
  const header = { alg: "ECDH-ES+A256KW", enc: "A256GCM", ...(typeof key.kid === "string" && { kid: key.kid }) };
  return await new CompactEncrypt(new TextEncoder().encode(JSON.stringify({ messages: shown })))
    .setProtectedHeader(header)
    .encrypt(await importJWK(key, header.alg));
}
