import type { AnswerOf } from "../shared/api/endpoint.ts";
import type { Session } from "../shared/api/sign-in.ts";
import * as endpoints from "../shared/api/sign-in.ts";
import type { DeviceId } from "../shared/ids.ts";
import { Account, type AccountOptions } from "./account.ts";
import { asChatErrors } from "./chat/failure.ts";
import { hasCode } from "./chat-error.ts";
import { Http } from "./http.ts";

/** When the code expires, before when no other is sent, and how many guesses there are. */
export type CodeSent = AnswerOf<typeof endpoints.requestCode>;

interface Options extends AccountOptions {
  /** How the person's other devices call this one. */
  readonly deviceName: string;
  /** Which device of the account this is again, with its inbox; if absent the one that the store remembers, if any. */
  readonly device?: DeviceId;
  /** The account's PIN, if it has one. */
  readonly pin?: string;
  /** Removes all other devices: for a lost phone, or when there are too many. */
  readonly revokeOthers?: boolean;
}

export interface SignInOptions extends Options {
  /** In international format, as in "+49 170 1234567". */
  readonly phone: string;
  /** The digits that were sent to it. */
  readonly code: string;
}

export interface CompleteSignInOptions extends Options {
  /** From the `details` of the error with which signing in was refused. */
  readonly proof: string;
  /** Gives the account up for a new one; only if the refusal said `canReset`. */
  readonly reset?: boolean;
}

/**
 * Has a code sent to a phone number. Whether the number is known here does not show.
 * @throws ChatError phone_invalid; rate_limited, with the time to wait in `retryAfterMs`
 */
export function requestCode(url: string, phone: string): Promise<CodeSent> {
  return new Http(url).call(endpoints.requestCode, { body: { phone } });
}

/**
 * Signs this device in with the code, and makes the account if there is none.
 * @throws ChatError code_wrong with `details.triesLeft`; pin_required, pin_wrong or too_many_devices with `details.proof`, with
 *   which {@link completeSignIn} goes on
 */
export async function signIn(options: SignInOptions): Promise<Account> {
  const { phone, code } = options;
  return enter(options, (http, common) => http.call(endpoints.signIn, { body: { phone, code, ...common } }));
}

/**
 * Goes on after a refusal, without another code: with the PIN, without the other devices, or with a new account.
 * @throws ChatError unauthenticated if the proof is too old or was used; otherwise as {@link signIn}
 */
export async function completeSignIn(options: CompleteSignInOptions): Promise<Account> {
  const { proof, reset = false } = options;
  return enter(options, (http, common) => http.call(endpoints.completeSignIn, { body: { proof, reset, ...common } }));
}

async function enter(options: Options, ask: (http: Http, common: Common) => Promise<Session>): Promise<Account> {
  const http = new Http(options.url, options);
  const id = options.device ?? (await asChatErrors(() => options.store.loadSession()))?.device;
  const signedIn = await ask(http, commonOf(options, id)).catch((error: unknown) => {
    // What the store remembers is of another account, or was removed from this one.
    if (options.device !== undefined || !hasCode(error, "not_found") || !error.details.proof) throw error;
    const body = { ...commonOf(options), proof: error.details.proof };
    return http.call(endpoints.completeSignIn, { body });
  });
  return Account.begin(signedIn, http, options.store);
}

type Common = ReturnType<typeof commonOf>;

function commonOf({ deviceName, pin, revokeOthers = false, cookie = false }: Options, id?: DeviceId) {
  return {
    device: { name: deviceName, ...(id !== undefined && { id }) },
    revokeOthers,
    cookie,
    ...(pin !== undefined && { pin }),
  };
}
