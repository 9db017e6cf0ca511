import { SignJWT } from "jose";
import type { Removal } from "../../../shared/api/rights.ts";
import { keyRing, TOKEN_ALGORITHM } from "../auth/keys.ts";

/** Its own type (RFC 8725 §3.11): a receipt is no token, whatever else it claims. */
const RECEIPT_TYPE = "sandpiper-removal+jwt";

/** The removal as claims, signed with a key of the published key set (RFC 7515, compact). It does not expire. */
export async function signRemoval(secret: string, removal: Removal): Promise<string> {
  const { signing } = await keyRing(secret);
  return new SignJWT({ ...removal })
    .setProtectedHeader({ alg: TOKEN_ALGORITHM, kid: signing.kid, typ: RECEIPT_TYPE })
    .setIssuer("sandpiper")
    .setIssuedAt()
    .sign(signing.key);
}
