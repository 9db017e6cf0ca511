import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { ulid } from "ulid";
import { describe, expect, it } from "vitest";
import { endpoints } from "../../shared/api/index.ts";
import { connectTicket } from "../../shared/api/session.ts";
import { requestCode } from "../../shared/api/sign-in.ts";
import { buildGateway } from "../../workers/gateway/gateway.ts";
import { call, HOST, newPhone, ORIGIN, requestOf, signUp } from "./accounts.ts";

const foreign = [
  "https://evil.example",
  "null",
  "*",
  "http://app.example",
  "https://app.example.evil.example",
  "https://app.example:8443",
  "https://APP.example",
  "https://app.example/",
  "https://app.example https://beta.example",
  "https://app.example, https://evil.example",
  "https://xn--pp-example",
  "file://",
];

const api = endpoints
  .filter(({ path }) => path.startsWith("/v1/"))
  .map((endpoint) => [endpoint.name, endpoint] as const);
const params = new Proxy({}, { get: () => ulid() });

const preflight = (path: string, origin: string, method = "POST") =>
  exports.default.fetch(
    new Request(`${HOST}${path}`, {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": method, "access-control-request-headers": "authorization" },
    }),
  );

const corsHeaders = ({ headers }: Response) => [...headers.keys()].filter((name) => name.startsWith("access-control-"));

async function expectForbidden(response: Response): Promise<void> {
  expect(response.status).toBe(403);
  expect(corsHeaders(response)).toEqual([]);
  expect(response.headers.get("set-cookie")).toBeNull();
  expect(await response.json()).toMatchObject({ status: 403, code: "forbidden_origin" });
}

describe("a page of another origin", () => {
  it.each(foreign)("may not ask: %j", async (origin) => {
    await expectForbidden(await call(requestCode, { body: { phone: newPhone() }, headers: { origin } }));
    await expectForbidden(await preflight(requestCode.path, origin));
  });

  it.each(api)("may ask for nothing: %s", async (_, endpoint) => {
    const origin = "https://evil.example";
    await expectForbidden(await call(endpoint, { params, headers: { origin, cookie: "sandpiper-refresh=x" } }));
    const { pathname } = new URL(requestOf(endpoint, { params }).url);
    await expectForbidden(await preflight(pathname, origin, endpoint.method.toUpperCase()));
  });

  it("may not ask with a right token either, nor for what does not exist", async () => {
    const { accessToken } = await signUp();
    const headers = { origin: "https://evil.example" };
    await expectForbidden(await call(connectTicket, { token: accessToken, headers }));
    await expectForbidden(await exports.default.fetch(new Request(`${HOST}/v1/nothing`, { headers })));
  });

  it.each([undefined, "", " ", "null", "*", "null *"])("is any where %j is allowed", async (ALLOWED_ORIGINS) => {
    for (const origin of [ORIGIN, "null", "https://evil.example"]) {
      const context = createExecutionContext();
      const request = requestOf(requestCode, { body: { phone: newPhone() }, headers: { origin } });
      const vars = { ...env, ALLOWED_ORIGINS } as typeof env;
      await expectForbidden(await buildGateway().fetch(request, vars, context));
      await waitOnExecutionContext(context);
    }
  });
});

describe("a page of an allowed origin", () => {
  it.each(["https://app.example", "https://beta.example"])("may ask, with cookies: %s", async (origin) => {
    const response = await call(requestCode, { body: { phone: newPhone() }, headers: { origin } });
    expect(response.status).toBe(200);
    expect(response.headers.get("access-control-allow-origin")).toBe(origin);
    expect(response.headers.get("access-control-allow-credentials")).toBe("true");
    expect(response.headers.get("access-control-expose-headers")).toBe("x-request-id,retry-after,sandpiper-bookmark");
    expect(response.headers.get("vary")).toContain("Origin");
  });

  it.each(api)("is told what it may ask: %s", async (_, endpoint) => {
    const { pathname } = new URL(requestOf(endpoint, { params }).url);
    const method = endpoint.method.toUpperCase();
    const response = await preflight(pathname, ORIGIN, method);
    expect(response.status).toBe(204);
    expect(response.headers.get("access-control-allow-origin")).toBe(ORIGIN);
    expect(response.headers.get("access-control-allow-credentials")).toBe("true");
    expect(response.headers.get("access-control-allow-methods")!.split(",")).toContain(method);
    expect(response.headers.get("access-control-allow-headers")).toBe("authorization,content-type,sandpiper-bookmark");
    expect(response.headers.get("access-control-max-age")).toBe("3600");
    expect(response.headers.get("vary")).toContain("Origin");
  });

  it("may read why something was refused", async () => {
    const response = await call(requestCode, { body: { phone: "+123456" }, headers: { origin: ORIGIN } });
    expect(response.status).toBe(400);
    expect(response.headers.get("access-control-allow-origin")).toBe(ORIGIN);
    expect(response.headers.get("x-request-id")).toMatch(/^[0-9A-Z]{26}$/);
  });

  it("is told nothing of a wildcard, whatever it asks for", async () => {
    const response = await preflight(requestCode.path, ORIGIN, "TRACE");
    expect([...response.headers].join()).not.toContain("*");
    expect(response.headers.get("access-control-allow-methods")).toBe("GET,POST,PUT,PATCH,DELETE");
  });
});

describe("whoever names no origin", () => {
  it("may ask, and no cache takes the answer for a page's", async () => {
    const response = await call(requestCode, { body: { phone: newPhone() } });
    expect(response.status).toBe(200);
    expect(corsHeaders(response)).toEqual([]);
    expect(response.headers.get("vary")).toContain("Origin");
  });
});
