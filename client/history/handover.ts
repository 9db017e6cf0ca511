import * as v from "valibot";
import { ArchiveId } from "../../shared/api/archives.ts";
import { fromBase64url, toBase64url } from "../../shared/base64url.ts";
import { UserId } from "../../shared/ids.ts";
import { refuse } from "../backup/errors.ts";
import { type AccountKey, importAccountKey } from "../identity/account-key.ts";
import type { Bytes } from "../identity/ed25519.ts";
import type { LinkChannel } from "../link-channel.ts";

/**
 * What two devices tell each other while one links the other (docs/protocol.md §8), in JSON: with its approval the old one
 * hands over who the person is; once the new one can be added to conversations, it says so. The history goes by an archive
 * and not by the channel, which ends after ten minutes: that it is complete shows its manifest.
 */
export interface Handover {
  readonly user: UserId;
  readonly accountKey: AccountKey;
  /** With which the backup is kept up to date, if there is one. */
  readonly backupKey: Uint8Array | undefined;
  /** Where the old device will put its history for the new one; undefined if it will not. */
  readonly history: PromisedArchive | undefined;
}

export interface PromisedArchive {
  readonly archive: ArchiveId;
  readonly archiveKey: Uint8Array;
}

export type Channel = Pick<LinkChannel, "send"> & AsyncIterable<Uint8Array>;

const VERSION = 1;
const KEY_BYTES = 32;

const Key = v.pipe(
  v.string(),
  v.transform(fromBase64url),
  v.custom<Bytes>((key) => key instanceof Uint8Array && key.byteLength === KEY_BYTES),
);
const HandoverFields = v.object({
  version: v.literal(VERSION),
  user: UserId,
  accountKey: Key,
  backupKey: v.optional(Key),
  history: v.optional(v.object({ archive: ArchiveId, archiveKey: Key })),
});
const Ready = v.object({ version: v.literal(VERSION), type: v.literal("ready") });

export function encodeHandover({ user, accountKey, backupKey, history }: Handover): Uint8Array {
  const promised = history && { archive: history.archive, archiveKey: toBase64url(history.archiveKey) };
  const fields = { version: VERSION, user, accountKey: toBase64url(accountKey.seed) };
  return encode({ ...fields, ...(backupKey && { backupKey: toBase64url(backupKey) }), history: promised });
}

/** @param user whose account the server has signed this device in to. @throws ChatError tampered */
export async function readHandover(payload: Uint8Array, user: UserId): Promise<Handover> {
  const fields = decode(HandoverFields, payload);
  if (fields?.user !== user) return refuse("tampered");
  const { accountKey: seed, backupKey, history } = fields;
  return { user, accountKey: await importAccountKey(seed), backupKey, history };
}

/** The new device can be added to conversations: its key packages are on the server. */
export function sendReady(channel: Channel): Promise<void> {
  return channel.send(encode({ version: VERSION, type: "ready" }));
}

/** Resolves when the new device has said so. @throws ChatError not_found, if it never does; closed, tampered */
export async function heardReady(channel: Channel): Promise<void> {
  for await (const message of channel) if (decode(Ready, message)) return;
}

function encode(message: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(message));
}

/** Undefined if it says something else. */
function decode<Schema extends v.GenericSchema>(schema: Schema, bytes: Uint8Array): v.InferOutput<Schema> | undefined {
  try {
    return v.parse(schema, JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return undefined;
  }
}
