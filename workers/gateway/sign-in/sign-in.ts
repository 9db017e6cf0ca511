import { keyedHash } from "../../../durable-objects/runtime/keyed-hash.ts";
import type { completeSignIn, signIn } from "../../../shared/api/sign-in.ts";
import { Refusal } from "../../../shared/errors.ts";
import { takePublic } from "../auth/admission.ts";
import { verifyToken } from "../auth/tokens.ts";
import { clientAddress } from "../client-address.ts";
import type { Call, Serve } from "../serve.ts";
import { enter } from "./enter.ts";
import { parsePhone, phoneHashOf } from "./phone.ts";
import { verificationOf } from "./verification.ts";

/** A right code becomes a proof, with which it goes on; or the caller does later, if something is missing. */
export const signInWithCode: Serve<typeof signIn> = async (call) => {
  const { env } = call.c;
  const { phone: written, code, ...wishes } = call.body;
  const phone = parsePhone(written);
  await takeForGuess(call);
  const phoneHash = await phoneHashOf(env, phone.e164);
  const guessed = await verificationOf(env, phoneHash).guess(code);
  if (!guessed.ok) throw new Refusal("code_wrong", undefined, { triesLeft: guessed.triesLeft });
  return enter(call, { sub: phoneHash, proof: guessed.proof, phoneEnd: phone.end }, { ...wishes, reset: false });
};

export const signInWithProof: Serve<typeof completeSignIn> = async (call) => {
  const { proof: token, ...wishes } = call.body;
  const { sub, proof, phoneEnd } = await verifyToken(call.c.env.TOKEN_KEYS, "proof", token);
  await takeForGuess(call);
  return enter(call, { sub, proof, phoneEnd }, wishes);
};

async function takeForGuess({ c }: Pick<Call, "c">): Promise<void> {
  await takePublic(c.env, "guess_ip", await keyedHash(c.env.PEPPER, "address", clientAddress(c)));
}
