import { type CiphersuiteImpl, type CiphersuiteName, getCiphersuiteFromName } from "ts-mls/crypto/ciphersuite.js";
import { getCiphersuiteImpl } from "ts-mls/crypto/getCiphersuiteImpl.js";
import type { Suite } from "../rpc.ts";

/** What the library calls the suites that groups here are of (RFC 9420 §17.1). Both sign with Ed25519. */
export const suiteNames: Readonly<Record<Suite, CiphersuiteName>> = {
  1: "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519",
  83: "MLS_256_XWING_AES256GCM_SHA512_Ed25519",
};

const implementations = new Map<Suite, Promise<CiphersuiteImpl>>();

/** Undefined: one that nobody here takes part in. */
export function suiteOf(name: CiphersuiteName): Suite | undefined {
  if (name === suiteNames[1]) return 1;
  return name === suiteNames[83] ? 83 : undefined;
}

/** One object for each suite: by it the library knows again what it has hashed before. */
export function cryptoOf(suite: Suite): Promise<CiphersuiteImpl> {
  let implementation = implementations.get(suite);
  if (!implementation) {
    implementation = getCiphersuiteImpl(getCiphersuiteFromName(suiteNames[suite]));
    implementations.set(suite, implementation);
  }
  return implementation;
}

/**
 * Whether something can be encrypted to this key: tried out, for with a point of low order (RFC 9180 §7.1.4) or a key that is
 * none nobody could commit any more.
 */
export async function isUsableKey(key: Uint8Array, { hpke }: CiphersuiteImpl): Promise<boolean> {
  const nothing = new Uint8Array();
  const sealing = hpke.importPublicKey(key).then((publicKey) => hpke.seal(publicKey, nothing, nothing));
  return sealing.then(
    () => true,
    () => false,
  );
}
