import type { Env } from "../../../durable-objects/runtime/env.ts";
import { ittyStub } from "../../../durable-objects/runtime/itty.ts";
import type { VerificationRpc } from "../../../shared/rpc.ts";

/**
 * The sign-in attempts of the number with this keyed hash. Every call makes a request of its own: nothing of a client's
 * request reaches the object but the arguments.
 */
export function verificationOf(env: Env, phoneHash: string): VerificationRpc {
  // itty-durable's stub is made for each call, since one that has failed stays broken, and is not handed out, since
  // whoever awaits it would call a method named "then".
  const stub = () => ittyStub<VerificationRpc>(env.VERIFICATION, phoneHash);
  return {
    issueCode: () => stub().issueCode(),
    withdrawCode: async () => void (await stub().withdrawCode()),
    guess: (code) => stub().guess(code),
    redeem: (proof) => stub().redeem(proof),
  };
}
