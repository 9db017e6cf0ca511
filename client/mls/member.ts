import type { AuthenticationService } from "ts-mls/authenticationService.js";
import type { Credential } from "ts-mls/credential.js";
import type { LeafNode } from "ts-mls/leafNode.js";
import { type Authenticate, MlsError, type MlsMember } from "./mls.ts";

/** @throws MlsError unsupported: credentials are basic ones here (RFC 9420 §5.3) */
export function identityIn(credential: Credential): Uint8Array {
  if (credential.credentialType !== "basic") throw new MlsError("unsupported");
  return credential.identity;
}

export function memberIn({ credential, signaturePublicKey }: LeafNode, leaf: number): MlsMember {
  return { leaf, credential: identityIn(credential), publicKey: signaturePublicKey };
}

/** As the library asks for it: for every leaf of a tree that is joined, and for each that comes or changes. */
export function authenticationBy(authenticate: Authenticate): AuthenticationService {
  return {
    async validateCredential(credential, publicKey) {
      const isAuthentic = await authenticate(identityIn(credential), publicKey).catch((cause: unknown) => {
        throw new MlsError("unauthentic", { cause });
      });
      if (!isAuthentic) throw new MlsError("unauthentic");
      return true;
    },
  };
}
