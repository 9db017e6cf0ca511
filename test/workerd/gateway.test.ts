import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import {
  decodeJwt,
  decodeProtectedHeader,
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
import { ACCESS_TOKEN_TTL_MS, CONNECT_TICKET_TTL_MS, MAX_FRAME_BYTES, MAX_TOKEN_CHARS } from "../../shared/limits.ts";
import { SUBPROTOCOL, TICKET_PREFIX } from "../../shared/protocol/version.ts";
import { CONNECT_HEADER, Connect } from "../../shared/rpc.ts";
import { issueToken } from "../../workers/gateway/auth/tokens.ts";
import { buildGateway } from "../../workers/gateway/gateway.ts";
import { claimsOf, HOST, newPhone, ORIGIN, signUp } from "./accounts.ts";

const caller = { user: ulid(), device: ulid() };
const { keys } = JSON.parse(env.TOKEN_KEYS) as { keys: [JWK & { kid: string }] };
/** The same, as a token names them. */
const claims = { sub: caller.user, device: caller.device, family: "1" };
let signingKey: CryptoKey;

beforeAll(async () => {
  signingKey = (await importJWK(keys[0], "ES256")) as CryptoKey;
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

async function call(path: string, init: RequestInit = {}, vars: Partial<Env> = {}): Promise<Response> {
  const context = createExecutionContext();
  const response = await buildGateway().fetch(new Request(`${HOST}${path}`, init), { ...env, ...vars }, context);
  await waitOnExecutionContext(context);
  return response;
}

/** Where anybody may send a body. */
const OPEN_PATH = "/v1/sign-in/code";

function post(body: BodyInit, headers: Record<string, string> = { "content-type": "application/json" }) {
  return call(OPEN_PATH, { method: "POST", headers, body });
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
  others: Record<string, unknown> = {},
  header: Partial<JWTHeaderParameters> = {},
  key: CryptoKey | Uint8Array = signingKey,
): Promise<string> {
  const now = Math.floor(Date.now() / 1_000);
  return new SignJWT({
    iss: "sandpiper",
    aud: "sandpiper:api",
    ...claims,
    jti: ulid(),
    iat: now,
    exp: now + 60,
    ...others,
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
    await expectProblem(response, 405, "method_not_allowed");
  });

  it.each(["/v1/dev/sign-in", "/v1/dev", "/v1/sign-in/dev"])("knows no sign-in without a code: %s", async (path) => {
    const init = { method: "POST", headers: { "content-type": "application/json" }, body: '{"name":"eve"}' };
    await expectProblem(await call(path, init), 404, "not_found");
  });

  it("answers a failure inside with 503, without a word about it", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const failing = () => {
      throw new Error("secret detail");
    };
    const DB = { withSession: () => ({ prepare: failing, getBookmark: () => null }) } as unknown as D1Database;
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

describe("bodies", () => {
  const phone = newPhone();
  const deep = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
  const malformed: Record<string, string> = {
    nothing: "",
    "half an object": "{",
    null: "null",
    "an array": "[]",
    "a text": '"phone"',
    "a zero byte": "\u0000",
    "a wrong type": '{"phone":1}',
    "an empty text": '{"phone":""}',
    "a list of what should be one": `{"phone":["${phone}"]}`,
    "an object with an operator": `{"phone":{"$ne":null}}`,
    "a missing field": "{}",
    NaN: '{"phone":NaN}',
    Infinity: '{"phone":Infinity}',
    "a number that is none any more": '{"phone":1e999}',
    "a comment": `{"phone":"${phone}"/**/}`,
    "a comma too many": `{"phone":"${phone}",}`,
    "two values": `{"phone":"${phone}"}{}`,
    "half of a surrogate pair": "\ud800",
    "a deep array": deep(MAX_FRAME_BYTES / 2),
    "a deep array inside": `{"phone":"${phone}","x":${deep(30_000)}}`,
    "a name twice": `{"phone":"${phone}","phone":"${phone}"}`,
    "a name twice, written otherwise": `{"phone":"${phone}","\\u0070hone":"${phone}"}`,
    "a name twice, far inside": `{"phone":"${phone}","x":[{"y":{"a":1,"b":[],"a":2}}]}`,
    "a name that sets an object's kind": `{"phone":"${phone}","__proto__":{"admin":true}}`,
    "the same, far inside": `{"phone":"${phone}","x":[[{"__proto__":null}]]}`,
    "the same, written otherwise": `{"phone":"${phone}","__\\u0070roto__":1}`,
  };
  it.each(Object.entries(malformed))("are refused with 400: %s", async (_, body) => {
    await expectProblem(await post(body), 400, "bad_frame");
  });

  it("are refused with 400 where they are no UTF-8", async () => {
    const text = new TextEncoder().encode(`{"phone":"${phone}","x":"?"}`);
    text[text.length - 3] = 0xff;
    await expectProblem(await post(text), 400, "bad_frame");
  });

  it("may hold a name in two objects, and anything inside a text", async () => {
    const shown = vi.spyOn(console, "log").mockImplementation(() => {});
    const body = `{"x":[{"phone":1},{"phone":{}}],"y":"{\\"phone\\":1,\\"__proto__\\":2","phone" : "${phone}"}`;
    expect((await post(body)).status).toBe(200);
    expect(shown).toHaveBeenCalled();
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });

  it.each([
    "text/plain",
    "text/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/jsonp",
    "text/plain; application/json",
    "",
  ])("are refused with 400 as another origin's page could send them unasked: %j", async (type) => {
    await expectProblem(await post(`{"phone":"${phone}"}`, { "content-type": type }), 400, "bad_frame");
  });

  it("above the limit are refused with 413, whether their length is declared or not", async () => {
    await expectProblem(await post(`{"phone":"${"x".repeat(MAX_FRAME_BYTES)}"}`), 413, "too_large");
    await expectProblem(await post(deep(MAX_FRAME_BYTES)), 413, "too_large");
    const { readable, writable } = new TransformStream();
    const writing = new Response("x".repeat(MAX_FRAME_BYTES + 1)).body?.pipeTo(writable).catch(() => {});
    await expectProblem(await post(readable), 413, "too_large");
    await writing;
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

  const published = async (vars: Partial<Env> = {}) =>
    ((await (await call("/.well-known/jwks.json", {}, vars)).json()) as { keys: JWK[] }).keys;
  const signing = { kty: "EC", crv: "P-256", x: keys[0].x, y: keys[0].y, kid: keys[0].kid, alg: "ES256", use: "sig" };

  it("publishes the public keys and nothing of the private ones", async () => {
    expect(await published()).toEqual([signing]);
    const response = await call("/.well-known/jwks.json");
    expect(response.headers.get("cache-control")).toBe("public, max-age=300");
  });

  it("publishes the key that reports are sealed for, and nothing private even if it was set by mistake", async () => {
    const { privateKey } = await generateKeyPair("ES256", { extractable: true });
    const { kty, crv, x, y, d } = (await crypto.subtle.exportKey("jwk", privateKey)) as JWK;
    const REPORT_KEY = JSON.stringify({ kty, crv, x, y, d, kid: "reports", key_ops: ["deriveBits"] });
    expect(await published({ REPORT_KEY })).toEqual([signing, { kty, crv, x, y, kid: "reports", use: "enc" }]);
  });
});

describe("tokens", () => {
  it("takes a valid access token", async () => {
    const { token } = await issueToken(env.TOKEN_KEYS, "access", claims);
    expect((await askTicket(token)).status).toBe(200);
  });

  it("accepts what a former key signed, publishes both, and signs with the first", async () => {
    const { token } = await issueToken(env.TOKEN_KEYS, "access", claims);
    const { privateKey } = await generateKeyPair("ES256", { extractable: true });
    const newKey = { ...((await crypto.subtle.exportKey("jwk", privateKey)) as JWK), kid: "new" };
    const both = { TOKEN_KEYS: JSON.stringify({ keys: [newKey, keys[0]] }) };
    const onlyNew = { TOKEN_KEYS: JSON.stringify({ keys: [newKey] }) };
    const ask = (bearer: string, vars: Partial<Env>) =>
      call("/v1/connect-ticket", { method: "POST", headers: { authorization: `Bearer ${bearer}` } }, vars);
    expect((await ask(token, both)).status).toBe(200);
    await expectProblem(await ask(token, onlyNew), 401, "unauthenticated");
    const { token: newToken } = await issueToken(both.TOKEN_KEYS, "access", claims);
    expect(decodeProtectedHeader(newToken).kid).toBe("new");
    expect((await ask(newToken, onlyNew)).status).toBe(200);
    await expectProblem(await ask(newToken, {}), 401, "unauthenticated");
    const answer = await call("/.well-known/jwks.json", {}, both);
    const { keys: published } = (await answer.json()) as { keys: JWK[] };
    expect(published.map(({ kid }) => kid)).toEqual(["new", keys[0].kid]);
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
    "without a session": () => sign({ family: undefined }),
    "a session that is no text": () => sign({ family: 1 }),
    "a connect ticket": async () => (await issueToken(env.TOKEN_KEYS, "ticket", claims)).token,
    "a refresh token": async () => {
      const session = { family: "1", generation: 1 };
      return (await issueToken(env.TOKEN_KEYS, "refresh", { ...claims, session })).token;
    },
    "a linking device's token": async () => (await issueToken(env.TOKEN_KEYS, "link", { sub: caller.user })).token,
    "a proof": async () =>
      (await issueToken(env.TOKEN_KEYS, "proof", { sub: caller.user, proof: "p", phoneEnd: "0100" })).token,
    "a ticket's type on an access token's claims": () => sign({}, { typ: "sandpiper-ticket+jwt" }),
    "an altered payload": async () => {
      const [header, , signature] = (await sign()).split(".");
      return `${header}.${base64url({ ...decodeJwt(await sign()), sub: ulid() })}.${signature}`;
    },
    oversized: () => sign({ padding: "x".repeat(MAX_TOKEN_CHARS) }),
    "no token at all": () => "",
    "three dots": () => "...",
    "no JSON": () => "YQ.YQ.YQ",
    "JSON that is no object": () => `${base64url(null)}.${base64url([])}.AA`,
  };
  it("takes what is made as these are, without a fault", async () => {
    expect((await askTicket(await sign())).status).toBe(200);
  });

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
    const { token } = await issueToken(env.TOKEN_KEYS, "access", claims);
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
  const ticketOf = async () => (await issueToken(env.TOKEN_KEYS, "ticket", claims)).token;

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
    const { token } = await issueToken(env.TOKEN_KEYS, "access", claims);
    await expectProblem(await call(`/v1/${token}`), 400, "bad_frame");
    await expectProblem(await call(`/health?q=${token}`), 400, "bad_frame");
    for (const name of ["access_token", "refreshToken", "proof", "phone", "pin", "code"]) {
      await expectProblem(await call(`/health?${name}=1`), 400, "bad_frame");
    }
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
    const { token } = await issueToken(env.TOKEN_KEYS, "access", claims);
    await expectProblem(await upgrade(token), 401, "unauthenticated");
    const ticket = await ticketOf();
    vi.useFakeTimers({ now: Date.now() + CONNECT_TICKET_TTL_MS + 1_000, toFake: ["Date"] });
    await expectProblem(await upgrade(ticket), 401, "unauthenticated");
  });
});

describe("with the person's object", () => {
  it("opens a socket that speaks our subprotocol, once a ticket", async () => {
    const { user, device, accessToken } = await signUp();
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
    const { token } = await issueToken(env.TOKEN_KEYS, "ticket", await claimsOf(await signUp()));
    const response = await upgrade(token, {});
    expect(response.status).toBe(101);
    response.webSocket!.accept();
    response.webSocket!.close(1000);
  });

  it("refuses a ticket for a device that the person does not have with 401", async () => {
    const own = await claimsOf(await signUp());
    const { device } = await signUp();
    const { token } = await issueToken(env.TOKEN_KEYS, "ticket", { ...own, device });
    const response = await upgrade(token);
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ status: 401 });
  });

  it("refuses a ticket of another session of the device with 401", async () => {
    const own = await claimsOf(await signUp());
    const { token } = await issueToken(env.TOKEN_KEYS, "ticket", { ...own, family: `${own.family}0` });
    expect((await upgrade(token)).status).toBe(401);
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
    const { token, expiresAt } = await issueToken(env.TOKEN_KEYS, "ticket", claims);
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
      family: claims.family,
      ticketExpiresAt: expiresAt,
    });
  });
});
