import * as v from "valibot";
import { expect } from "vitest";
import { type AnswerOf, bytes, type Endpoint } from "../../shared/api/endpoint.ts";
import { type Account, type Asked, call } from "./accounts.ts";

/** Asking in somebody's name over HTTP. */

/** What an endpoint answers, which has to be all that its schema says and nothing else. */
export async function ask<E extends Endpoint>(endpoint: E, account: Account, asked: Asked = {}): Promise<AnswerOf<E>> {
  const response = await call(endpoint, { token: account.accessToken, ...asked });
  if (endpoint.answer === bytes && response.ok) return (await response.bytes()) as AnswerOf<E>;
  const text = await response.text();
  expect({ status: response.status, text }).toMatchObject(
    endpoint.answer ? { status: 200 } : { status: 204, text: "" },
  );
  if (!endpoint.answer) return undefined as AnswerOf<E>;
  const answer: unknown = JSON.parse(text);
  expect(answer).toEqual(v.parse(endpoint.answer, answer));
  return answer as AnswerOf<E>;
}

/** The code with which something is refused. */
export async function refusalOf(endpoint: Endpoint, account: Account, asked: Asked = {}): Promise<string> {
  const response = await call(endpoint, { token: account.accessToken, ...asked });
  const { status, code } = (await response.json()) as { status: number; code: string };
  expect(status).toBe(response.status);
  expect(status).toBeGreaterThanOrEqual(400);
  expect(status).toBeLessThan(500);
  return code;
}

/** Texts that a careless program would take for more than texts. */
export const PAYLOADS = [
  "' OR 1=1 --",
  "'; DROP TABLE user; --",
  '" UNION SELECT phone_hash FROM user --',
  "%' OR name LIKE '%",
  "$" + "{process.env}{{7*7}}",
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "\u0000\r\nset-cookie: a=b",
] as const;
/** What a careless program would take for an operator where a text is asked for. */
export const OPERATORS = [{ $gt: "" }, { $ne: null }, ["a"], 1, true, null] as const;
