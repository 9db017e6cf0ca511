import * as v from "valibot";
import { ErrorCode, type Retry } from "../shared/errors.ts";
import { DeviceId, Time, UserId } from "../shared/ids.ts";
import { HTTP_TIMEOUT_MS } from "../shared/limits.ts";
import { ChatError } from "./chat-error.ts";

/** A token that is about to expire is not worth a request. */
const EXPIRY_MARGIN_MS = 10_000;

/** Who a chat speaks for, and how it proves that at each connection. */
export interface Credentials {
  readonly user: UserId;
  readonly device: DeviceId;
  /** A fresh ticket, good for one connection. @throws ChatError */
  ticket(): Promise<string>;
}

const SignedIn = v.object({ user: UserId, device: DeviceId, accessToken: v.string(), accessExpiresAt: Time });
const Ticket = v.object({ ticket: v.string() });
const Problem = v.object({ code: ErrorCode, requestId: v.optional(v.string()) });

/** Signs in by name alone, which only a server in development allows. Signs in again whenever the token has expired. */
export async function signInForDevelopment(
  url: string,
  who: { readonly name: string; readonly device?: string },
): Promise<Credentials> {
  let session = await post(url, "/v1/dev/sign-in", SignedIn, { body: who });
  const { user, device } = session;
  return {
    user,
    device,
    async ticket() {
      if (session.accessExpiresAt - EXPIRY_MARGIN_MS < Date.now()) {
        session = await post(url, "/v1/dev/sign-in", SignedIn, { body: { ...who, device } });
      }
      const { ticket } = await post(url, "/v1/connect-ticket", Ticket, { accessToken: session.accessToken });
      return ticket;
    },
  };
}

async function post<Schema extends v.GenericSchema>(
  url: string,
  path: string,
  schema: Schema,
  { body, accessToken }: { body?: object; accessToken?: string },
): Promise<v.InferOutput<Schema>> {
  const response = await request(new URL(path, url), {
    method: "POST",
    headers: {
      ...(body && { "content-type": "application/json" }),
      ...(accessToken && { authorization: `Bearer ${accessToken}` }),
    },
    ...(body && { body: JSON.stringify(body) }),
  });
  const answer: unknown = await response.json().catch(() => undefined);
  if (!response.ok) throw problem(response, answer);
  const parsed = v.safeParse(schema, answer);
  if (!parsed.success) throw new ChatError("unavailable");
  return parsed.output;
}

async function request(url: URL, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { ...init, signal: AbortSignal.timeout(HTTP_TIMEOUT_MS) });
  } catch (cause) {
    throw new ChatError("unavailable", { cause });
  }
}

/** Problem details (RFC 9457) with our code; anything else was not written by our server. */
function problem(response: Response, answer: unknown): ChatError {
  const parsed = v.safeParse(Problem, answer);
  if (!parsed.success) return new ChatError("unavailable");
  const { code, requestId } = parsed.output;
  const retry = retryAfter(response);
  return new ChatError(code, { requestId, ...(retry && { retry }) });
}

function retryAfter(response: Response): Retry | undefined {
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return Number.isNaN(seconds) ? undefined : seconds === 0 ? "now" : Math.ceil(seconds * 1_000);
}
