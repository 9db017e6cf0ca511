import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { listDevices } from "../shared/api/devices.ts";
import { ACCESS_TOKEN_TTL_MS } from "../shared/limits.ts";
import { DeviceSession } from "./device-session.ts";
import { Http } from "./http.ts";
import type { StoredSession } from "./session-store.ts";
import { MemoryStore } from "./store/memory.ts";
import { device, refusal, signedIn, TestServer, tokens, url, user } from "./test-server.ts";

const REFRESH = "POST /v1/session/refresh";
const TICKET = "POST /v1/connect-ticket";
const DEVICES = "GET /v1/devices";

let server: TestServer;
let store: MemoryStore;
/** How many refresh tokens the server has given out. */
let given: number;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
  [server, store, given] = [new TestServer(), new MemoryStore(), 1];
  server
    .on(REFRESH, ({ body }) => ({
      ...tokens(++given),
      ...((body as { ticket: boolean }).ticket && { ticket: `ticket ${given}` }),
    }))
    .on(TICKET, () => ({ ticket: "ticket", expiresAt: 1 }))
    .on(DEVICES, () => ({ devices: [] }));
  vi.stubGlobal("fetch", server.fetch);
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const begin = () => DeviceSession.begin(signedIn(), new Http(url), store);
const stored: StoredSession = { user, device, refreshToken: "refresh 1", isSignedOut: false };
const resume = (session = stored, http = new Http(url)) => new DeviceSession(session, http, store);
const attempts = () => server.bodies(REFRESH).map((body) => (body as { attempt: string }).attempt);
const tokensUsed = () => server.asked.map(({ headers }) => headers.get("authorization"));
const attempt = expect.stringMatching(/^[\w-]{22}$/);
const expire = () => vi.advanceTimersByTime(ACCESS_TOKEN_TTL_MS);

describe("a session", () => {
  test("is in the store from the sign-in on, and its access token is used as long as it lasts", async () => {
    const session = await begin();
    expect(await store.loadSession()).toEqual(stored);
    await session.call(listDevices);
    vi.advanceTimersByTime(ACCESS_TOKEN_TTL_MS - 31_000);
    await session.call(listDevices);
    expect(server.paths).toEqual([DEVICES, DEVICES]);
    expect(tokensUsed()).toEqual(["Bearer access 1", "Bearer access 1"]);
  });

  test("renews the token shortly before it expires, each time with the refresh token of the time before", async () => {
    const session = await begin();
    for (let count = 0; count < 2; count++) {
      vi.advanceTimersByTime(ACCESS_TOKEN_TTL_MS - 30_000);
      await session.call(listDevices);
    }
    expect(server.paths).toEqual([REFRESH, DEVICES, REFRESH, DEVICES]);
    expect(server.bodies(REFRESH)).toEqual([
      { ticket: false, attempt, refreshToken: "refresh 1" },
      { ticket: false, attempt, refreshToken: "refresh 2" },
    ]);
    expect(new Set(attempts()).size).toBe(2);
    expect(tokensUsed()).toEqual([null, "Bearer access 2", null, "Bearer access 3"]);
    expect(await store.loadSession()).toEqual({ ...stored, refreshToken: "refresh 3" });
  });

  test("everybody who needs a new token waits for the same one", async () => {
    const session = resume();
    await Promise.all([session.call(listDevices), session.call(listDevices), session.refresh(), session.ticket()]);
    expect(server.bodies(REFRESH)).toHaveLength(1);
    await session.refresh();
    expect(server.bodies(REFRESH)).toHaveLength(2);
  });

  test("nothing is done with new tokens before the store has them", async () => {
    const session = resume();
    const save = Promise.withResolvers<void>();
    vi.spyOn(store, "saveSession").mockResolvedValueOnce().mockReturnValueOnce(save.promise);
    const call = session.call(listDevices);
    await vi.waitFor(() => expect(store.saveSession).toHaveBeenCalledWith({ ...stored, refreshToken: "refresh 2" }));
    expect(server.paths).toEqual([REFRESH]);
    save.resolve();
    await call;
    expect(server.paths).toEqual([REFRESH, DEVICES]);
  });

  test("nobody is asked before the store has the attempt's name", async () => {
    const session = resume();
    vi.spyOn(store, "saveSession").mockRejectedValueOnce(new Error("disk full"));
    await expect(session.call(listDevices)).rejects.toMatchObject({ code: "store_failed" });
    expect(server.paths).toEqual([]);
    const save = Promise.withResolvers<void>();
    vi.mocked(store.saveSession).mockReturnValueOnce(save.promise);
    const call = session.call(listDevices);
    await vi.waitFor(() => expect(store.saveSession).toHaveBeenLastCalledWith({ ...stored, attempt }));
    expect(server.paths).toEqual([]);
    save.resolve();
    await call;
    expect(server.paths).toEqual([REFRESH, DEVICES]);
  });

  test("if the store fails, the same attempt is made again: it gets the same answer", async () => {
    const session = resume();
    const saving = vi.spyOn(store, "saveSession");
    saving.mockResolvedValueOnce().mockRejectedValueOnce(new Error("disk full"));
    await expect(session.call(listDevices)).rejects.toMatchObject({ code: "store_failed" });
    await session.call(listDevices);
    const [first, second] = server.bodies(REFRESH);
    expect(second).toEqual(first);
  });

  test("a lost answer leaves the session as it was", async () => {
    const session = resume();
    const answer = server.fetch;
    vi.stubGlobal("fetch", async () => {
      throw new TypeError("network down");
    });
    await expect(session.call(listDevices)).rejects.toMatchObject({ code: "unavailable", retryable: true });
    const left = await store.loadSession();
    expect(left).toEqual({ ...stored, attempt });
    vi.stubGlobal("fetch", answer);
    await session.call(listDevices);
    expect(server.bodies(REFRESH)).toEqual([{ ticket: false, attempt: left?.attempt, refreshToken: "refresh 1" }]);
  });

  test.each([stored, { user, device, isSignedOut: false }])(
    "an attempt whose answer was lost goes on in a later start, and ends once there is one: %j",
    async (from) => {
      const http = () => new Http(url, { cookie: !("refreshToken" in from) });
      const given = server.fetch;
      vi.stubGlobal("fetch", async (...asked: Parameters<typeof server.fetch>) => {
        await given(...asked);
        throw new TypeError("the answer is lost");
      });
      await expect(resume(from, http()).refresh()).rejects.toMatchObject({ code: "unavailable" });
      vi.stubGlobal("fetch", given);
      const left = await store.loadSession();
      expect(left).toEqual({ ...from, attempt });
      const later = resume(left, http());
      await later.refresh();
      expect(await store.loadSession()).not.toHaveProperty("attempt");
      await later.refresh();
      const [first, second, third] = attempts();
      expect([first, second]).toEqual([left?.attempt, left?.attempt]);
      expect(third).not.toBe(first);
    },
  );

  test("a server that has no time now is asked again for the same attempt", async () => {
    const session = resume();
    const given = server.fetch;
    server.on(REFRESH, () => refusal("rate_limited", 429));
    await expect(session.refresh()).rejects.toMatchObject({ code: "rate_limited" });
    expect(given).toBe(server.fetch);
    server.on(REFRESH, () => tokens(2));
    await session.refresh();
    const [first, second] = attempts();
    expect(second).toBe(first);
  });

  test("a token that the server does not take is renewed once, whatever this device's clock says", async () => {
    const session = await begin();
    server.on(DEVICES, ({ headers }) =>
      headers.get("authorization") === "Bearer access 1" ? refusal("unauthenticated", 401) : { devices: [] },
    );
    await Promise.all([session.call(listDevices), session.call(listDevices)]);
    expect(server.bodies(REFRESH)).toHaveLength(1);
    server.on(DEVICES, () => refusal("unauthenticated", 401));
    await expect(session.call(listDevices)).rejects.toMatchObject({ code: "unauthenticated" });
    expect(server.bodies(REFRESH)).toHaveLength(2);
  });

  test("a token that others have renewed meanwhile is not renewed again", async () => {
    const session = await begin();
    const late = Promise.withResolvers<Response>();
    const refusals = [late.promise, refusal("unauthenticated", 401)];
    server.on(DEVICES, ({ headers }) =>
      headers.get("authorization") === "Bearer access 1" ? refusals.shift() : { devices: [] },
    );
    const slow = session.call(listDevices);
    await session.call(listDevices);
    late.resolve(refusal("unauthenticated", 401));
    await slow;
    expect(server.bodies(REFRESH)).toHaveLength(1);
  });

  test("in the browser's care the store has no token, and none is sent", async () => {
    const { refreshToken: _, ...answer } = tokens(2);
    server.on(REFRESH, () => answer);
    const session = resume({ user, device, isSignedOut: false }, new Http(url, { cookie: true }));
    await session.call(listDevices);
    expect(server.asked[0]).toMatchObject({ body: { ticket: false, attempt }, credentials: "include" });
    expect(await store.loadSession()).toEqual({ user, device, isSignedOut: false });
  });
});

describe("a ticket", () => {
  test("comes with the renewal if the token has to be renewed anyway", async () => {
    const session = resume();
    expect(await session.ticket()).toBe("ticket 2");
    expect(server.paths).toEqual([REFRESH]);
  });

  test("is asked for with a token that is still good, or that others wait for already", async () => {
    const session = await begin();
    expect(await session.ticket()).toBe("ticket");
    expire();
    const [, ticket] = await Promise.all([session.call(listDevices), session.ticket()]);
    expect(ticket).toBe("ticket");
    expect(server.paths.toSorted()).toEqual([TICKET, REFRESH, DEVICES, TICKET].toSorted());
  });

  test("comes with a renewal, too, if the one before opened nothing: the device may be signed out", async () => {
    const session = await begin();
    expect(await session.ticket({ renew: true })).toBe("ticket 2");
    server.on(REFRESH, () => refusal("unauthenticated", 401));
    await expect(session.ticket({ renew: true })).rejects.toMatchObject({ code: "signed_out" });
    expect(server.paths).toEqual([REFRESH, REFRESH]);
  });

  test("is never given out twice", async () => {
    const session = resume();
    const [one, other] = await Promise.all([session.ticket(), session.ticket()]);
    expect([one, other]).toEqual(["ticket 2", "ticket"]);
  });
});

describe("the end of a session", () => {
  test("a refresh token that the server does not take ends it, and is told once", async () => {
    const session = resume();
    const told: unknown[] = [];
    session.listeners.add("signed_out", (event) => told.push(event));
    server.on(REFRESH, () => refusal("unauthenticated", 401));
    for (let count = 0; count < 2; count++) {
      await expect(session.ticket()).rejects.toMatchObject({ code: "signed_out", retryable: false });
      await expect(session.call(listDevices)).rejects.toMatchObject({ code: "signed_out" });
      await expect(session.refresh()).rejects.toMatchObject({ code: "signed_out" });
    }
    expect(server.paths).toEqual([REFRESH]);
    expect(told).toEqual([{ user, device }]);
  });

  test("the device is remembered without its token", async () => {
    server.on(REFRESH, () => refusal("unauthenticated", 401));
    await expect(resume().refresh()).rejects.toMatchObject({ code: "signed_out" });
    expect(await store.loadSession()).toEqual({ user, device, isSignedOut: true });
  });

  test("what is forgotten does not come back with a renewal under way", async () => {
    const session = resume();
    const renewal = session.refresh();
    await session.forget();
    await expect(renewal).rejects.toMatchObject({ code: "signed_out" });
    expect(await store.loadSession()).toBeUndefined();
  });
});

test("what is forgotten while it is renewed stays forgotten", async () => {
  const session = await begin();
  server.on(REFRESH, async () => {
    await session.forget();
    return refusal("unauthenticated", 401);
  });
  await expect(session.refresh()).rejects.toMatchObject({ code: "signed_out" });
  expect(await store.loadSession()).toBeUndefined();
});
