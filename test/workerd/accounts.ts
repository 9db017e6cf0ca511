import { env, exports } from "cloudflare:workers";
import * as v from "valibot";
import { expect, vi } from "vitest";
import { keyedHash } from "../../durable-objects/runtime/keyed-hash.ts";
import { fictitiousPhone } from "../../scripts/fictitious-phone.ts";
import type { AnswerOf, Endpoint } from "../../shared/api/endpoint.ts";
import { completeSignIn, requestCode, signIn } from "../../shared/api/sign-in.ts";
import type { PublicBucket } from "../../shared/limits.ts";
import { type ClaimsOf, verifyToken } from "../../workers/gateway/auth/tokens.ts";
import { UNKNOWN_ADDRESS } from "../../workers/gateway/client-address.ts";
import { fireAlarm } from "./objects.ts";

/** People as they come to be: through HTTP, with the code that the console shows. */

export const HOST = "http://127.0.0.1";
/** One of those whose pages may ask (vitest.config.ts). */
export const ORIGIN = "https://app.example";

export interface Account {
  readonly user: string;
  readonly device: string;
  readonly accessToken: string;
  readonly refreshToken: string;
}

export interface Asked {
  /** Access or link token. */
  readonly token?: string;
  readonly params?: Record<string, string>;
  /** Sent as JSON, of any shape, for tests of bad input; bytes as they are. */
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  readonly host?: string;
}

export function call(endpoint: Endpoint, asked: Asked = {}): Promise<Response> {
  return exports.default.fetch(requestOf(endpoint, asked));
}

/** For a gateway of one's own, with other settings. */
export function requestOf({ method, path }: Endpoint, { token, params = {}, body, headers, host }: Asked): Request {
  const filled = path.replace(/:(\w+)/g, (_, name: string) => params[name] ?? "");
  const isBytes = body instanceof Uint8Array;
  return new Request(`${host ?? HOST}${filled}`, {
    method: method.toUpperCase(),
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { "content-type": isBytes ? "application/octet-stream" : "application/json" }),
      ...headers,
    },
    ...(body !== undefined && { body: isBytes ? body : JSON.stringify(body) }),
  });
}

let numbers = 0;

/** A number that this test file has not used yet. */
export function newPhone(): string {
  return fictitiousPhone(numbers++);
}

/** Asks for a code and reads it where a developer would. */
export async function askCode(phone: string): Promise<string> {
  // Stays until the test restores its mocks: several people may be signing up at once.
  const shown = vi.spyOn(console, "log");
  const response = await askAgainIfCapped("code_ip", requestCode, { phone });
  expect(response.status).toBe(200);
  return codeShown(shown.mock.calls, phone);
}

/** The newest code for a number in what was written to the console, which shows the number's end alone. */
export function codeShown(lines: readonly unknown[][], phone: string): string {
  const line = lines.map((words) => words.join(" ")).findLast((text) => text.includes(`${phone.slice(-4)}: `));
  const code = line && /: (\d{6})$/.exec(line)?.[1];
  if (!code) throw new Error("no code was shown");
  return code;
}

/** Another device of whoever has the number, or a new account. */
export async function signUp(phone = newPhone(), fields: object = {}): Promise<Account> {
  const code = await askCode(phone);
  const response = await askAgainIfCapped("guess_ip", signIn, { phone, code, device: { name: "test" }, ...fields });
  return accountOf(response);
}

/** Goes on with a proof that a refused sign-in carried. */
export async function complete(proof: string, fields: object = {}): Promise<Account> {
  return accountOf(await call(completeSignIn, { body: { proof, device: { name: "test" }, ...fields } }));
}

async function accountOf(response: Response): Promise<Account> {
  const { user, device, accessToken, refreshToken } = await answerOf(signIn, response);
  return { user, device, accessToken, refreshToken: refreshToken! };
}

/** What the account's access tokens and tickets say, for others that are made like them. */
export async function claimsOf({ accessToken }: Pick<Account, "accessToken">): Promise<ClaimsOf<"access">> {
  const { sub, device, family } = await verifyToken(env.TOKEN_KEYS, "access", accessToken);
  return { sub, device, family };
}

/** The answer, which has to be all that the endpoint says and nothing else. */
export async function answerOf<E extends Endpoint>(endpoint: E, response: Response): Promise<AnswerOf<E>> {
  const answer: unknown = await response.json();
  expect({ status: response.status, answer }).toEqual({
    status: 200,
    answer: v.safeParse(endpoint.answer as v.GenericSchema, answer).output,
  });
  return answer as AnswerOf<E>;
}

/** More people sign up in a test than may from one address; its bucket then starts anew. */
async function askAgainIfCapped(bucket: PublicBucket, endpoint: Endpoint, body: object): Promise<Response> {
  const response = await call(endpoint, { body });
  return response.status === 429 && (await refill(bucket)) ? call(endpoint, { body }) : response;
}

/** Whom no edge vouches for, hence everybody in these tests. */
export const anybody = (): Promise<string> => keyedHash(env.PEPPER, "address", UNKNOWN_ADDRESS);

/** False: it was full. */
export async function refill(bucket: PublicBucket, holder?: string): Promise<boolean> {
  return fireAlarm(env.LIMITER.getByName(`${bucket}:${holder ?? (await anybody())}`));
}
