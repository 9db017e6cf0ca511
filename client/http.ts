import * as v from "valibot";
import { type AnswerOf, type BodyInputOf, bytes, type Endpoint, type ParamsOf } from "../shared/api/endpoint.ts";
import { ErrorCode, RefusalDetails, type Retry } from "../shared/errors.ts";
import { HTTP_TIMEOUT_MS } from "../shared/limits.ts";
import { ChatError } from "./chat-error.ts";

/** What an endpoint asks for, and nothing else. */
type RequestOf<E extends Endpoint> = Part<"params", ParamsOf<E>> & Part<"body", BodyInputOf<E>>;
type Part<Name extends string, T> = [T] extends [undefined]
  ? { readonly [N in Name]?: undefined }
  : { readonly [N in Name]: T };

/** Left out where there is nothing to say. */
export type Asked<E extends Endpoint, More = unknown> =
  Record<never, never> extends RequestOf<E> ? [request?: RequestOf<E> & More] : [request: RequestOf<E> & More];

export interface CallOptions {
  /** Sent as the bearer's. */
  readonly token?: string;
  readonly timeoutMs?: number;
}

/** What a device was answered, for its later reads to see at least as much (workers/gateway/database/). */
const BOOKMARK_HEADER = "sandpiper-bookmark";

const Problem = v.object({ code: ErrorCode, requestId: v.optional(v.string()), ...RefusalDetails.entries });

/** Asks one server for what stands in shared/api/, on behalf of one person. */
export class Http {
  readonly url: string;
  /** The refresh token is a cookie, which the browser keeps and sends. */
  readonly cookie: boolean;
  #bookmark: string | undefined;

  /** @param url as in "https://chat.example" */
  constructor(url: string, { cookie = false }: { readonly cookie?: boolean } = {}) {
    this.url = new URL(url).href;
    this.cookie = cookie;
  }

  /** @throws ChatError */
  async call<E extends Endpoint>(endpoint: E, ...[request]: Asked<E, CallOptions>): Promise<AnswerOf<E>> {
    const { answer } = endpoint;
    return this.#fetch(endpoint, request, async (response) => {
      if (!answer) return undefined as AnswerOf<E>;
      if (answer === bytes) return new Uint8Array(await response.arrayBuffer()) as AnswerOf<E>;
      const parsed = v.safeParse(answer, await response.json());
      if (!parsed.success) throw new ChatError("unavailable");
      return parsed.output as AnswerOf<E>;
    });
  }

  /** For the endpoints that answer a file. @throws ChatError */
  async download<E extends Endpoint>(endpoint: E, ...[request]: Asked<E, CallOptions>): Promise<Uint8Array> {
    return this.#fetch(endpoint, request, async (response) => new Uint8Array(await response.arrayBuffer()));
  }

  /** Whatever breaks on the way, the answer's body included, is a passing failure. */
  async #fetch<T>(endpoint: Endpoint, request: AnyRequest = {}, read: (response: Response) => Promise<T>): Promise<T> {
    try {
      const response = await fetch(new URL(pathOf(endpoint, request.params), this.url), this.#init(endpoint, request));
      this.#bookmark = response.headers.get(BOOKMARK_HEADER) ?? this.#bookmark;
      if (!response.ok) throw await problemOf(response);
      return await read(response);
    } catch (cause) {
      throw cause instanceof ChatError ? cause : new ChatError("unavailable", { cause });
    }
  }

  #init({ method }: Endpoint, { body, token, timeoutMs = HTTP_TIMEOUT_MS }: AnyRequest): RequestInit {
    return {
      method: method.toUpperCase(),
      headers: {
        ...(body !== undefined && { "content-type": isBytes(body) ? BYTES : "application/json" }),
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(this.#bookmark !== undefined && { [BOOKMARK_HEADER]: this.#bookmark }),
      },
      ...(body !== undefined && { body: isBytes(body) ? body : JSON.stringify(body) }),
      // Not every platform knows the word, and only pages need it.
      ...(this.cookie && { credentials: "include" }),
      signal: AbortSignal.timeout(timeoutMs),
    };
  }
}

const BYTES = "application/octet-stream";

function isBytes(body: unknown): body is Uint8Array<ArrayBuffer> {
  return body instanceof Uint8Array;
}

type AnyRequest = CallOptions & { readonly params?: unknown; readonly body?: unknown };

function pathOf({ path }: Endpoint, params: unknown): string {
  const values = (params ?? {}) as Record<string, string>;
  return path.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(values[name] ?? ""));
}

/** Problem details (RFC 9457) with our code; anything else was not written by our server. */
async function problemOf(response: Response): Promise<ChatError> {
  const parsed = v.safeParse(Problem, await response.json().catch(() => undefined));
  if (!parsed.success) return new ChatError("unavailable");
  const { code, requestId, ...details } = parsed.output;
  const retry = retryAfter(response);
  return new ChatError(code, { requestId, details, ...(retry && { retry }) });
}

/** Delay in seconds (RFC 9110 §10.2.3); pages see it only where the server lets them. */
function retryAfter(response: Response): Retry | undefined {
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return Number.isNaN(seconds) ? undefined : seconds === 0 ? "now" : Math.ceil(seconds * 1_000);
}
