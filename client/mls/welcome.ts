import type { CiphersuiteImpl } from "ts-mls/crypto/ciphersuite.js";
import { makeKeyPackageRef } from "ts-mls/keyPackage.js";
import { decryptGroupInfo, decryptGroupSecrets, type Welcome } from "ts-mls/welcome.js";
import { wipe } from "./epoch.ts";
import type { KeyPackagePair } from "./key-package.ts";
import { MlsError } from "./mls.ts";

/** The leaf whose signature the GroupInfo of a Welcome bears (RFC 9420 §12.4.3): the library has verified it, and tells nobody. */
export async function signerOf(
  welcome: Welcome,
  { publicPackage, privatePackage }: KeyPackagePair,
  crypto: CiphersuiteImpl,
): Promise<number> {
  const key = await crypto.hpke.importPrivateKey(privatePackage.initPrivateKey);
  const ref = await makeKeyPackageRef(publicPackage, crypto.hash);
  const secrets = await decryptGroupSecrets(key, ref, welcome, crypto.hpke);
  // There are no pre-shared keys (§8.4): a Welcome that names one is refused.
  const psk = new Uint8Array(crypto.kdf.size);
  const info = secrets && (await decryptGroupInfo(welcome, secrets.joinerSecret, psk, crypto));
  if (!info) throw new MlsError("malformed");
  wipe([secrets.joinerSecret, secrets.pathSecret ?? psk]);
  return info.signer;
}
