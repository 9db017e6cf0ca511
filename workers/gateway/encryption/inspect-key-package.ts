import type { CiphersuiteName } from "ts-mls/crypto/ciphersuite.js";
import { extensionsSupportedByCapabilities } from "ts-mls/extension.js";
import { type KeyPackage, makeKeyPackageRef, verifyKeyPackage } from "ts-mls/keyPackage.js";
import { type LeafNode, type LeafNodeKeyPackage, verifyLeafNodeSignatureKeyPackage } from "ts-mls/leafNode.js";
import { Refusal } from "../../../shared/errors.ts";
import { KEY_PACKAGE_CLOCK_SKEW_MS, MAX_KEY_PACKAGE_LIFETIME_MS } from "../../../shared/limits.ts";
import { cryptoOf, suiteOf } from "../../../shared/mls/suites.ts";
import { areEqual, decodeMessage } from "../../../shared/mls/wire.ts";
import type { Suite } from "../../../shared/rpc.ts";
import { isCertified, type KeyOwner } from "./certified-leaf.ts";

export interface InspectedKeyPackage {
  readonly suite: Suite;
  /** KeyPackageRef (RFC 9420 §5.2), hex. */
  readonly ref: string;
  /** Ms since 1970. */
  readonly notAfter: number;
}

/** Of a public key of a suite's KEM. */
const keyBytes: Readonly<Record<Suite, number>> = { 1: 32, 83: 1_216 };

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
  const keyPackage = decodeMessage(bytes, ["mls_key_package"])?.keyPackage;
  const suite = keyPackage && suiteOf(keyPackage.cipherSuite);
  if (!keyPackage || suite === undefined) return undefined;
  const { leafNode } = keyPackage;
  const notAfter = Number(leafNode.lifetime.notAfter) * 1_000;
  const { hash, signature } = await cryptoOf(suite);
  const isGood =
    hasProperKeys(keyPackage, suite) &&
    isTimely(leafNode, now) &&
    isCapable(leafNode, keyPackage.cipherSuite) &&
    (await verifyLeafNodeSignatureKeyPackage(leafNode, signature)) &&
    (await verifyKeyPackage(keyPackage, signature)) &&
    (await isCertified(leafNode, owner));
  if (!isGood) return undefined;
  return { suite, ref: (await makeKeyPackageRef(keyPackage, hash)).toHex(), notAfter };
}

/** One key for joining, another for the leaf, and both such as the suite has them. */
function hasProperKeys({ initKey, leafNode }: KeyPackage, suite: Suite): boolean {
  const keys = [initKey, leafNode.hpkePublicKey];
  const areDifferent = !areEqual(initKey, leafNode.hpkePublicKey);
  return areDifferent && keys.every(({ byteLength }) => byteLength === keyBytes[suite]);
}

/** A lifetime is in seconds; as numbers the greatest lose precision, and are too great all the same. */
export function isTimely({ lifetime }: LeafNodeKeyPackage, now: number): boolean {
  const [notBefore, notAfter] = [Number(lifetime.notBefore) * 1_000, Number(lifetime.notAfter) * 1_000];
  const isCurrent = notBefore <= now + KEY_PACKAGE_CLOCK_SKEW_MS && now < notAfter && notBefore < notAfter;
  return isCurrent && notAfter - notBefore <= MAX_KEY_PACKAGE_LIFETIME_MS;
}

/** It says that it can do what it does (RFC 9420 §7.2, §7.3): members refuse a leaf that does not. */
export function isCapable({ capabilities, extensions }: LeafNode, cipherSuite: CiphersuiteName): boolean {
  return (
    capabilities.versions.includes("mls10") &&
    capabilities.ciphersuites.includes(cipherSuite) &&
    capabilities.credentials.includes("basic") &&
    extensionsSupportedByCapabilities(extensions, capabilities)
  );
}
