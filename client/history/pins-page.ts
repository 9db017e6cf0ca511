import * as v from "valibot";
import { UserId } from "../../shared/ids.ts";
import { refuse } from "../backup/errors.ts";
import { decodeRecord, encodeRecord } from "../encryption/record.ts";
import { decodePin, encodePin, type Pin } from "../identity/pins.ts";

/** Whom the person's devices take people for, and whom they have compared keys with, as a record of an archive. */
export type PinsPage = readonly (readonly [UserId, Pin])[];

const KIND = "pins";
const Kind = v.object({ kind: v.string() });
const Fields = v.object({ users: v.array(UserId) });

export function encodePins(page: PinsPage): Uint8Array {
  const [users, pins] = [page.map(([user]) => user), page.map(([, pin]) => encodePin(pin))];
  return encodeRecord({ kind: KIND, users }, pins);
}

/** Undefined: a record of another kind. @throws ChatError tampered */
export function decodePins(record: Uint8Array): PinsPage | undefined {
  try {
    if (decodeRecord(Kind, record).fields.kind !== KIND) return undefined;
    const { fields, blobs } = decodeRecord(Fields, record);
    const { users } = fields;
    if (blobs.length !== users.length) throw new TypeError("no page");
    return blobs.map((pin, at) => [users[at] as UserId, decodePin(pin)]);
  } catch (cause) {
    return refuse("tampered", cause);
  }
}
