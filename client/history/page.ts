import * as v from "valibot";
import { ConversationId, Cursor, DeviceId, MessageId, Seq, Time, UserId } from "../../shared/ids.ts";
import { refuse } from "../backup/errors.ts";
import { decodeRecord, encodeRecord } from "../encryption/record.ts";
import type { PlacedMessage } from "../store/store.ts";

/** A part of one conversation, as a record of an archive. */
export interface HistoryPage {
  readonly conversation: ConversationId;
  /** Everything up to this place had been read. */
  readonly read: number;
  /** Everything up to this place was here when the archive was made: what is left out of it was not to be kept. */
  readonly have?: number | undefined;
  readonly messages: readonly PlacedMessage[];
}

const KIND = "messages";
const Kind = v.object({ kind: v.string() });
const Fields = v.object({
  conversation: ConversationId,
  read: Cursor,
  have: v.optional(Cursor),
  messages: v.array(
    v.object({ seq: Seq, id: MessageId, user: UserId, device: DeviceId, at: Time, isEvent: v.boolean() }),
  ),
});

export function encodePage({ conversation, read, have, messages }: HistoryPage): Uint8Array {
  const origins = messages.map(({ seq, id, user, device, at, isEvent }) => ({ seq, id, user, device, at, isEvent }));
  const contents = messages.map(({ content }) => content);
  return encodeRecord({ kind: KIND, conversation, read, have, messages: origins }, contents);
}

/** Undefined: a record of a kind that later versions write. @throws ChatError tampered */
export function decodePage(record: Uint8Array): HistoryPage | undefined {
  try {
    if (decodeRecord(Kind, record).fields.kind !== KIND) return undefined;
    const { fields, blobs } = decodeRecord(Fields, record);
    const { messages: _, ...rest } = fields;
    if (blobs.length !== fields.messages.length) throw new TypeError("no page");
    const { conversation } = fields;
    const messages = blobs.map((content, at) => ({ ...(fields.messages[at] as Origin), conversation, content }));
    return { ...rest, messages };
  } catch (cause) {
    return refuse("tampered", cause);
  }
}

type Origin = v.InferOutput<typeof Fields>["messages"][number];
