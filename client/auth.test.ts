import { afterEach, expect, test, vi } from "vitest";
import { signInForDevelopment } from "./auth.ts";

const signedIn = {
  user: "01HZZZZZZZZZZZZZZZZZZZZZZA",
  device: "01HZZZZZZZZZZZZZZZZZZZZZZD",
  accessToken: "access",
  accessExpiresAt: Date.now() + 900_000,
};
const json = (body: object, status = 200, headers = {}) => new Response(JSON.stringify(body), { status, headers });

function answer(...responses: (Response | Error)[]) {
  return vi.spyOn(globalThis, "fetch").mockImplementation(async () => {
    const next = responses.shift();
    if (next instanceof Response) return next;
    throw next;
  });
}
afterEach(() => {
  vi.restoreAllMocks();
});

test("signs in, then asks for a ticket with the access token", async () => {
  const fetch = answer(json(signedIn), json({ ticket: "t1", expiresAt: 1 }));
  const credentials = await signInForDevelopment("http://localhost:8787", { name: "ann" });
  expect(credentials).toMatchObject({ user: signedIn.user, device: signedIn.device });
  expect(await credentials.ticket()).toBe("t1");
  const [[first, signIn], [second, ticket]] = fetch.mock.calls as [[URL, RequestInit], [URL, RequestInit]];
  expect([first.pathname, second.pathname]).toEqual(["/v1/dev/sign-in", "/v1/connect-ticket"]);
  expect([signIn.body, ticket.headers]).toEqual(['{"name":"ann"}', { authorization: "Bearer access" }]);
});

test("signs in again as the same device when the token has expired", async () => {
  const fetch = answer(json({ ...signedIn, accessExpiresAt: 0 }), json(signedIn), json({ ticket: "t" }));
  const credentials = await signInForDevelopment("http://localhost", { name: "ann" });
  await credentials.ticket();
  expect(fetch.mock.calls[1]?.[1]?.body).toBe(JSON.stringify({ name: "ann", device: signedIn.device }));
});

test.each([
  [
    "problem details keep code, retry and request",
    json({ code: "rate_limited", requestId: "r1" }, 429, { "retry-after": "3" }),
    { code: "rate_limited", retryAfterMs: 3_000, retryable: true, requestId: "r1" },
  ],
  [
    "a refusal for good is not retryable",
    json({ code: "unauthenticated" }, 401),
    { code: "unauthenticated", retryable: false },
  ],
  [
    "an answer that is not ours is a passing failure",
    new Response("<html>", { status: 502 }),
    { code: "unavailable", retryable: true },
  ],
  ["a success that makes no sense is a passing failure", json({ hello: 1 }), { code: "unavailable" }],
  ["no network is a passing failure", new TypeError("fetch failed"), { code: "unavailable", retryable: true }],
])("%s", async (_, response, error) => {
  answer(response);
  await expect(signInForDevelopment("http://localhost", { name: "ann" })).rejects.toMatchObject(error);
});
