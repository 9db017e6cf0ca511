import { keyedHash } from "../../../durable-objects/runtime/keyed-hash.ts";
import { errorFields, log } from "../../../durable-objects/runtime/log.ts";
import type { requestCode } from "../../../shared/api/sign-in.ts";
import { Refusal } from "../../../shared/errors.ts";
import type { VerificationRpc } from "../../../shared/rpc.ts";
import { takePublic } from "../auth/admission.ts";
import { clientAddress } from "../client-address.ts";
import { codeSender } from "../codes/code-sender.ts";
import { CodeNotSent } from "../codes/provider.ts";
import { openPrimary } from "../database/database.ts";
import { userByPhoneHash } from "../database/users.ts";
import type { Call, Serve } from "../serve.ts";
import { type PhoneNumber, parsePhone, phoneHashOf } from "./phone.ts";
import { verificationOf } from "./verification.ts";

type SendCall = Call<typeof requestCode>;

/** Nothing here knows whether the number is known: what is done for those that are comes after the answer. */
export const sendCode: Serve<typeof requestCode> = async (call) => {
  const { c, body } = call;
  const phone = parsePhone(body.phone);
  await takeForCode(call, phone);
  const phoneHash = await phoneHashOf(c.env, phone.e164);
  const verification = verificationOf(c.env, phoneHash);
  const issued = await verification.issueCode();
  if (!issued.ok) throw new Refusal("rate_limited", Math.max(1, issued.nextSendAt - Date.now()));
  const { code, expiresAt, nextSendAt, triesLeft } = issued;
  await deliver(call, verification, phone, code);
  c.executionCtx.waitUntil(alertOwner(call, phoneHash));
  return { expiresAt, nextSendAt, triesLeft };
};

/** Each message costs money, and whoever is sent one that they did not ask for is bothered. */
async function takeForCode({ c }: SendCall, phone: PhoneNumber): Promise<void> {
  const { env } = c;
  await takePublic(env, "code_ip", await keyedHash(env.PEPPER, "address", clientAddress(c)));
  await takePublic(env, "code_prefix", await keyedHash(env.PEPPER, "prefix", phone.prefix));
  await takePublic(env, "code_global", "all");
}

/** @throws Refusal unavailable; another code may then be asked for at once */
async function deliver({ c }: SendCall, verification: VerificationRpc, phone: PhoneNumber, code: string) {
  try {
    await codeSender(c.env).send(phone.e164, code);
  } catch (error) {
    await verification.withdrawCode();
    throw error instanceof CodeNotSent ? new Refusal("unavailable") : error;
  }
}

/** Whoever has an account learns on their devices that somebody is signing in with their number. */
async function alertOwner({ c, requestId }: SendCall, phoneHash: string): Promise<void> {
  try {
    const owner = await userByPhoneHash(openPrimary(c).db, phoneHash);
    if (owner) await c.env.USER.getByName(owner.id).raiseAlert({ kind: "code_requested", requestId });
  } catch (error) {
    log("warn", "alert.failed", { requestId, ...errorFields(error) });
  }
}
