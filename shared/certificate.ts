import * as v from "valibot";
import { Refusal } from "./errors.ts";
import { DeviceId, Time, UserId } from "./ids.ts";

/**
 * The identity in the basic credential (RFC 9420 §5.3) of a device: a person's account key says that this is their device.
 * The device's MLS signature key is signed too and stands beside it in the leaf, so it is not repeated here.
 *
 *     version (1) | account key (32) | user (26) | device (26) | issuedAt (8, big-endian) | signature (64)
 */
export interface Certificate extends CertificateFields {
  /** Ed25519 (RFC 8032), by the account key, over {@link certificateToBeSigned}. */
  readonly signature: Uint8Array;
}

export interface CertificateFields {
  /** The person's Ed25519 public key. */
  readonly accountKey: Uint8Array;
  readonly user: UserId;
  readonly device: DeviceId;
  /** Ms since 1970, by the clock of the device that signed. */
  readonly issuedAt: number;
}

/** Whether it is an Ed25519 signature by this key; false also for what is no key at all. */
export type VerifySignature = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array) => Promise<boolean>;

const VERSION = 1;
const KEY_BYTES = 32;
const ID_BYTES = 26;
const FIELD_BYTES = 1 + KEY_BYTES + 2 * ID_BYTES + 8;
const SIGNATURE_BYTES = 64;
/** No other text that an account key signs begins like this. */
const DOMAIN = new TextEncoder().encode("sandpiper device certificate v1\0");

const Fields = v.object({ user: UserId, device: DeviceId, issuedAt: Time });

export function encodeCertificate(certificate: Certificate): Uint8Array<ArrayBuffer> {
  return join(encodeFields(certificate), certificate.signature);
}

/** @throws Refusal bad_frame. What it returns is well-formed, and not yet verified. */
export function decodeCertificate(bytes: Uint8Array): Certificate {
  if (bytes.byteLength !== FIELD_BYTES + SIGNATURE_BYTES || bytes[0] !== VERSION) throw new Refusal("bad_frame");
  const device = 1 + KEY_BYTES + ID_BYTES;
  const issuedAt = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(device + ID_BYTES);
  const fields = v.safeParse(Fields, {
    user: ascii(bytes.subarray(1 + KEY_BYTES, device)),
    device: ascii(bytes.subarray(device, device + ID_BYTES)),
    issuedAt: Number(issuedAt),
  });
  if (!fields.success) throw new Refusal("bad_frame");
  return { ...fields.output, accountKey: bytes.slice(1, 1 + KEY_BYTES), signature: bytes.slice(FIELD_BYTES) };
}

/** @param mlsPublicKey the signature key of the leaf in which the certificate stands */
export function certificateToBeSigned(fields: CertificateFields, mlsPublicKey: Uint8Array): Uint8Array<ArrayBuffer> {
  return join(DOMAIN, encodeFields(fields), mlsPublicKey);
}

/** Whether the account key in the certificate has signed this device; whose key that is, the certificate only claims. */
export function verifyCertificate(
  certificate: Certificate,
  mlsPublicKey: Uint8Array,
  verify: VerifySignature,
): Promise<boolean> {
  return verify(certificate.accountKey, certificateToBeSigned(certificate, mlsPublicKey), certificate.signature);
}

function encodeFields({ accountKey, user, device, issuedAt }: CertificateFields): Uint8Array<ArrayBuffer> {
  const time = new Uint8Array(8);
  new DataView(time.buffer).setBigUint64(0, BigInt(issuedAt));
  return join(Uint8Array.of(VERSION), accountKey, new TextEncoder().encode(user + device), time);
}

/** Never throws: what is no ASCII becomes characters that no id has. */
function ascii(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function join(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.byteLength;
  }
  return joined;
}
