import type { ErrorCode, RefusalDetails } from "../shared/errors.ts";

export const user = "01HZZZZZZZZZZZZZZZZZZZZZZA";
export const device = "01HZZZZZZZZZZZZZZZZZZZZZZD";
export const url = "http://chat.test";

export interface Asked {
  /** As in "POST /v1/sign-in". */
  readonly what: string;
  readonly body: unknown;
  readonly headers: Headers;
  readonly credentials: RequestInit["credentials"];
}

type Answer = object | Uint8Array | undefined | Response | Error;

/** A server of which a test says what it answers; put in the place of `fetch`. */
export class TestServer {
  readonly asked: Asked[] = [];
  readonly #answers = new Map<string, (asked: Asked) => Answer | Promise<Answer>>();

  /** From now on. */
  on(what: string, answer: (asked: Asked) => Answer | Promise<Answer>): this {
    this.#answers.set(what, answer);
    return this;
  }

  readonly fetch = async (target: RequestInfo | URL, init: RequestInit = {}): Promise<Response> => {
    const { pathname, origin } = new URL(String(target));
    if (origin !== url) throw new TypeError(`not this server: ${origin}`);
    const asked: Asked = {
      what: `${init.method} ${pathname}`,
      body: typeof init.body === "string" ? JSON.parse(init.body) : init.body,
      headers: new Headers(init.headers),
      credentials: init.credentials,
    };
    this.asked.push(asked);
    const answer = await (this.#answers.get(asked.what) ?? (() => refusal("not_found", 404)))(asked);
    if (answer instanceof Error) throw answer;
    if (answer instanceof Response) return answer;
    if (answer instanceof Uint8Array) return new Response(answer as Uint8Array<ArrayBuffer>);
    return answer ? Response.json(answer) : new Response(null, { status: 204 });
  };

  get paths(): string[] {
    return this.asked.map(({ what }) => what);
  }

  /** The bodies that came with requests of this kind. */
  bodies(what: string): unknown[] {
    return this.asked.filter((asked) => asked.what === what).map(({ body }) => body);
  }
}

export function refusal(
  code: ErrorCode,
  status: number,
  { headers = {}, details = {} }: { headers?: HeadersInit; details?: RefusalDetails } = {},
): Response {
  return Response.json({ code, requestId: "r1", ...details }, { status, headers });
}

/** What a sign-in answers; its tokens are named by their number. */
export function signedIn(number = 1) {
  return { user, device, ...tokens(number), isNew: true };
}

export function tokens(number: number) {
  return {
    accessToken: `access ${number}`,
    accessExpiresAt: 1,
    refreshToken: `refresh ${number}`,
    refreshExpiresAt: 2,
  };
}
