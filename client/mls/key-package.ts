import type { Capabilities } from "ts-mls/capabilities.js";
import { mapDecoders } from "ts-mls/codec/tlsDecoder.js";
import { contramapBufferEncoders, encode } from "ts-mls/codec/tlsEncoder.js";
import { decodeVarLenData, varLenDataEncoder } from "ts-mls/codec/variableLength.js";
import type { CiphersuiteImpl } from "ts-mls/crypto/ciphersuite.js";
import {
  generateKeyPackageWithKey,
  type KeyPackage,
  makeKeyPackageRef,
  type PrivateKeyPackage,
  verifyKeyPackage,
} from "ts-mls/keyPackage.js";
import { type LeafNodeKeyPackage, verifyLeafNodeSignatureKeyPackage } from "ts-mls/leafNode.js";
import { cryptoOf, isUsableKey, suiteNames } from "../../shared/mls/suites.ts";
import { areEqual } from "../../shared/mls/wire.ts";
import { assertSpan } from "./epoch.ts";
import { identityIn } from "./member.ts";
import { type DeviceKeys, type Lifetime, MlsError, type OwnKeyPackage, type Suite } from "./mls.ts";
import { suiteNamed } from "./suites.ts";
import { readMessage, readWhole, toHex, writeMessage } from "./wire.ts";

/** Key packages (RFC 9420 §10). Their lifetimes are in seconds on the wire and in milliseconds everywhere else. */

const capabilities: Capabilities = {
  versions: ["mls10"],
  ciphersuites: Object.values(suiteNames),
  extensions: [],
  proposals: [],
  credentials: ["basic"],
};

const encodeSecret = encode(
  contramapBufferEncoders(
    [varLenDataEncoder, varLenDataEncoder, varLenDataEncoder],
    ({ initPrivateKey, hpkePrivateKey, signaturePrivateKey }: PrivateKeyPackage) => [
      initPrivateKey,
      hpkePrivateKey,
      signaturePrivateKey,
    ],
  ),
);
const decodeSecret = mapDecoders(
  [decodeVarLenData, decodeVarLenData, decodeVarLenData],
  (initPrivateKey, hpkePrivateKey, signaturePrivateKey) => ({ initPrivateKey, hpkePrivateKey, signaturePrivateKey }),
);

export interface KeyPackagePair {
  readonly publicPackage: KeyPackage;
  readonly privatePackage: PrivateKeyPackage;
}

/** @throws MlsError expired, if the lifetime is longer than agreed */
export async function generateKeyPackage(
  { credential, publicKey, privateKey }: DeviceKeys,
  suite: Suite,
  lifetime: Lifetime,
): Promise<KeyPackagePair> {
  const seconds = { notBefore: toSeconds(lifetime.notBefore), notAfter: toSeconds(lifetime.notAfter) };
  assertSpan(seconds);
  const basic = { credentialType: "basic", identity: credential } as const;
  const signatureKeys = { signKey: privateKey, publicKey };
  return generateKeyPackageWithKey(basic, capabilities, seconds, [], signatureKeys, await cryptoOf(suite));
}

export function writeKeyPackage({ publicPackage, privatePackage }: KeyPackagePair): OwnKeyPackage {
  const keyPackage = writeMessage({ wireformat: "mls_key_package", keyPackage: publicPackage });
  return { keyPackage, secret: encodeSecret(privatePackage) };
}

export function readOwnKeyPackage({ keyPackage, secret }: OwnKeyPackage): KeyPackagePair {
  const publicPackage = readMessage(keyPackage, "mls_key_package").keyPackage;
  return { publicPackage, privatePackage: readWhole(secret, decodeSecret, encodeSecret) };
}

/**
 * What somebody else made, verified except for who vouches for it (RFC 9420 §10.1).
 * @throws MlsError malformed, unsupported, undecryptable, expired
 */
export async function readKeyPackage(bytes: Uint8Array, now: number): Promise<KeyPackage> {
  const { keyPackage } = readMessage(bytes, "mls_key_package");
  const { leafNode, initKey, cipherSuite } = keyPackage;
  const crypto = await cryptoOf(suiteNamed(cipherSuite));
  identityIn(leafNode.credential);
  const isSigned = await verifyLeafNodeSignatureKeyPackage(leafNode, crypto.signature);
  if (!isSigned || !(await verifyKeyPackage(keyPackage, crypto.signature))) throw new MlsError("undecryptable");
  if (areEqual(initKey, leafNode.hpkePublicKey)) throw new MlsError("malformed");
  await assertUsable([initKey, leafNode.hpkePublicKey], crypto);
  assertCurrent(leafNode, now);
  return keyPackage;
}

export async function refOf(keyPackage: KeyPackage): Promise<string> {
  const { hash } = await cryptoOf(suiteNamed(keyPackage.cipherSuite));
  return toHex(await makeKeyPackageRef(keyPackage, hash));
}

export function lifetimeOf({ lifetime }: LeafNodeKeyPackage): Lifetime {
  return { notBefore: Number(lifetime.notBefore) * 1000, notAfter: Number(lifetime.notAfter) * 1000 };
}

function assertCurrent(leaf: LeafNodeKeyPackage, now: number): void {
  assertSpan(leaf.lifetime);
  const { notBefore, notAfter } = lifetimeOf(leaf);
  if (now < notBefore || now > notAfter) throw new MlsError("expired");
}

/** Whoever adds a key that nobody can encrypt to breaks every commit after theirs. */
async function assertUsable(keys: readonly Uint8Array[], crypto: CiphersuiteImpl): Promise<void> {
  for (const key of keys) if (!(await isUsableKey(key, crypto))) throw new MlsError("malformed");
}

function toSeconds(ms: number): bigint {
  return BigInt(Math.floor(ms / 1000));
}
