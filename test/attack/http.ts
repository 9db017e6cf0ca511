import assert from "node:assert/strict";
import { request } from "node:http";
import * as v from "valibot";
import type { AnswerOf, Endpoint } from "../../shared/api/endpoint.ts";
import { type ErrorCode, Problem } from "../../shared/errors.ts";
import { Connections } from "./connections.ts";

/** Every response of the whole run is counted here, those of set-up calls and refused upgrades too. */
export class Tally {
  responses = 0;
  /** What was answered with a status above 499: there must be none, whatever is asked. */
  readonly serverErrors: string[] = [];

  count(what: string, status: number): void {
    this.responses++;
    if (status >= 500) this.serverErrors.push(`${what}: ${status}`);
  }
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly bytes: Uint8Array;
}

export interface Asked {
  /** Sent as a bearer token. */
  readonly token?: string;
  readonly params?: Readonly<Record<string, string>>;
  /** Sent as JSON, of whatever shape; bytes as they are. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Asks one server. */
export class Http {
  readonly url: string;
  readonly tally: Tally;
  readonly #connections = new Connections();

  constructor(url: string, tally: Tally) {
    this.url = url;
    this.tally = tally;
  }

  send(path: string, init: RequestInit = {}): Promise<Answer> {
    return this.#connections.use(async () => {
      const response = await fetch(`${this.url}${path}`, { redirect: "manual", ...init });
      this.tally.count(`${init.method ?? "GET"} ${path}`, response.status);
      const bytes = new Uint8Array(await response.arrayBuffer());
      return { status: response.status, headers: response.headers, text: new TextDecoder().decode(bytes), bytes };
    });
  }

  /** As it stands: nothing of the path is tidied up before it is sent. */
  sendAsIs(method: string, path: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    const { hostname, port } = new URL(this.url);
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    return this.#connections.use(() => {
      const sent = request({ hostname, port, method, path, headers }, async (response) => {
        const bytes = Buffer.concat(await response.toArray());
        const status = response.statusCode ?? 0;
        this.tally.count(`${method} ${path}`, status);
        resolve({ status, headers: new Headers(headersOf(response.headers)), text: bytes.toString(), bytes });
      });
      sent.once("error", reject);
      sent.end();
      return promise;
    });
  }

  ask({ method, path }: Endpoint, { token, params = {}, body, headers }: Asked = {}): Promise<Answer> {
    const filled = path.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(params[name] ?? ""));
    const isBytes = body instanceof Uint8Array;
    return this.send(filled, {
      method: method.toUpperCase(),
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { "content-type": isBytes ? "application/octet-stream" : "application/json" }),
        ...headers,
      },
      ...(body !== undefined && { body: isBytes ? new Uint8Array(body) : JSON.stringify(body) }),
    });
  }

  /** What must be granted. */
  async get<E extends Endpoint>(endpoint: E, asked: Asked = {}): Promise<AnswerOf<E>> {
    return granted(endpoint, await this.ask(endpoint, asked));
  }
}

/** Something for every parameter that a path may have. */
export function paramsFor(id: string): Record<string, string> {
  return { user: id, device: id, link: id, conversation: id, archive: "A".repeat(22), seq: "1", number: "1" };
}

export function headersOf(headers: NodeJS.Dict<string | string[]>): [string, string][] {
  return Object.entries(headers).flatMap(([name, value]) =>
    [value ?? []].flat().map((text): [string, string] => [name, text]),
  );
}

/** The answer as its endpoint describes it. */
export function granted<E extends Endpoint>(endpoint: E, answer: Answer): AnswerOf<E> {
  assert.equal(answer.status, endpoint.answer ? 200 : 204, `${endpoint.name}: ${answer.status} ${answer.text}`);
  return (endpoint.answer ? v.parse(endpoint.answer, JSON.parse(answer.text)) : undefined) as AnswerOf<E>;
}

/** A problem document with this code, and nothing that tells more than it has to. */
export function expectRefusal(answer: Answer, status: number, code: ErrorCode, what = "it"): Problem {
  const got = `${answer.status} ${codeIn(answer)}`;
  assert.equal(got, `${status} ${code}`, `${what} was answered ${got}, not ${status} ${code}`);
  assert.equal(answer.headers.get("content-type"), "application/problem+json");
  assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
  assert.equal(answer.headers.get("cache-control"), "no-store");
  const problem = v.parse(v.strictObject(Problem.entries), JSON.parse(answer.text));
  assert.equal(problem.requestId, answer.headers.get("x-request-id"));
  if (status === 429) assert.ok(Number(answer.headers.get("retry-after")) >= 1, "429 says when to try again");
  return problem;
}

function codeIn({ text }: Answer): string {
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), v.object({ code: v.string() })), text);
  return parsed.success ? parsed.output.code : "without a code";
}

/** All of a refusal that could tell one case from another. */
export function lookOf({ status, headers, text }: Answer): unknown {
  const { requestId: _, ...rest } = JSON.parse(text || "{}");
  return { status, headers: [...headers.keys()].toSorted(), body: rest };
}
