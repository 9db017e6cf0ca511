import { encodeEnvelope } from "../envelope/envelope.ts";
import type { Change } from "../session/contract.ts";
import type { WriterParts } from "./device-writer.ts";
import type { Write } from "./write.ts";

/**
 * Seals a message of the outbox in the epoch that this device is in; where it is in none, the session is told so. Nothing is
 * sealed for a key of somebody's that nobody has confirmed: it waits in the outbox. What was sealed before such a key came
 * into the group is of an epoch in which it was not, and is sealed anew, here, if that is over.
 */
export async function sealMessage(
  write: Write,
  { mls, transcripts, authenticator }: WriterParts,
  { conversation, id, content }: Extract<Change, { type: "seal" }>,
): Promise<void> {
  const { group, status, transcript } = await write.keys(conversation);
  if (!group || status !== "member" || authenticator.hasGivenUp(group))
    return void write.noticed.push({ type: "not_sealable", conversation });
  const users = authenticator.unconfirmedIn(group);
  if (users.length > 0) return void write.noticed.push({ type: "held", conversation, users });
  const envelope = encodeEnvelope({ content, claim: transcripts.claim(transcript) });
  const { message: body, group: next } = await mls.seal(group, id, envelope);
  await write.update(conversation, { group: next });
  transcripts.sealed(id, body);
  write.changes.push({ type: "sealed", conversation, id, body });
  write.sealed.push({ conversation, id, body });
}
