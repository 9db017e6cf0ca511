import { makeNobleSignatureImpl } from "ts-mls/crypto/implementation/default/makeNobleSignatureImpl.js";
import type { LeafNode } from "ts-mls/leafNode.js";
import { decodeCertificate, verifyCertificate } from "../../../shared/certificate.ts";
import type { DeviceId, UserId } from "../../../shared/ids.ts";
import { toBase64url } from "./base64url.ts";

/** Whose a leaf must be. */
export interface KeyOwner {
  readonly user: UserId;
  readonly device: DeviceId;
  /** Ed25519, base64url. */
  readonly accountKey: string;
}

/** A leaf as far as it says whose it is. */
export type OwnedLeaf = Pick<LeafNode, "credential" | "signaturePublicKey">;

/** Whether the account key says that this leaf's key is the key of this device. What makes no sense may throw. */
export async function isCertified(
  { credential, signaturePublicKey }: OwnedLeaf,
  { user, device, accountKey }: KeyOwner,
): Promise<boolean> {
  if (credential.credentialType !== "basic" || !("identity" in credential)) return false;
  const certificate = decodeCertificate(credential.identity);
  const isTheirs = certificate.user === user && certificate.device === device;
  if (!isTheirs || toBase64url(certificate.accountKey) !== accountKey) return false;
  const { verify } = await makeNobleSignatureImpl("Ed25519");
  return verifyCertificate(certificate, signaturePublicKey, verify);
}
