import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import {
  base64url as encoding,
  exportSPKI,
  generateKeyPair,
  importJWK,
  type JWK,
  type JWTHeaderParameters,
  SignJWT,
} from "jose";
import { ulid } from "ulid";
import * as v from "valibot";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { Env } from "../../durable-objects/runtime/env.ts";
import { type LogFields, log } from "../../durable-objects/runtime/log.ts";
import {
  ACCESS_TOKEN_TTL_MS,
  CONNECT_TICKET_TTL_MS,
  MAX_DEVICES_PER_USER,
  MAX_FRAME_BYTES,
  MAX_TOKEN_CHARS,
} from "../../shared/limits.ts";
import { SUBPROTOCOL, TICKET_PREFIX } from "../../shared/protocol/version.ts";
import { CONNECT_HEADER, Connect } from "../../shared/rpc.ts";
import { issueToken } from "../../workers/gateway/auth/tokens.ts";
import { buildGateway } from "../../workers/gateway/gateway.ts";

const HOST = "http://127.0.0.1";
const ORIGIN = "https://app.example";
const caller = { user: ulid(), device: ulid() };
const { keys } = JSON.parse(env.TOKEN_KEYS) as { keys: [JWK & { kid: string }] };
let signingKey: CryptoKey;

beforeAll(async () => {
  signingKey = (await importJWK(keys[0], "ES256")) as CryptoKey;
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

async function call(path: string, init: RequestInit = {}, vars: Partial<Env> = {}, host = HOST): Promise<Response> {
  const used = { ...env, ...vars };
  const context = createExecutionContext();
  const response = await buildGateway(used).fetch(new Request(`${host}${path}`, init), used, context);
  await waitOnExecutionContext(context);
  return response;
}

function post(path: string, body: unknown, vars?: Partial<Env>, host?: string): Promise<Response> {
  return call(
    path,
    { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) },
    vars,
    host,
  );
}

async function signIn(name: string, fields: object = {}) {
  const response = await post("/v1/dev/sign-in", { name, ...fields });
  expect(response.status).toBe(200);
  return (await response.json()) as { user: string; device: string; accessToken: string; accessExpiresAt: number };
}

const askTicket = (token: string) =>
  call("/v1/connect-ticket", { method: "POST", headers: { authorization: `Bearer ${token}` } });

function upgrade(ticket: string, headers: Record<string, string> = { origin: ORIGIN }, path = "/v1/connect") {
  return call(path, {
    headers: {
      upgrade: "websocket",
      "sec-websocket-protocol": `${SUBPROTOCOL}, ${TICKET_PREFIX}${ticket}`,
      ...headers,
    },
  });
}

/** A token with our key and any claims and header: what only a fault of ours could issue. */
function sign(
  claims: Record<string, unknown> = {},
  header: Partial<JWTHeaderParameters> = {},
  key: CryptoKey | Uint8Array = signingKey,
): Promise<string> {
  const now = Math.floor(Date.now() / 1_000);
  return new SignJWT({
    iss: "sandpiper",
    aud: "sandpiper:api",
    sub: caller.user,
    device: caller.device,
    jti: ulid(),
    iat: now,
    exp: now + 60,
    ...claims,
  })
    .setProtectedHeader({ alg: "ES256", kid: keys[0].kid, typ: "at+jwt", ...header })
    .sign(key);
}

/** As `sign`, for what the library refuses to sign. */
async function signBytes(signed: string): Promise<string> {
  const algorithm = { name: "ECDSA", hash: "SHA-256" };
  const signature = await crypto.subtle.sign(algorithm, signingKey, new TextEncoder().encode(signed));
  return `${signed}.${encoding.encode(new Uint8Array(signature))}`;
}

const base64url = (value: unknown) => encoding.encode(JSON.stringify(value));

async function expectProblem(response: Response, status: number, code: string): Promise<void> {
  expect(response.status).toBe(status);
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  expect(await response.json()).toEqual({
    type: "about:blank",
    title: expect.any(String),
    status,
    code,
    requestId: response.headers.get("x-request-id"),
  });
}

describe("errors", () => {
  it("answers an unknown route with 404", async () => {
    await expectProblem(await call("/v1/nothing"), 404, "not_found");
  });

  it("answers a wrong method with 405 and names the right ones", async () => {
    const response = await call("/v1/connect-ticket");
    expect(response.headers.get("allow")).toBe("POST");
    await expectProblem(response, 405, "not_found");
  });

  it.each(["", "{", "null", "[]", '"name"', '{"name":1}', '{"name":""}', '{"name":"a","device":"x"}', "\u0000"])(
    "answers malformed JSON with 400: %j",
    async (body) => {
      const headers = { "content-type": "application/json" };
      await expectProblem(await call("/v1/dev/sign-in", { method: "POST", headers, body }), 400, "bad_frame");
    },
  );

  it("answers a body that another origin's page could send unasked with 400", async () => {
    const headers = { "content-type": "text/plain" };
    const response = await call("/v1/dev/sign-in", { method: "POST", headers, body: '{"name":"eve"}' });
    await expectProblem(response, 400, "bad_frame");
  });

  it("answers a body above the limit with 413, whether its length is declared or not", async () => {
    await expectProblem(await post("/v1/dev/sign-in", { name: "x".repeat(MAX_FRAME_BYTES) }), 413, "too_large");
    const { readable, writable } = new TransformStream();
    const writing = new Response("x".repeat(MAX_FRAME_BYTES + 1)).body?.pipeTo(writable).catch(() => {});
    const headers = { "content-type": "application/json" };
    await expectProblem(await call("/v1/dev/sign-in", { method: "POST", headers, body: readable }), 413, "too_large");
    await writing;
  });

  it("answers a failure inside with 503, without a word about it", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const DB = {
      prepare: () => {
        throw new Error("secret detail");
      },
    } as unknown as D1Database;
    const response = await call("/health", {}, { DB });
    expect(response.headers.get("retry-after")).toBe("1");
    await expectProblem(response, 503, "unavailable");
    expect(JSON.stringify(logged.mock.calls)).not.toContain("secret detail");
  });

  it("makes the request id itself, whatever the client sends", async () => {
    const response = await call("/health", { headers: { "x-request-id": "mine" } });
    expect(response.headers.get("x-request-id")).toMatch(/^[0-9A-Z]{26}$/);
  });
});

describe("logs", () => {
  it("hold only the fields that are on the list", () => {
    const logged = vi.spyOn(console, "warn").mockImplementation(() => {});
    log("warn", "test", { requestId: "r", token: "secret", body: "secret", ip: "secret" } as LogFields);
    const [[line]] = logged.mock.calls as [[string]];
    expect(JSON.parse(line)).toEqual({ time: expect.any(String), level: "warn", event: "test", requestId: "r" });
  });

  it("name every request by its route, and by the id that its answer carries", async () => {
    const logged = vi.spyOn(console, "info").mockImplementation(() => {});
    const response = await call("/health?q=private");
    const [[line]] = logged.mock.calls as [[string]];
    expect(JSON.parse(line)).toMatchObject({
      event: "http.request",
      requestId: response.headers.get("x-request-id"),
      route: "/health",
      status: 200,
    });
    expect(line).not.toContain("private");
  });
});

describe("health and keys", () => {
  it("reports healthy when the database answers", async () => {
    const response = await call("/health");
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ ok: true, protocol: SUBPROTOCOL });
  });

  it("publishes the public keys and nothing of the private ones", async () => {
    const { keys: published } = (await (await call("/.well-known/jwks.json")).json()) as { keys: JWK[] };
    expect(published).toEqual([
      { kty: "EC", crv: "P-256", x: keys[0].x, y: keys[0].y, kid: keys[0].kid, alg: "ES256", use: "sig" },
    ]);
  });
});

describe("tokens", () => {
  it("takes a valid access token", async () => {
    const { token } = await issueToken(env.TOKEN_KEYS, "access", caller);
    expect((await askTicket(token)).status).toBe(200);
  });

  it("keeps accepting a key that no longer signs", async () => {
    const { token } = await issueToken(env.TOKEN_KEYS, "access", caller);
    const { privateKey } = await generateKeyPair("ES256", { extractable: true });
    const newKey = { ...((await crypto.subtle.exportKey("jwk", privateKey)) as JWK), kid: "new" };
    const TOKEN_KEYS = JSON.stringify({ keys: [newKey, keys[0]] });
    const init = { method: "POST", headers: { authorization: `Bearer ${token}` } };
    expect((await call("/v1/connect-ticket", init, { TOKEN_KEYS })).status).toBe(200);
    expect((await call("/v1/connect-ticket", init, { TOKEN_KEYS: JSON.stringify({ keys: [newKey] }) })).status).toBe(
      401,
    );
  });

  const attacks: Record<string, () => Promise<string> | string> = {
    "alg none": async () => {
      const [, payload] = (await sign()).split(".");
      return `${base64url({ alg: "none", kid: keys[0].kid, typ: "at+jwt" })}.${payload}.`;
    },
    "HS256 signed with the public key": async () => {
      const { d: _, ...published } = keys[0];
      const publicKey = (await importJWK(published, "ES256", { extractable: true })) as CryptoKey;
      return sign({}, { alg: "HS256" }, new TextEncoder().encode(await exportSPKI(publicKey)));
    },
    "a key of its own in the header": async () => {
      const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
      const jwk = (await crypto.subtle.exportKey("jwk", publicKey)) as JWK;
      return sign({}, { jwk }, privateKey);
    },
    "an address of a key in the header": async () => {
      const { privateKey } = await generateKeyPair("ES256");
      return sign({}, { jku: "https://attacker.example/jwks.json" }, privateKey);
    },
    "another key under our kid": async () => sign({}, {}, (await generateKeyPair("ES256")).privateKey),
    "an unknown kid": () => sign({}, { kid: "unknown" }),
    "a kid that is a path": () => sign({}, { kid: "../../dev/null" }),
    "a kid named like a property of every object": () => sign({}, { kid: "__proto__" }),
    "a critical extension that is not understood": async () => {
      const [, payload] = (await sign()).split(".");
      const header = { alg: "ES256", kid: keys[0].kid, typ: "at+jwt", crit: ["exotic"], exotic: true };
      return signBytes(`${base64url(header)}.${payload}`);
    },
    expired: () => sign({ exp: Math.floor(Date.now() / 1_000) - 1 }),
    "without an expiry": () => sign({ exp: undefined }),
    "not valid yet": () => sign({ nbf: Math.floor(Date.now() / 1_000) + 60 }),
    "for another audience": () => sign({ aud: "elsewhere" }),
    "by another issuer": () => sign({ iss: "elsewhere" }),
    "without a type": () => sign({}, { typ: undefined } as unknown as JWTHeaderParameters),
    "a subject that is no user id": () => sign({ sub: "' OR 1=1 --" }),
    "without a device": () => sign({ device: undefined }),
    "a connect ticket": async () => (await issueToken(env.TOKEN_KEYS, "ticket", caller)).token,
    "a ticket's type on an access token's claims": () => sign({}, { typ: "sandpiper-ticket+jwt" }),
    "an altered payload": async () => {
      const [header, , signature] = (await sign()).split(".");
      return `${header}.${base64url({ sub: ulid(), device: ulid() })}.${signature}`;
    },
    oversized: () => sign({ padding: "x".repeat(MAX_TOKEN_CHARS) }),
    "no token at all": () => "",
    "three dots": () => "...",
    "no JSON": () => "YQ.YQ.YQ",
    "JSON that is no object": () => `${base64url(null)}.${base64url([])}.AA`,
  };
  it.each(Object.entries(attacks))("refuses with 401: %s", async (_, forge) => {
    await expectProblem(await askTicket(await forge()), 401, "unauthenticated");
  });

  it("refuses with 401 whatever a valid token is cut or bent into", async () => {
    const token = await sign();
    // All but the last character, some bits of which stand for nothing.
    for (let at = 0; at < token.length - 1; at += 7) {
      const bent = token[at] === "A" ? "B" : "A";
      expect((await askTicket(token.slice(0, at))).status).toBe(401);
      const changed = `${token.slice(0, at)}${bent}${token.slice(at + 1)}`;
      expect((await askTicket(changed)).status).toBe(401);
    }
  });

  it("refuses an access token after its time", async () => {
    const { token } = await issueToken(env.TOKEN_KEYS, "access", caller);
    vi.useFakeTimers({ now: Date.now() + ACCESS_TOKEN_TTL_MS + 1_000, toFake: ["Date"] });
    await expectProblem(await askTicket(token), 401, "unauthenticated");
  });

  it.each(["Basic YTpi", "Bearer", "Bearer a b"])("refuses the authorization %j with 401", async (authorization) => {
    const response = await call("/v1/connect-ticket", { method: "POST", headers: { authorization } });
    expect(response.headers.get("www-authenticate")).toBe("Bearer");
    await expectProblem(response, 401, "unauthenticated");
  });
});

describe("socket", () => {
  const ticketOf = async () => (await issueToken(env.TOKEN_KEYS, "ticket", caller)).token;

  it.each(["https://evil.example", "null", "https://app.example.evil.example", "http://app.example", ""])(
    "refuses the origin %j with 403",
    async (origin) => {
      await expectProblem(await upgrade(await ticketOf(), { origin }), 403, "forbidden_origin");
    },
  );

  it("refuses an upgrade with cookies and no origin with 403", async () => {
    await expectProblem(await upgrade(await ticketOf(), { cookie: "a=b" }), 403, "forbidden_origin");
  });

  it("refuses every page's origin where none is allowed, even one named null", async () => {
    for (const ALLOWED_ORIGINS of [undefined, "", "null"]) {
      const headers = { upgrade: "websocket", origin: ALLOWED_ORIGINS ?? ORIGIN };
      const vars = { ALLOWED_ORIGINS } as Partial<Env>;
      await expectProblem(await call("/v1/connect", { headers }, vars), 403, "forbidden_origin");
    }
  });

  it.each(["token", "ticket", "access_token", "x"])(
    "refuses a ticket in the URL as %s with 400, unlogged",
    async (name) => {
      const logged = vi.spyOn(console, "info").mockImplementation(() => {});
      const ticket = await ticketOf();
      const response = await upgrade(ticket, { origin: ORIGIN }, `/v1/connect?${name}=${ticket}`);
      await expectProblem(response, 400, "bad_frame");
      expect(logged).toHaveBeenCalled();
      expect(JSON.stringify(logged.mock.calls)).not.toContain(ticket);
    },
  );

  it("refuses a token in any URL, in its path too", async () => {
    const { token } = await issueToken(env.TOKEN_KEYS, "access", caller);
    await expectProblem(await call(`/v1/${token}`), 400, "bad_frame");
    await expectProblem(await call(`/health?q=${token}`), 400, "bad_frame");
    await expectProblem(await call("/health?access_token=1"), 400, "bad_frame");
  });

  it("refuses a plain request with 426", async () => {
    await expectProblem(await call("/v1/connect", { headers: { origin: ORIGIN } }), 426, "bad_frame");
  });

  it("refuses an upgrade without our subprotocol with 400, without or with two tickets with 401", async () => {
    const ticket = `${TICKET_PREFIX}${await ticketOf()}`;
    const offering = (protocols: string) => upgrade("", { origin: ORIGIN, "sec-websocket-protocol": protocols });
    await expectProblem(await offering(ticket), 400, "bad_frame");
    await expectProblem(await offering(SUBPROTOCOL), 401, "unauthenticated");
    await expectProblem(await offering(`${SUBPROTOCOL}, ${ticket}, ${ticket}`), 401, "unauthenticated");
  });

  it("refuses an access token as a ticket, and an expired ticket, with 401", async () => {
    const { token } = await issueToken(env.TOKEN_KEYS, "access", caller);
    await expectProblem(await upgrade(token), 401, "unauthenticated");
    const ticket = await ticketOf();
    vi.useFakeTimers({ now: Date.now() + CONNECT_TICKET_TTL_MS + 1_000, toFake: ["Date"] });
    await expectProblem(await upgrade(ticket), 401, "unauthenticated");
  });
});

describe("with the person's object", () => {
  it("opens a socket that speaks our subprotocol, once a ticket", async () => {
    const { user, device, accessToken } = await signIn("once");
    const { ticket } = (await (await askTicket(accessToken)).json()) as { ticket: string };
    const response = await upgrade(ticket);
    expect(response.status).toBe(101);
    expect(response.headers.get("sec-websocket-protocol")).toBe(SUBPROTOCOL);
    expect(response.headers.get("x-request-id")).toMatch(/^[0-9A-Z]{26}$/);
    const socket = response.webSocket!;
    const welcome = new Promise((resolve) => socket.addEventListener("message", ({ data }) => resolve(data)));
    socket.accept();
    socket.send(JSON.stringify({ type: "hello", client: "test" }));
    expect(JSON.parse((await welcome) as string)).toMatchObject({ type: "welcome", user, device });
    await expectProblem(await upgrade(ticket), 401, "unauthenticated");
    socket.close(1000);
  });

  it("opens a socket for a client that sends neither origin nor cookies", async () => {
    const { user, device } = await signIn("native");
    const { token } = await issueToken(env.TOKEN_KEYS, "ticket", { user, device });
    const response = await upgrade(token, {});
    expect(response.status).toBe(101);
    response.webSocket!.accept();
    response.webSocket!.close(1000);
  });

  it("refuses a ticket for a device that the person does not have with 401", async () => {
    const { user } = await signIn("alice");
    const { device } = await signIn("bob");
    const { token } = await issueToken(env.TOKEN_KEYS, "ticket", { user, device });
    const response = await upgrade(token);
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ status: 401 });
  });

  it("passes on nothing of what the client wrote", async () => {
    const seen: Request[] = [];
    const USER = {
      getByName: () => ({
        fetch: async (url: string, init: RequestInit) => {
          seen.push(new Request(url, init));
          return new Response("busy", { status: 503 });
        },
      }),
    } as unknown as Env["USER"];
    const { token, expiresAt } = await issueToken(env.TOKEN_KEYS, "ticket", caller);
    const headers = {
      upgrade: "websocket",
      origin: ORIGIN,
      "sec-websocket-protocol": `${SUBPROTOCOL}, ${TICKET_PREFIX}${token}`,
      [CONNECT_HEADER]: JSON.stringify({ user: ulid() }),
      "x-user-id": ulid(),
      "cf-connecting-ip": "203.0.113.7",
      cookie: "a=b",
    };
    await expectProblem(await call("/v1/connect", { headers }, { USER }), 503, "busy");
    const passed = Object.fromEntries(seen[0]!.headers);
    expect(Object.keys(passed).sort()).toEqual([CONNECT_HEADER, "sec-websocket-protocol", "upgrade"]);
    expect(passed["sec-websocket-protocol"]).toBe(SUBPROTOCOL);
    expect(v.parse(Connect, JSON.parse(passed[CONNECT_HEADER]!))).toMatchObject({
      ...caller,
      ticketExpiresAt: expiresAt,
    });
  });

  it("finds a person again by name, however many sign in at once", async () => {
    const all = await Promise.all(Array.from({ length: 4 }, () => signIn("crowd")));
    expect(new Set(all.map(({ user }) => user)).size).toBe(1);
    expect(new Set(all.map(({ device }) => device)).size).toBe(4);
  });

  it("signs a known device in again, and no other person's", async () => {
    const { device } = await signIn("carol");
    expect(await signIn("carol", { device })).toMatchObject({ device });
    await expectProblem(await post("/v1/dev/sign-in", { name: "dave", device }), 404, "not_found");
    await expectProblem(await post("/v1/dev/sign-in", { name: "dave", device: ulid() }), 404, "not_found");
  });

  it("refuses more devices than a person may have with 409", async () => {
    for (let count = 0; count < MAX_DEVICES_PER_USER; count++) await signIn("collector");
    await expectProblem(await post("/v1/dev/sign-in", { name: "collector" }), 409, "too_many_devices");
  });

  it("takes operator payloads as plain names", async () => {
    const name = "' OR 1=1; DROP TABLE user; --";
    expect(await signIn(name)).toMatchObject({ user: (await signIn(name)).user });
  });
});

describe("development sign-in", () => {
  it.each([
    { ENVIRONMENT: "production", DEV_SIGN_IN: "enabled" },
    { ENVIRONMENT: "staging", DEV_SIGN_IN: "enabled" },
    { ENVIRONMENT: "", DEV_SIGN_IN: "enabled" },
    { ENVIRONMENT: "Development", DEV_SIGN_IN: "enabled" },
    { ENVIRONMENT: "development", DEV_SIGN_IN: "true" },
    { ENVIRONMENT: "development", DEV_SIGN_IN: "" },
  ])("does not exist with %j", async (vars) => {
    await expectProblem(await post("/v1/dev/sign-in", { name: "eve" }, vars), 404, "not_found");
    await expectProblem(await call("/v1/dev/sign-in", {}, vars), 404, "not_found");
  });

  it.each(["https://sandpiper.example", "http://localhost.evil.example", "http://127.0.0.1.evil.example"])(
    "does not exist on the host %s",
    async (host) => {
      await expectProblem(await post("/v1/dev/sign-in", { name: "eve" }, {}, host), 404, "not_found");
    },
  );
});
