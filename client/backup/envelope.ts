import type { UserId } from "../../shared/ids.ts";
import { ChatError } from "../chat-error.ts";
import { type AccountKey, importAccountKey, signStatement, verifyStatement } from "../identity/account-key.ts";
import { type Bytes, isSameKey, SEED_BYTES, SIGNATURE_BYTES } from "../identity/ed25519.ts";
import type { Identity } from "../identity/pins.ts";
import { joinBytes } from "../link-cipher.ts";
import { ARCHIVE_KEY_BYTES } from "./archive.ts";
import { deriveKey } from "./derive-key.ts";
import { refuse } from "./errors.ts";
import { checkPassphrase, type PassphraseCost, passphraseCost, stretchPassphrase } from "./passphrase.ts";

/**
 * What a person's recovery code or passphrase opens: the key of their archives and their account key. Each of the two has
 * a slot of its own, so one can be changed without the other, and without touching an archive. Whoever kept an older
 * envelope can still open that one with what was good then.
 *
 * A device that restores knows its user id, what the person types, and nothing else for certain: the account's public key
 * comes from the server, like the envelope. That is enough. The code opens the private key in its slot, which nobody
 * without the code could have put there; the private key has to be that of the public key which the server named; and
 * that one has signed the whole envelope, with the user and the other slot. So a server that names an account key of its
 * own has no slot for it that the code opens, and one that leaves the slot and names another key is found out by it.
 *
 *     version (1) | user (26) | one or two slots (105 each) | signature (64)
 *     slot: kind (1) | memory in KiB (4) | passes (4) | salt (16) | archive key and account seed, AES-256-GCM (80)
 */
export interface BackupKeys {
  readonly archiveKey: Uint8Array;
  readonly accountKey: AccountKey;
}

/** What opens a slot: the bytes of a recovery code (`readRecoveryCode`), or a passphrase. */
export type Unlock =
  | { readonly kind: "code"; readonly entropy: Uint8Array }
  | { readonly kind: "passphrase"; readonly passphrase: string };
export type UnlockKind = Unlock["kind"];

interface Slot {
  readonly kind: UnlockKind;
  /** Kind, cost and salt. */
  readonly header: Bytes;
  readonly bytes: Bytes;
}

const VERSION = 1;
const ID_BYTES = 26;
const HEAD_BYTES = 1 + ID_BYTES;
const SALT_BYTES = 16;
const SLOT_HEADER_BYTES = 1 + 4 + 4 + SALT_BYTES;
const SLOT_BYTES = SLOT_HEADER_BYTES + ARCHIVE_KEY_BYTES + SEED_BYTES + 16;
const kinds: readonly UnlockKind[] = ["code", "passphrase"];
/** A recovery code is random and needs no stretching. */
const costs: Record<UnlockKind, PassphraseCost> = { code: { memoryKib: 0, passes: 0 }, passphrase: passphraseCost };

/** @throws ChatError code_malformed, for a passphrase that is too short */
export async function sealEnvelope(
  user: UserId,
  keys: BackupKeys,
  unlocks: readonly [Unlock, ...Unlock[]],
): Promise<Bytes> {
  const slots = await Promise.all(unlocks.map((unlock) => sealSlot(keys, unlock)));
  return signEnvelope(user, keys.accountKey, slots);
}

/**
 * Puts in a slot, in place of the one of its kind if there is one; the other one stays as it is.
 * @throws ChatError tampered, code_malformed
 */
export async function replaceUnlock(
  envelope: Uint8Array,
  user: UserId,
  keys: BackupKeys,
  unlock: Unlock,
): Promise<Bytes> {
  const slots = await verifyEnvelope(envelope, { user, accountKey: keys.accountKey.publicKey });
  const others = slots.filter(({ kind }) => kind !== unlock.kind).map(({ bytes }) => bytes);
  return signEnvelope(user, keys.accountKey, [...others, await sealSlot(keys, unlock)]);
}

/** What can open this envelope. @throws ChatError tampered */
export async function unlockKinds(envelope: Uint8Array, owner: Identity): Promise<UnlockKind[]> {
  return (await verifyEnvelope(envelope, owner)).map(({ kind }) => kind);
}

/**
 * @param owner who restores, with the account key that the server names; it may lie
 * @throws ChatError wrong_code, tampered; not_found if there is no slot of this kind
 */
export async function openEnvelope(envelope: Uint8Array, owner: Identity, unlock: Unlock): Promise<BackupKeys> {
  const slots = await verifyEnvelope(envelope, owner);
  const slot = slots.find(({ kind }) => kind === unlock.kind);
  if (!slot) throw new ChatError("not_found");
  const opened = await openSlot(slot, unlock);
  const accountKey = await importAccountKey(opened.subarray(ARCHIVE_KEY_BYTES));
  if (!isSameKey(accountKey.publicKey, owner.accountKey)) refuse("tampered");
  return { archiveKey: opened.slice(0, ARCHIVE_KEY_BYTES), accountKey };
}

/** What could not be read again is not signed. */
async function signEnvelope(user: UserId, accountKey: AccountKey, slots: readonly Bytes[]): Promise<Bytes> {
  readSlots(joinBytes(...slots));
  const statement = joinBytes(headOf(user), ...slots);
  return joinBytes(statement, await signStatement(accountKey, "backup envelope v1", statement));
}

async function verifyEnvelope(envelope: Uint8Array, { user, accountKey }: Identity): Promise<Slot[]> {
  const statement = joinBytes(envelope.subarray(0, -SIGNATURE_BYTES));
  const signature = envelope.subarray(-SIGNATURE_BYTES);
  const isSigned = await verifyStatement(accountKey, "backup envelope v1", statement, signature);
  const isTheirs = isSameKey(statement.subarray(0, HEAD_BYTES), headOf(user));
  return isSigned && isTheirs ? readSlots(statement.subarray(HEAD_BYTES)) : refuse("tampered");
}

function headOf(user: UserId): Bytes {
  return joinBytes(Uint8Array.of(VERSION), new TextEncoder().encode(user));
}

function readSlots(bytes: Bytes): Slot[] {
  const slots: Slot[] = [];
  for (let at = 0; at < bytes.byteLength; at += SLOT_BYTES) {
    const slot = bytes.slice(at, at + SLOT_BYTES);
    const kind = kinds[slot[0] ?? 0];
    if (slot.byteLength !== SLOT_BYTES || !kind || slots.some((other) => other.kind === kind)) refuse("tampered");
    slots.push({ kind, header: slot.slice(0, SLOT_HEADER_BYTES), bytes: slot });
  }
  return slots;
}

async function sealSlot({ archiveKey, accountKey }: BackupKeys, unlock: Unlock): Promise<Bytes> {
  if (unlock.kind === "passphrase") checkPassphrase(unlock.passphrase);
  const header = makeHeader(unlock.kind);
  const secrets = joinBytes(archiveKey, accountKey.seed);
  const sealed = await crypto.subtle.encrypt(slotCipher(header), await slotKey(unlock, header), secrets);
  return joinBytes(header, new Uint8Array(sealed));
}

async function openSlot({ header, bytes }: Slot, unlock: Unlock): Promise<Bytes> {
  const key = await slotKey(unlock, header);
  const sealed = bytes.subarray(SLOT_HEADER_BYTES);
  const opened = crypto.subtle.decrypt(slotCipher(header), key, sealed);
  return new Uint8Array(await opened.catch((cause) => refuse("wrong_code", cause)));
}

function makeHeader(kind: UnlockKind): Bytes {
  const header = new Uint8Array(SLOT_HEADER_BYTES);
  const { memoryKib, passes } = costs[kind];
  const view = new DataView(header.buffer);
  view.setUint8(0, kinds.indexOf(kind));
  view.setUint32(1, memoryKib);
  view.setUint32(5, passes);
  crypto.getRandomValues(header.subarray(9));
  return header;
}

async function slotKey(unlock: Unlock, header: Bytes): Promise<CryptoKey> {
  const salt = header.subarray(9);
  if (unlock.kind === "code") return deriveKey(unlock.entropy, salt, "sandpiper recovery code v1");
  const view = new DataView(header.buffer);
  const cost = { memoryKib: view.getUint32(1), passes: view.getUint32(5) };
  const key = await stretchPassphrase(unlock.passphrase, salt, cost);
  return crypto.subtle.importKey("raw", key, "AES-GCM", false, ["encrypt", "decrypt"]);
}

/** The salt is new with every slot, and so is the key: it seals this once, and the nonce can be zero. */
function slotCipher(header: Bytes): AesGcmParams {
  return { name: "AES-GCM", iv: new Uint8Array(12), additionalData: header };
}
