import { type CiphersuiteImpl, type CiphersuiteName, getCiphersuiteFromName } from "ts-mls/crypto/ciphersuite.js";
import { getCiphersuiteImpl } from "ts-mls/crypto/getCiphersuiteImpl.js";
import { MlsError, type Suite } from "./mls.ts";

/** What the library calls the suites that this client takes part in. */
export const suiteNames: Readonly<Record<Suite, CiphersuiteName>> = {
  1: "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519",
  83: "MLS_256_XWING_AES256GCM_SHA512_Ed25519",
};

const implementations = new Map<Suite, Promise<CiphersuiteImpl>>();

/** @throws MlsError unsupported */
export function suiteNamed(name: CiphersuiteName): Suite {
  if (name === suiteNames[1]) return 1;
  if (name === suiteNames[83]) return 83;
  throw new MlsError("unsupported");
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
