import {
  type Capabilities,
  type CiphersuiteImpl,
  type CiphersuiteName,
  encodeMlsMessage,
  generateKeyPackageWithKey,
  getCiphersuiteFromName,
  getCiphersuiteImpl,
  type KeyPackage,
  type LeafNodeKeyPackage,
  type Lifetime,
} from "ts-mls";
import { signKeyPackage } from "ts-mls/keyPackage.js";
import { signLeafNodeKeyPackage } from "ts-mls/leafNode.js";
import { type AccountKey, certifyDevice } from "../../client/identity/account-key.ts";
import { type KeyPair, makeKeyPair } from "../../client/identity/ed25519.ts";
import { KEY_PACKAGE_LIFETIME_MS } from "../../shared/limits.ts";
import type { Suite } from "../../shared/rpc.ts";

/** Key packages as devices make them, made without the SDK; and such as no honest device would make. */

export const suiteNames = {
  1: "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519",
  83: "MLS_256_XWING_AES256GCM_SHA512_Ed25519",
} as const satisfies Record<Suite, CiphersuiteName>;

export interface Making {
  readonly account: AccountKey;
  /** Whom the certificate names. */
  readonly user: string;
  readonly device: string;
  readonly suite?: Suite;
  /** The device's MLS signature key; a new one otherwise. */
  readonly keys?: KeyPair;
  /** For a certificate of another key than the leaf's. */
  readonly certifiedKey?: Uint8Array;
  /** In place of a certificate. */
  readonly identity?: Uint8Array;
  readonly lifetime?: Lifetime;
  readonly capabilities?: Partial<Capabilities>;
  /** Changes the leaf before it is signed. */
  readonly leaf?: (leaf: LeafNodeKeyPackage) => LeafNodeKeyPackage;
  /** Changes what else there is before it is signed. */
  readonly body?: (keyPackage: KeyPackage) => KeyPackage;
}

/** @returns an MLSMessage */
export async function makeKeyPackage(making: Making): Promise<Uint8Array> {
  const { suite = 1, keys = await makeKeyPair(), leaf = (made) => made, body = (made) => made } = making;
  const implementation = await implementationOf(suite);
  const made = await generateKeyPackageWithKey(
    { credentialType: "basic", identity: making.identity ?? (await certificateIn(making, keys)) },
    { ...capabilitiesFor(suite), ...making.capabilities },
    making.lifetime ?? lifetime(Date.now(), Date.now() + KEY_PACKAGE_LIFETIME_MS),
    [],
    { signKey: keys.seed, publicKey: keys.publicKey },
    implementation,
  );
  const { signature } = implementation;
  const leafNode = await signLeafNodeKeyPackage(leaf(made.publicPackage.leafNode), keys.seed, signature);
  const keyPackage = await signKeyPackage(body({ ...made.publicPackage, leafNode }), keys.seed, signature);
  return encodeMlsMessage({ version: "mls10", wireformat: "mls_key_package", keyPackage });
}

/** In seconds, as a leaf has it (RFC 9420 §7.2). */
export function lifetime(fromMs: number, toMs: number): Lifetime {
  return { notBefore: BigInt(Math.floor(fromMs / 1_000)), notAfter: BigInt(Math.floor(toMs / 1_000)) };
}

const implementations = new Map<Suite, Promise<CiphersuiteImpl>>();

export function implementationOf(suite: Suite): Promise<CiphersuiteImpl> {
  const known = implementations.get(suite) ?? getCiphersuiteImpl(getCiphersuiteFromName(suiteNames[suite]));
  implementations.set(suite, known);
  return known;
}

function certificateIn({ account, user, device, certifiedKey }: Making, keys: KeyPair): Promise<Uint8Array> {
  return certifyDevice(account, { user, device, issuedAt: Date.now(), mlsPublicKey: certifiedKey ?? keys.publicKey });
}

function capabilitiesFor(suite: Suite): Capabilities {
  return {
    versions: ["mls10"],
    ciphersuites: [suiteNames[suite]],
    extensions: [],
    proposals: [],
    credentials: ["basic"],
  };
}
