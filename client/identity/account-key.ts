import { type CertificateFields, certificateToBeSigned, encodeCertificate } from "../../shared/certificate.ts";
import { ChatError } from "../chat-error.ts";
import { joinBytes } from "../link-cipher.ts";
import { type Bytes, type KeyPair, keyPairOf, makeKeyPair, sign, verify } from "./ed25519.ts";

/**
 * Who a person is, for everybody else: the key that signs their devices and backups. All devices of the person have it.
 * It is stored, and passed on to a new device, as its `seed`; whoever has that can pretend to be them.
 */
export type AccountKey = KeyPair;

/** What an account key signs besides certificates. One signature never stands for another kind of statement. */
export type StatementKind = "archive manifest v1" | "backup envelope v1";

export type DeviceFields = Omit<CertificateFields, "accountKey">;

export function makeAccountKey(): Promise<AccountKey> {
  return makeKeyPair();
}

/** @throws ChatError tampered, if this is no seed */
export async function importAccountKey(seed: Uint8Array): Promise<AccountKey> {
  try {
    return await keyPairOf(seed);
  } catch (cause) {
    throw new ChatError("tampered", { cause });
  }
}

/** @returns an encoded certificate, for the device's credential */
export async function certifyDevice(
  { publicKey, seed }: AccountKey,
  { mlsPublicKey, ...device }: DeviceFields & { readonly mlsPublicKey: Uint8Array },
): Promise<Bytes> {
  const fields = { ...device, accountKey: publicKey };
  const signature = await sign(seed, certificateToBeSigned(fields, mlsPublicKey));
  return encodeCertificate({ ...fields, signature });
}

export function signStatement({ seed }: AccountKey, kind: StatementKind, statement: Uint8Array): Promise<Bytes> {
  return sign(seed, statementToBeSigned(kind, statement));
}

/** @param accountKey the public key of whoever should have made the statement */
export function verifyStatement(
  accountKey: Uint8Array,
  kind: StatementKind,
  statement: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  return verify(accountKey, statementToBeSigned(kind, statement), signature);
}

/** No kind contains a zero byte, so it is clear where the statement begins; and none begins like a certificate. */
function statementToBeSigned(kind: StatementKind, statement: Uint8Array): Bytes {
  return joinBytes(new TextEncoder().encode(`sandpiper statement: ${kind}\0`), statement);
}
