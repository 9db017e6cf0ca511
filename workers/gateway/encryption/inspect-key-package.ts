import { makeHashImpl } from "ts-mls/crypto/implementation/default/makeHashImpl.js";
import { makeNobleSignatureImpl } from "ts-mls/crypto/implementation/default/makeNobleSignatureImpl.js";
import { extensionsSupportedByCapabilities } from "ts-mls/extension.js";
import { type KeyPackage, makeKeyPackageRef, verifyKeyPackage } from "ts-mls/keyPackage.js";
import { type LeafNodeKeyPackage, verifyLeafNodeSignatureKeyPackage } from "ts-mls/leafNode.js";
import { decodeMlsMessage, encodeMlsMessage } from "ts-mls/message.js";
import { Refusal } from "../../../shared/errors.ts";
import { KEY_PACKAGE_CLOCK_SKEW_MS, MAX_KEY_PACKAGE_LIFETIME_MS } from "../../../shared/limits.ts";
import type { Suite } from "../../../shared/rpc.ts";
import { toBase64url } from "./base64url.ts";
import { isCertified, type KeyOwner } from "./certified-leaf.ts";

export interface InspectedKeyPackage {
  readonly suite: Suite;
  /** KeyPackageRef (RFC 9420 §5.2), hex. */
  readonly ref: string;
  /** Ms since 1970. */
  readonly notAfter: number;
}

interface SuiteFacts {
  readonly suite: Suite;
  readonly hash: "SHA-256" | "SHA-512";
  /** Of a public key of its KEM. */
  readonly keyBytes: number;
}

/** Those that a key package may be of (RFC 9420 §17.1), by the names that ts-mls gives them. Both sign with Ed25519. */
const suites: Partial<Record<string, SuiteFacts>> = {
  MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519: { suite: 1, hash: "SHA-256", keyBytes: 32 },
  MLS_256_XWING_AES256GCM_SHA512_Ed25519: { suite: 83, hash: "SHA-512", keyBytes: 1_216 },
};

/**
 * Checks all that can be known of a key package before somebody uses it (RFC 9420 §10.1): with one that is bad, its owner
 * could keep others from adding anybody.
 * @param bytes an MLSMessage (RFC 9420 §6)
 * @throws Refusal bad_frame
 */
export async function inspectKeyPackage(bytes: Uint8Array, owner: KeyOwner, now: number): Promise<InspectedKeyPackage> {
  // What makes no sense lets ts-mls and WebCrypto throw, and not always what they say they throw.
  const inspected = await inspect(bytes, owner, now).catch(() => undefined);
  if (!inspected) throw new Refusal("bad_frame");
  return inspected;
}

/** Undefined, like anything that is thrown: it is bad. */
async function inspect(bytes: Uint8Array, owner: KeyOwner, now: number): Promise<InspectedKeyPackage | undefined> {
  const keyPackage = decode(bytes);
  const facts = keyPackage && suites[keyPackage.cipherSuite];
  if (!facts) return undefined;
  const { leafNode } = keyPackage;
  const notAfter = Number(leafNode.lifetime.notAfter) * 1_000;
  const signature = await makeNobleSignatureImpl("Ed25519");
  const isGood =
    hasProperKeys(keyPackage, facts) &&
    isTimely(leafNode, now) &&
    isCapable(keyPackage) &&
    (await verifyLeafNodeSignatureKeyPackage(leafNode, signature)) &&
    (await verifyKeyPackage(keyPackage, signature)) &&
    (await isCertified(leafNode, owner));
  if (!isGood) return undefined;
  const ref = await makeKeyPackageRef(keyPackage, makeHashImpl(crypto.subtle, facts.hash));
  return { suite: facts.suite, ref: ref.toHex(), notAfter };
}

/** Undefined also where the same could be written otherwise, or something follows: what is signed would not be what is sent. */
function decode(bytes: Uint8Array): KeyPackage | undefined {
  const [message] = decodeMlsMessage(bytes, 0) ?? [];
  if (message?.wireformat !== "mls_key_package") return undefined;
  return toBase64url(encodeMlsMessage(message)) === toBase64url(bytes) ? message.keyPackage : undefined;
}

/** One key for joining, another for the leaf, and both such as the suite has them. */
function hasProperKeys({ initKey, leafNode }: KeyPackage, { keyBytes }: SuiteFacts): boolean {
  const keys = [initKey, leafNode.hpkePublicKey];
  const areDifferent = toBase64url(initKey) !== toBase64url(leafNode.hpkePublicKey);
  return areDifferent && keys.every(({ byteLength }) => byteLength === keyBytes);
}

/** A lifetime is in seconds; as numbers the greatest lose precision, and are too great all the same. */
function isTimely({ lifetime }: LeafNodeKeyPackage, now: number): boolean {
  const [notBefore, notAfter] = [Number(lifetime.notBefore) * 1_000, Number(lifetime.notAfter) * 1_000];
  const isCurrent = notBefore <= now + KEY_PACKAGE_CLOCK_SKEW_MS && now < notAfter && notBefore < notAfter;
  return isCurrent && notAfter - notBefore <= MAX_KEY_PACKAGE_LIFETIME_MS;
}

/** It says that it can do what it does (RFC 9420 §7.2, §7.3): members refuse a leaf that does not. */
function isCapable({ cipherSuite, leafNode: { capabilities, extensions } }: KeyPackage): boolean {
  return (
    capabilities.versions.includes("mls10") &&
    capabilities.ciphersuites.includes(cipherSuite) &&
    capabilities.credentials.includes("basic") &&
    extensionsSupportedByCapabilities(extensions, capabilities)
  );
}
