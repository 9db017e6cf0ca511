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
  readonly messages: readonly PlacedMessage[];
}

const KIND = "messages";
const Kind = v.object({ kind: v.string() });
const Fields = v.object({
  conversation: ConversationId,
  read: Cursor,
  messages: v.array(
    v.object({ seq: Seq, id: MessageId, user: UserId, device: DeviceId, at: Time, isEvent: v.boolean() }),
  ),
});

export function encodePage({ conversation, read, messages }: HistoryPage): Uint8Array {
  const origins = messages.map(({ seq, id, user, device, at, isEvent }) => ({ seq, id, user, device, at, isEvent }));
  const contents = messages.map(({ content }) => content);
  return encodeRecord({ kind: KIND, conversation, read, messages: origins }, contents);
}

/** Undefined: a record of a kind that later versions write. @throws ChatError tampered */
export function decodePage(record: Uint8Array): HistoryPage | undefined {
  try {
    if (decodeRecord(Kind, record).fields.kind !== KIND) return undefined;
    const { fields, blobs } = decodeRecord(Fields, record);
    const { conversation, read } = fields;
    if (blobs.length !== fields.messages.length) throw new TypeError("no page");
    const messages = blobs.map((content, at) => ({ ...(fields.messages[at] as Origin), conversation, content }));
    return { conversation, read, messages };
  } catch (cause) {
    return refuse("tampered", cause);
  }
}

type Origin = v.InferOutput<typeof Fields>["messages"][number];
