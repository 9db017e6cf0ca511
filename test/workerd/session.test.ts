import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { ulid } from "ulid";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Env } from "../../durable-objects/runtime/env.ts";
import { listDevices } from "../../shared/api/devices.ts";
import type { AnswerOf } from "../../shared/api/endpoint.ts";
import { connectTicket, refreshSession, signOut } from "../../shared/api/session.ts";
import { requestCode, type Session, signIn } from "../../shared/api/sign-in.ts";
import {
  ACCESS_TOKEN_TTL_MS,
  CODE_RESEND_MS,
  CONNECT_TICKET_TTL_MS,
  personBuckets,
  REFRESH_GRACE_MS,
  REFRESH_TOKEN_TTL_MS,
} from "../../shared/limits.ts";
import { SUBPROTOCOL, TICKET_PREFIX } from "../../shared/protocol/version.ts";
import { issueToken, verifyToken } from "../../workers/gateway/auth/tokens.ts";
import { buildGateway } from "../../workers/gateway/gateway.ts";
import {
  type Account,
  type Asked,
  answerOf,
  askCode,
  call,
  claimsOf,
  HOST,
  newPhone,
  ORIGIN,
  requestOf,
  signUp,
} from "./accounts.ts";
import { person } from "./objects.ts";

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

type Tokens = AnswerOf<typeof refreshSession>;

const inTime = (ms: number) => vi.setSystemTime(Date.now() + ms);
const ask = (refreshToken: string, fields: object = {}) => call(refreshSession, { body: { refreshToken, ...fields } });

/** @throws unless the token is good */
async function refreshed(refreshToken: string | undefined, fields: object = {}): Promise<Tokens> {
  return answerOf(refreshSession, await ask(refreshToken!, fields));
}

async function expectRefused(response: Response, status = 401, code = "unauthenticated"): Promise<void> {
  expect(response.status).toBe(status);
  expect(await response.json()).toMatchObject({ status, code });
}

async function behind(vars: Partial<Env>, asked: Asked): Promise<Response> {
  const context = createExecutionContext();
  const response = await buildGateway().fetch(requestOf(refreshSession, asked), { ...env, ...vars }, context);
  await waitOnExecutionContext(context);
  return response;
}

function upgrade(ticket: string): Promise<Response> {
  const headers = { upgrade: "websocket", "sec-websocket-protocol": `${SUBPROTOCOL}, ${TICKET_PREFIX}${ticket}` };
  return exports.default.fetch(new Request(`${HOST}/v1/connect`, { headers }));
}

/** A socket, opened with a ticket as a device does it. */
async function connect(ticket: string): Promise<{ socket: WebSocket; closed: Promise<string> }> {
  const { webSocket: socket } = await upgrade(ticket);
  const closed = new Promise<string>((resolve) => socket!.addEventListener("close", ({ reason }) => resolve(reason)));
  socket!.accept();
  return { socket: socket!, closed };
}

async function ticketOf(account: Account): Promise<string> {
  return (await answerOf(connectTicket, await call(connectTicket, { token: account.accessToken }))).ticket;
}

describe("a refresh token", () => {
  it("is exchanged for new ones, again and again", async () => {
    const account = await signUp();
    let refreshToken: string | undefined = account.refreshToken;
    const seen = new Set([account.refreshToken]);
    for (let count = 0; count < 3; count++) {
      inTime(ACCESS_TOKEN_TTL_MS);
      const tokens = await refreshed(refreshToken);
      expect(tokens.accessExpiresAt).toBe(Math.floor(Date.now() / 1_000) * 1_000 + ACCESS_TOKEN_TTL_MS);
      expect(tokens.refreshExpiresAt).toBe(Math.floor(Date.now() / 1_000) * 1_000 + REFRESH_TOKEN_TTL_MS);
      expect(tokens.ticket).toBeUndefined();
      expect((await call(listDevices, { token: tokens.accessToken })).status).toBe(200);
      refreshToken = tokens.refreshToken;
      seen.add(refreshToken!);
    }
    expect(seen.size).toBe(4);
  });

  it("gives a ticket too, if the device is about to connect", async () => {
    const account = await signUp();
    const { ticket, refreshToken } = await refreshed(account.refreshToken, { ticket: true });
    expect((await verifyToken(env.TOKEN_KEYS, "ticket", ticket!)).sub).toBe(account.user);
    const { socket } = await connect(ticket!);
    await refreshed(refreshToken);
    socket.close();
  });

  it("is forgiven once more within the grace, for its answer may have been lost", async () => {
    const account = await signUp();
    await refreshed(account.refreshToken);
    inTime(REFRESH_GRACE_MS - 1_000);
    const { refreshToken } = await refreshed(account.refreshToken);
    inTime(REFRESH_GRACE_MS + 1_000);
    await refreshed(refreshToken);
  });

  it("R13 that comes again after the grace ends the session: its tokens, its requests and its socket", async () => {
    const account = await signUp();
    const { closed } = await connect(await ticketOf(account));
    const thief = await refreshed(account.refreshToken);
    inTime(REFRESH_GRACE_MS + 1_000);
    await expectRefused(await ask(account.refreshToken));
    await expectRefused(await ask(thief.refreshToken!));
    await expectRefused(await call(listDevices, { token: thief.accessToken }));
    await expectRefused(await call(listDevices, { token: account.accessToken }));
    expect(await closed).toBe("signed_out");
  });

  it("R13 is answered the same again for the same attempt, however late, and for no other one", async () => {
    const [account, attempt] = [await signUp(), "a".repeat(22)];
    const generationOf = async ({ refreshToken }: Tokens) =>
      (await verifyToken(env.TOKEN_KEYS, "refresh", refreshToken!)).session.generation;
    const first = await refreshed(account.refreshToken, { attempt });
    inTime(24 * 3_600_000);
    const again = await refreshed(account.refreshToken, { attempt });
    expect([await generationOf(first), await generationOf(again)]).toEqual([2, 2]);
    const third = await refreshed(again.refreshToken, { attempt: "b".repeat(22) });
    expect(await generationOf(third)).toBe(3);
    inTime(REFRESH_GRACE_MS + 1_000);
    await expectRefused(await ask(again.refreshToken!, { attempt: "c".repeat(22) }));
    await expectRefused(await ask(third.refreshToken!));
  });

  it("is exchanged so often and no oftener, and stays good", async () => {
    const account = await signUp();
    const { capacity, refillMs } = personBuckets.refresh;
    vi.setSystemTime(Date.now());
    let newest: string | undefined = account.refreshToken;
    for (let count = 0; count < capacity; count++) newest = (await refreshed(newest)).refreshToken;
    const response = await ask(newest!);
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    await expectRefused(response, 429, "rate_limited");
    inTime(refillMs);
    await refreshed(newest);
  });

  it("R13 of two generations ago ends the session even within the grace", async () => {
    const account = await signUp();
    const second = await refreshed(account.refreshToken);
    const third = await refreshed(second.refreshToken);
    await expectRefused(await ask(account.refreshToken));
    await expectRefused(await ask(third.refreshToken!));
  });

  it("R13 used fifty times at once leaves one valid family", async () => {
    const account = await signUp();
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask(account.refreshToken)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    const tokens = (await Promise.all(answers.map((answer) => answer.json()))) as Tokens[];
    const verified = await Promise.all(
      tokens.map((each) => verifyToken(env.TOKEN_KEYS, "refresh", each.refreshToken!)),
    );
    expect(new Set(verified.map(({ session }) => JSON.stringify(session))).size).toBe(1);
    expect(verified[0]!.session.generation).toBe(2);
    await refreshed(tokens[0]!.refreshToken);
    inTime(REFRESH_GRACE_MS + 1_000);
    await expectRefused(await ask(tokens[1]!.refreshToken!));
  });

  it("of one device does nothing to the others", async () => {
    const phone = newPhone();
    const first = await signUp(phone);
    inTime(CODE_RESEND_MS[0]);
    const second = await signUp(phone);
    await refreshed(first.refreshToken);
    inTime(REFRESH_GRACE_MS + 1_000);
    await expectRefused(await ask(first.refreshToken));
    await refreshed(second.refreshToken);
  });

  it("is good until the device was not seen for very long", async () => {
    const account = await signUp();
    inTime(REFRESH_TOKEN_TTL_MS - 60_000);
    const { refreshToken } = await refreshed(account.refreshToken);
    inTime(REFRESH_TOKEN_TTL_MS + 1_000);
    await expectRefused(await ask(refreshToken!));
  });

  const session = { family: "1", generation: 1 };
  const forgeries: Record<string, (account: Account) => Promise<string> | string> = {
    "an access token": ({ accessToken }) => accessToken,
    "a ticket": ticketOf,
    "another family's": async ({ user, device }) =>
      (await issueToken(env.TOKEN_KEYS, "refresh", { sub: user, device, session })).token,
    "another device's": async (account) => {
      const { session: real } = await verifyToken(env.TOKEN_KEYS, "refresh", account.refreshToken);
      return (await issueToken(env.TOKEN_KEYS, "refresh", { sub: account.user, device: ulid(), session: real })).token;
    },
    "another person's": async (account) => {
      const { session: real } = await verifyToken(env.TOKEN_KEYS, "refresh", account.refreshToken);
      return (await issueToken(env.TOKEN_KEYS, "refresh", { sub: ulid(), device: account.device, session: real }))
        .token;
    },
    "one without a signature": ({ refreshToken }) => {
      const header = btoa(JSON.stringify({ alg: "none", typ: "sandpiper-refresh+jwt" })).replace(/=/g, "");
      return `${header}.${refreshToken.split(".")[1]}.`;
    },
    "one with another's claims": async ({ refreshToken }) => {
      const other = await signUp();
      const [header, , signature] = refreshToken.split(".");
      return `${header}.${other.refreshToken.split(".")[1]}.${signature}`;
    },
    "no token": () => "x",
  };
  it("is what is made as these are, without a fault", async () => {
    const { user: sub, device, refreshToken } = await signUp();
    const { session: real } = await verifyToken(env.TOKEN_KEYS, "refresh", refreshToken);
    await refreshed((await issueToken(env.TOKEN_KEYS, "refresh", { sub, device, session: real })).token);
  });

  it.each(Object.entries(forgeries))("is not: %s", async (_, forge) => {
    const account = await signUp();
    await expectRefused(await ask(await forge(account)));
    await refreshed(account.refreshToken);
  });

  it("is no access token", async () => {
    const { refreshToken } = await signUp();
    await expectRefused(await call(connectTicket, { token: refreshToken }));
    await expectRefused(await call(listDevices, { token: refreshToken }));
  });

  const bodies = [{ refreshToken: "" }, { refreshToken: "x".repeat(4_097) }, { refreshToken: null }, { ticket: "yes" }];
  const attempts = ["", "x".repeat(15), "x".repeat(65), `${"x".repeat(16)}.`, 1, null].map((attempt) => ({ attempt }));
  it.each([...bodies, ...attempts])("is asked for properly: %j", async (wrong) => {
    const { refreshToken } = await signUp();
    await expectRefused(await call(refreshSession, { body: { refreshToken, ...wrong } }), 400, "bad_frame");
    await refreshed(refreshToken);
  });

  it("does not depend on the limiter, and stays good if its person cannot be reached", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    vi.spyOn(console, "error").mockImplementation(() => {});
    const down = async () => {
      throw new Error("down");
    };
    const account = await signUp();
    const body = { refreshToken: account.refreshToken };
    const USER = { getByName: () => ({ refresh: down }) } as unknown as Env["USER"];
    await expectRefused(await behind({ USER }, { body }), 503, "unavailable");
    const LIMITER = { getByName: () => ({ take: down }) } as unknown as Env["LIMITER"];
    expect((await behind({ LIMITER }, { body })).status).toBe(200);
  });
});

describe("a session in a cookie", () => {
  const COOKIE = "sandpiper-refresh";

  async function signInPage(host = HOST): Promise<{ session: Session; cookie: string }> {
    const phone = newPhone();
    const body = { phone, code: await askCode(phone), device: { name: "page" }, cookie: true };
    const response = await call(signIn, { body, host, headers: { origin: ORIGIN } });
    const cookie = response.headers.get("set-cookie")!;
    return { session: await answerOf(signIn, response), cookie };
  }
  const tokenIn = (cookie: string) => cookie.split(";")[0]!.split("=")[1]!;
  const refreshWith = (cookie: string, headers: Record<string, string> = { origin: ORIGIN }, host = HOST) =>
    call(refreshSession, { body: {}, headers: { cookie, ...headers }, host });
  const attributes = `Max-Age=${REFRESH_TOKEN_TTL_MS / 1_000}; Path=/v1/session; HttpOnly; Secure; SameSite=Strict`;

  it("is out of any script's reach, and good for the session alone", async () => {
    const { session, cookie } = await signInPage();
    expect(session.refreshToken).toBeUndefined();
    expect(cookie).toBe(`${COOKIE}=${tokenIn(cookie)}; ${attributes}`);
    await verifyToken(env.TOKEN_KEYS, "refresh", tokenIn(cookie));
  });

  it("has a name that only an encrypted page can set, wherever there is encryption", async () => {
    const host = "https://chat.example";
    const { cookie } = await signInPage(host);
    expect(cookie).toBe(`__Secure-${COOKIE}=${tokenIn(cookie)}; ${attributes}`);
    await expectRefused(await refreshWith(`${COOKIE}=${tokenIn(cookie)}`, { origin: ORIGIN }, host));
    expect((await refreshWith(`__Secure-${COOKIE}=${tokenIn(cookie)}`, { origin: ORIGIN }, host)).status).toBe(200);
  });

  it("is refreshed in place, and its answer holds no refresh token", async () => {
    const { session, cookie } = await signInPage();
    const response = await refreshWith(`${COOKIE}=${tokenIn(cookie)}; other=1`);
    expect(response.status).toBe(200);
    const next = response.headers.get("set-cookie")!;
    expect(next).toBe(`${COOKIE}=${tokenIn(next)}; ${attributes}`);
    const tokens = (await response.json()) as Tokens;
    expect(Object.keys(tokens).toSorted()).toEqual(["accessExpiresAt", "accessToken", "refreshExpiresAt"]);
    expect((await call(listDevices, { token: tokens.accessToken })).status).toBe(200);
    expect((await verifyToken(env.TOKEN_KEYS, "refresh", tokenIn(next))).device).toBe(session.device);
  });

  it("is refused to whoever is no page of ours", async () => {
    const { cookie } = await signInPage();
    const sent = `${COOKIE}=${tokenIn(cookie)}`;
    for (const headers of [{}, { origin: "https://evil.example" }, { origin: "null" }]) {
      const response = await refreshWith(sent, headers as Record<string, string>);
      expect(response.headers.get("set-cookie")).toBeNull();
      await expectRefused(response, 403, "forbidden_origin");
    }
    expect((await refreshWith(sent)).status).toBe(200);
  });

  it("is removed when it is no good any more, and only then", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const { session, cookie } = await signInPage();
    const sent = `${COOKIE}=${tokenIn(cookie)}`;
    const down = async () => {
      throw new Error("down");
    };
    const USER = { getByName: () => ({ refresh: down }) } as unknown as Env["USER"];
    const passing = await behind({ USER }, { body: {}, headers: { cookie: sent, origin: ORIGIN } });
    expect(passing.headers.get("set-cookie")).toBeNull();
    await expectRefused(passing, 503, "unavailable");
    await person(session.user).revokeDevice({ device: session.device, requestId: "r" });
    for (const worthless of [sent, `${COOKIE}=x`]) {
      const response = await refreshWith(worthless);
      expect(response.headers.get("set-cookie")).toBe(`${COOKIE}=; ${attributes.replace(/\d+/, "0")}`);
      await expectRefused(response);
    }
    const without = await refreshWith("other=1");
    expect(without.headers.get("set-cookie")).toBeNull();
    await expectRefused(without);
  });

  it("gives way to a token that is named", async () => {
    const [{ cookie }, other] = [await signInPage(), await signUp()];
    const headers = { cookie: `${COOKIE}=${tokenIn(cookie)}`, origin: ORIGIN };
    const response = await call(refreshSession, { body: { refreshToken: other.refreshToken }, headers });
    expect(response.headers.get("set-cookie")).toBeNull();
    const { accessToken } = (await response.json()) as Tokens;
    expect((await verifyToken(env.TOKEN_KEYS, "access", accessToken)).sub).toBe(other.user);
  });

  it("opens nothing else", async () => {
    const { cookie } = await signInPage();
    const headers = { cookie: `${COOKIE}=${tokenIn(cookie)}`, origin: ORIGIN };
    for (const endpoint of [signOut, connectTicket, listDevices]) {
      await expectRefused(await call(endpoint, { headers }));
    }
    expect((await call(requestCode, { body: { phone: "+123456" }, headers })).status).toBe(400);
  });
});

describe("signing out", () => {
  it("removes the device, its tokens, its socket and its cookie", async () => {
    const account = await signUp();
    const { closed } = await connect(await ticketOf(account));
    const response = await call(signOut, { token: account.accessToken });
    expect(response.status).toBe(204);
    expect(response.headers.get("set-cookie")).toContain("sandpiper-refresh=; Max-Age=0; Path=/v1/session");
    expect(await closed).toBe("revoked");
    expect(await person(account.user).listDevices()).toEqual([]);
    await expectRefused(await ask(account.refreshToken));
    await expectRefused(await call(signOut, { token: account.accessToken }));
  });

  it("leaves the other devices alone", async () => {
    const phone = newPhone();
    const first = await signUp(phone);
    inTime(CODE_RESEND_MS[0]);
    const second = await signUp(phone);
    await call(signOut, { token: first.accessToken });
    await refreshed(second.refreshToken);
  });

  it("needs a token of a device that is the person's", async () => {
    const account = await signUp();
    const { user } = account;
    const own = await claimsOf(account);
    const minted = async (change: object) => (await issueToken(env.TOKEN_KEYS, "access", { ...own, ...change })).token;
    expect((await call(listDevices, { token: await minted({}) })).status).toBe(200);
    await expectRefused(await call(signOut, { token: await minted({ device: ulid() }) }));
    await expectRefused(await call(signOut, { token: await minted({ family: "1" }) }));
    await expectRefused(await call(signOut));
    expect(await person(user).listDevices()).toHaveLength(1);
  });
});

describe("a device that signs in again", () => {
  it("R13 has a new session, and nothing of the one before is good any more", async () => {
    const phone = newPhone();
    const before = await signUp(phone);
    inTime(CODE_RESEND_MS[0]);
    const again = await signUp(phone, { device: { name: "test", id: before.device } });
    expect(again).toMatchObject({ user: before.user, device: before.device });
    await expectRefused(await call(listDevices, { token: before.accessToken }));
    await expectRefused(await upgrade(await ticketOf(before)), 401, "signed_out");
    expect((await call(listDevices, { token: again.accessToken })).status).toBe(200);
    (await connect(await ticketOf(again))).socket.close();
    const { accessToken, refreshToken, ticket: next } = await refreshed(again.refreshToken, { ticket: true });
    expect((await call(listDevices, { token: accessToken })).status).toBe(200);
    (await connect(next!)).socket.close();
    await refreshed(refreshToken);
  });
});

describe("a ticket", () => {
  it("is what the endpoint says, and good for a moment", async () => {
    const { accessToken } = await signUp();
    const { expiresAt } = await answerOf(connectTicket, await call(connectTicket, { token: accessToken }));
    expect(expiresAt - Date.now()).toBeLessThanOrEqual(CONNECT_TICKET_TTL_MS);
  });
});

describe("a person who is gone", () => {
  it("is nobody to any of their tokens", async () => {
    const account = await signUp();
    const claims = await claimsOf(account);
    await person(account.user).removePerson({ requestId: "r" });
    await expectRefused(await ask(account.refreshToken));
    await expectRefused(await call(listDevices, { token: account.accessToken }));
    await expectRefused(await call(signOut, { token: account.accessToken }));
    const { token } = await issueToken(env.TOKEN_KEYS, "ticket", claims);
    const response = await upgrade(token);
    expect(response.webSocket).toBeFalsy();
    expect(response.status).toBe(401);
  });
});
