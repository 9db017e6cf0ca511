import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { Hono } from "hono";
import { ulid } from "ulid";
import * as v from "valibot";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Env } from "../../durable-objects/runtime/env.ts";
import { keyedHash } from "../../durable-objects/runtime/keyed-hash.ts";
import { UserObject } from "../../durable-objects/user/object.ts";
import { listDevices } from "../../shared/api/devices.ts";
import { removePin, setPin } from "../../shared/api/people.ts";
import { connectTicket, refreshSession } from "../../shared/api/session.ts";
import { completeSignIn, requestCode, Session, signIn } from "../../shared/api/sign-in.ts";
import {
  CODE_RESEND_MS,
  CODE_TTL_MS,
  MAX_CODE_TRIES,
  MAX_CODES_PER_NUMBER_PER_DAY,
  MAX_DEVICES_PER_USER,
  PIN_DECAY_MS,
  PROOF_TTL_MS,
  type PublicBucket,
  personBuckets,
  publicBuckets,
} from "../../shared/limits.ts";
import type { RegisterDevice } from "../../shared/rpc.ts";
import { type ClaimsOf, issueToken } from "../../workers/gateway/auth/tokens.ts";
import { clientAddress, UNKNOWN_ADDRESS } from "../../workers/gateway/client-address.ts";
import type { GatewayTypes } from "../../workers/gateway/context.ts";
import { buildGateway } from "../../workers/gateway/gateway.ts";
import { hashOfDigest, parsePhone, phoneHashOf } from "../../workers/gateway/sign-in/phone.ts";
import { pinVerifier } from "../../workers/gateway/sign-in/pin.ts";
import {
  type Account,
  anybody,
  askCode,
  call,
  claimsOf,
  codeShown,
  complete,
  HOST,
  newPhone,
  refill,
  requestOf,
  signUp,
} from "./accounts.ts";
import { person, rowsOf, tablesOf } from "./objects.ts";

afterEach(async () => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  for (const bucket of ["code_ip", "guess_ip"] as const) await refill(bucket);
});

interface Problem {
  status: number;
  code: string;
  triesLeft?: number;
  proof?: string;
  canReset?: boolean;
}

async function problemOf(response: Response): Promise<Problem> {
  const { status, code, triesLeft, proof, canReset } = (await response.json()) as Problem;
  expect(status).toBe(response.status);
  return JSON.parse(JSON.stringify({ status, code, triesLeft, proof, canReset }));
}

const ask = (phone: string, headers?: Record<string, string>) =>
  call(requestCode, { body: { phone }, ...(headers && { headers }) });
const device = { name: "test" };
const enter = (phone: string, code: string, fields: object = {}) =>
  call(signIn, { body: { phone, code, device, ...fields } });
/** Signs in with a right code, up to where something is missing. */
const refused = async (phone: string, fields: object = {}) =>
  problemOf(await enter(phone, await askCode(phone), fields));
const continued = async (proof: string | undefined, fields: object = {}) =>
  call(completeSignIn, { body: { proof, device, ...fields } });
const wrong = (code: string) => String((Number(code) + 1) % 1_000_000).padStart(6, "0");
const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const unauthenticated = { status: 401, code: "unauthenticated" };
const inTime = (ms: number) => vi.setSystemTime(Date.now() + ms);

/** A gateway with other surroundings, and what it does after its answer. */
async function behind(vars: Partial<Env>, request: Request): Promise<{ response: Response; settled: Promise<void> }> {
  const context = createExecutionContext();
  const response = await buildGateway().fetch(request, { ...env, ...vars }, context);
  return { response, settled: waitOnExecutionContext(context) };
}

const requestFor = (phone: string) => requestOf(requestCode, { body: { phone } });

describe("a phone number", () => {
  it.each([
    ["+12025550123", "+12025550123"],
    ["+1 (202) 555-0123", "+12025550123"],
    [" +1.202.555.0123 ", "+12025550123"],
    ["+49 (0)1512 3456789", "+4915123456789"],
    ["+39 06 1234 5678", "+390612345678"],
    ["+44\u00a07911\u2009123456", "+447911123456"],
  ])("is the same however it is written: %s", (text, e164) => {
    expect(parsePhone(text).e164).toBe(e164);
  });

  it("shows of itself its last digits, and begins like those sold with it", () => {
    expect(parsePhone("+12025550123")).toEqual({ e164: "+12025550123", end: "0123", prefix: "1202" });
    expect(parsePhone("+4915123456789").prefix).toBe("49151");
  });

  it.each([
    "2025550123",
    "002025550123",
    "+123",
    "+12025550",
    "+1202555012345",
    "+12005550123",
    "+999123456789",
    "+1900555 0123",
    "+1-202-555-CALL",
    "call +12025550123",
    "+12025550123 ext. 5",
    "+12025550123;ext=5",
    "tel:+12025550123",
    "+1202555\u0000123",
    "+١٢٠٢٥٥٥٠١٢٣",
    "++12025550123",
    "+12025550123\u202e",
    "' OR 1=1 --",
  ])("is refused with 400 where it is none, or one that costs more: %j", async (phone) => {
    expect(await problemOf(await ask(phone))).toEqual({ status: 400, code: "phone_invalid" });
    expect(await problemOf(await enter(phone, "123456"))).toEqual({ status: 400, code: "phone_invalid" });
  });

  it("is known by a hash that its digest leads to as well, and that needs the key", async () => {
    const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode("+12025550123")));
    const digest = btoa(String.fromCharCode(...bytes))
      .replace(/\+/g, "-")
      .replace(/\//g, "_")
      .replace(/=/g, "");
    const hash = await phoneHashOf(env, "+12025550123");
    expect(hash).toMatch(/^[\w-]{43}$/);
    expect(await hashOfDigest(env, digest)).toBe(hash);
    expect(await hashOfDigest({ ...env, PEPPER: "another" }, digest)).not.toBe(hash);
  });

  it("stands in no log line, no answer, no database and no object; neither does the code", async () => {
    const lines: string[] = [];
    for (const level of ["debug", "info", "log", "warn", "error"] as const) {
      vi.spyOn(console, level).mockImplementation((...words: unknown[]) => void lines.push(words.join(" ")));
    }
    const phone = "+12125550187";
    const asked = await ask(phone);
    const code = codeShown(
      lines.map((line) => [line]),
      phone,
    );
    const entered = await enter(phone, code);
    const { user } = v.parse(Session, await entered.clone().json());
    const texts = [await asked.text(), await entered.text(), ...[...entered.headers].flat()];
    const { results } = await env.DB.prepare("SELECT * FROM user").all();
    const hash = await phoneHashOf(env, phone);
    const objects = [person(user), env.VERIFICATION.getByName(hash)];
    for (const stub of objects) {
      for (const table of await tablesOf(stub))
        texts.push(JSON.stringify(await rowsOf(stub, `SELECT * FROM "${table}"`)));
    }
    const all = [...texts, JSON.stringify(results), ...lines.filter((line) => !line.startsWith("Sandpiper code"))];
    expect(results).toContainEqual(expect.objectContaining({ id: user, phone_hash: hash, phone_end: "0187" }));
    expect(lines.length).toBeGreaterThan(2);
    for (const text of [...all, ...lines]) expect(text).not.toContain("2125550187");
    for (const text of all) expect(text).not.toContain(code);
  });
});

describe("a code", () => {
  it("is asked for with the same answer whether the number is known or not", async () => {
    vi.spyOn(console, "log").mockImplementation(() => {});
    const known = newPhone();
    await signUp(known);
    inTime(CODE_RESEND_MS[0]);
    // The second code of a number waits longer: the unknown one is asked about for the second time too.
    const unknown = newPhone();
    await ask(unknown);
    inTime(CODE_RESEND_MS[0]);
    const now = Date.now();
    vi.setSystemTime(now);
    const answers = [await ask(known), await ask(unknown)];
    const told = await Promise.all(
      answers.map(async (response) => ({ status: response.status, body: await response.text() })),
    );
    expect(told[0]).toEqual(told[1]);
    expect(JSON.parse(told[0]!.body)).toEqual({
      expiresAt: now + CODE_TTL_MS,
      nextSendAt: now + CODE_RESEND_MS[1],
      triesLeft: MAX_CODE_TRIES,
    });
    const names = answers.map(({ headers }) => [...headers.keys()].toSorted());
    expect(names[0]).toEqual(names[1]);
  });

  it("is answered before anybody looks whose number it is; their devices are told after that", async () => {
    const known = newPhone();
    const { user } = await signUp(known);
    inTime(CODE_RESEND_MS[0]);
    for (const [phone, told] of [
      [known, [user]],
      [newPhone(), []],
    ] as const) {
      const gate = Promise.withResolvers<void>();
      const alerted: string[] = [];
      const { response, settled } = await behind(
        { DB: databaseBehind(gate.promise), USER: alertsTo(alerted) },
        requestFor(phone),
      );
      expect(response.status).toBe(200);
      expect(alerted).toEqual([]);
      gate.resolve();
      await settled;
      expect(alerted).toEqual(told);
    }
  });

  it("is told of to the account's own devices", async () => {
    const raised = vi.spyOn(UserObject.prototype, "raiseAlert");
    const phone = newPhone();
    await signUp(phone);
    inTime(CODE_RESEND_MS[0]);
    const response = await ask(phone);
    await vi.waitFor(() => expect(raised).toHaveBeenCalledOnce());
    expect(raised.mock.calls[0]).toEqual([{ kind: "code_requested", requestId: response.headers.get("x-request-id") }]);
  });

  it("is answered even if nobody can be told", async () => {
    const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
    const DB = databaseBehind(Promise.reject(new Error("secret detail")));
    const { response, settled } = await behind({ DB }, requestFor(newPhone()));
    await settled;
    expect(response.status).toBe(200);
    expect(JSON.stringify(warned.mock.calls)).toContain("alert.failed");
    expect(JSON.stringify(warned.mock.calls)).not.toContain("secret detail");
  });

  it("comes again after 1, 2, 5 and then 10 minutes, and ten times a day", async () => {
    vi.spyOn(console, "log").mockImplementation(() => {});
    const phone = newPhone();
    vi.setSystemTime(Date.now());
    for (let count = 0; count < MAX_CODES_PER_NUMBER_PER_DAY; count++) {
      const pauseMs = CODE_RESEND_MS[Math.min(count, CODE_RESEND_MS.length - 1)]!;
      const response = await ask(phone);
      expect(response.status).toBe(200);
      const isLast = count === MAX_CODES_PER_NUMBER_PER_DAY - 1;
      const { nextSendAt } = (await response.json()) as { nextSendAt: number };
      if (isLast) break;
      expect(nextSendAt - Date.now()).toBe(pauseMs);
      inTime(pauseMs - 1_000);
      const early = await ask(phone);
      expect(early.headers.get("retry-after")).toBe("1");
      expect(await problemOf(early)).toEqual({ status: 429, code: "rate_limited" });
      inTime(1_000);
    }
    inTime(3_600_000);
    const tooMany = await ask(phone);
    expect(Number(tooMany.headers.get("retry-after"))).toBeGreaterThan(12 * 3_600);
    expect(await problemOf(tooMany)).toEqual({ status: 429, code: "rate_limited" });
  });

  it("that could not be sent may be asked for again at once", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const phone = newPhone();
    const { response } = await behind({ SMS_PROVIDER: "pigeon" }, requestFor(phone));
    expect(response.headers.get("retry-after")).toBe("1");
    expect(await problemOf(response)).toEqual({ status: 503, code: "unavailable" });
    await signUp(phone);
  });
});

/** A database that answers only when the gate is open. */
function databaseBehind(gate: Promise<void>): D1Database {
  gate.catch(() => {});
  const behindGate = (statement: D1PreparedStatement): D1PreparedStatement =>
    new Proxy(statement, {
      get: (target, name) => {
        if (name === "bind") return (...values: unknown[]) => behindGate(target.bind(...values));
        return async (...args: unknown[]) => {
          await gate;
          return Reflect.apply(Reflect.get(target, name) as () => unknown, target, args);
        };
      },
    });
  return {
    withSession: (from: string) => {
      const session = env.DB.withSession(from);
      return {
        prepare: (query: string) => behindGate(session.prepare(query)),
        getBookmark: () => session.getBookmark(),
      };
    },
  } as unknown as D1Database;
}

function alertsTo(alerted: string[]): Env["USER"] {
  return {
    getByName: (user: string) => ({ raiseAlert: async () => void alerted.push(user) }),
  } as unknown as Env["USER"];
}

describe("caps", () => {
  /** Nothing comes back while the clock stands still. */
  const drained = async (bucket: PublicBucket, holder: string) => {
    inTime(0);
    const stub = env.LIMITER.getByName(`${bucket}:${holder}`);
    for (let cost: number = publicBuckets[bucket].capacity; cost >= 1; cost = Math.floor(cost / 2)) {
      while ((await stub.take({ bucket, cost })).ok);
    }
    return async () => void (await refill(bucket, holder));
  };
  const limited = { status: 429, code: "rate_limited" };

  it("hold for an address, whatever addresses a client names", async () => {
    const phone = newPhone();
    const refillIt = await drained("code_ip", await anybody());
    for (const name of [
      "cf-connecting-ip",
      "cf-connecting-ipv6",
      "cf-pseudo-ipv4",
      "true-client-ip",
      "x-real-ip",
      "x-forwarded-for",
      "x-client-ip",
      "x-user-ip",
      "x-user-id",
      "forwarded",
      "mf-cf-blob",
    ]) {
      const response = await ask(phone, { [name]: "203.0.113.7" });
      expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(60);
      expect(await problemOf(response)).toEqual(limited);
    }
    await refillIt();
    expect((await ask(phone)).status).toBe(200);
  });

  it("hold for numbers that begin alike, and for all of them", async () => {
    const phone = "+13015550101";
    const refillPrefix = await drained("code_prefix", await keyedHash(env.PEPPER, "prefix", "1301"));
    expect(await problemOf(await ask(phone))).toEqual(limited);
    expect((await ask("+13025550101")).status).toBe(200);
    await refillPrefix();
    const refillAll = await drained("code_global", "all");
    expect(await problemOf(await ask(phone))).toEqual(limited);
    await refillAll();
    expect((await ask(phone)).status).toBe(200);
  });

  it("hold for guesses, with codes and with proofs", async () => {
    const phone = newPhone();
    await signUp(phone);
    inTime(CODE_RESEND_MS[0]);
    const { proof } = await refused(phone, { device: { name: "test", id: ulid() } });
    const refillIt = await drained("guess_ip", await anybody());
    expect(await problemOf(await enter(phone, "123456"))).toEqual(limited);
    expect(await problemOf(await continued(proof))).toEqual(limited);
    await refillIt();
    await complete(proof!);
  });

  it("that cannot be looked up refuse", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const take = async () => {
      throw new Error("down");
    };
    const LIMITER = { getByName: () => ({ take }) } as unknown as Env["LIMITER"];
    const asking = await behind({ LIMITER }, requestFor(newPhone()));
    expect(await problemOf(asking.response)).toEqual({ status: 503, code: "unavailable" });
    const body = { phone: newPhone(), code: "123456", device };
    const guessing = await behind({ LIMITER }, requestOf(signIn, { body }));
    expect(await problemOf(guessing.response)).toEqual({ status: 503, code: "unavailable" });
  });
});

describe("an address", () => {
  const addressOf = async (cf: CfProperties | undefined, header: string | undefined, ENVIRONMENT = "production") => {
    const app = new Hono<GatewayTypes>().get("/", (c) => c.text(clientAddress(c)));
    const headers = {
      "x-forwarded-for": "192.0.2.9",
      "true-client-ip": "192.0.2.9",
      ...(header && { "cf-connecting-ip": header }),
    };
    const request = new Request<unknown, CfProperties>(HOST, { headers, ...(cf && { cf }) });
    return (await app.fetch(request, { ...env, ENVIRONMENT })).text();
  };

  it.each([
    ["192.0.2.1", "192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
    ["2001:0DB8:0001:0002::", "2001:db8:1:2"],
    ["2001:db8::1", "2001:db8:0:0"],
    ["::1", "0:0:0:0"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
  ])("is what the edge says, in IPv6 its network: %s", async (header, address) => {
    expect(await addressOf({ colo: "FRA" }, header)).toBe(address);
  });

  it.each([
    ["192.0.2.1:1234", "192.0.2.1"],
    ["[2001:db8::1]:1234", "2001:db8:0:0"],
  ])("is what the bare engine says, whatever the client does: %s", async (clientIp, address) => {
    expect(await addressOf({ clientIp }, "203.0.113.7")).toBe(address);
  });

  it("is unknown where nobody vouches for it", async () => {
    expect(await addressOf(undefined, "203.0.113.7")).toBe(UNKNOWN_ADDRESS);
    expect(await addressOf({ city: "Austin" }, "203.0.113.7")).toBe(UNKNOWN_ADDRESS);
    expect(await addressOf({ colo: "FRA" }, undefined)).toBe(UNKNOWN_ADDRESS);
    expect(await addressOf({ colo: "DFW", clientIp: "203.0.113.7:1" }, "203.0.113.7", "development")).toBe(
      UNKNOWN_ADDRESS,
    );
  });
});

describe("signing in", () => {
  it("makes an account for a number that has none, and finds it for one that has", async () => {
    const phone = newPhone();
    const first = v.parse(Session, await (await enter(phone, await askCode(phone))).json());
    expect(first).toMatchObject({ isNew: true });
    inTime(CODE_RESEND_MS[0]);
    const second = v.parse(Session, await (await enter(phone, await askCode(phone))).json());
    expect(second).toMatchObject({ user: first.user, isNew: false });
    expect(second.device).not.toBe(first.device);
    const { results } = await env.DB.prepare("SELECT id FROM user WHERE id = ?").bind(first.user).all();
    expect(results).toHaveLength(1);
  });

  it("gives tokens that work, and a bookmark that leads to the new account", async () => {
    const phone = newPhone();
    const response = await enter(phone, await askCode(phone));
    expect(response.headers.get("sandpiper-bookmark")).toMatch(/^[\w-]+$/);
    const { accessToken, refreshToken } = v.parse(Session, await response.json());
    expect((await call(connectTicket, { token: accessToken })).status).toBe(200);
    expect((await call(listDevices, { token: accessToken })).status).toBe(200);
    expect((await call(refreshSession, { body: { refreshToken } })).status).toBe(200);
  });

  it("names the device as its owner does, and the place as the network does", async () => {
    const phone = newPhone();
    const name = "'; DROP TABLE user; -- <b>\u202e";
    const body = { phone, code: await askCode(phone), device: { name } };
    const request = new Request<unknown, CfProperties>(requestOf(signIn, { body }), {
      cf: { city: "Berlin", country: "DE" },
    });
    const { accessToken } = (await (await exports.default.fetch(request)).json()) as Account;
    const { devices } = (await (await call(listDevices, { token: accessToken })).json()) as { devices: object[] };
    expect(devices).toEqual([expect.objectContaining({ name, place: "Berlin, DE", isCurrent: true })]);
  });

  it.each([
    { code: "12345" },
    { code: "1234567" },
    { code: "12345a" },
    { code: "１２３４５６" },
    { code: 123456 },
    { code: { $ne: "" } },
    { pin: "123" },
    { pin: "12ab" },
    { pin: "1".repeat(21) },
    { device: {} },
    { device: { name: "" } },
    { device: { name: "x".repeat(65) } },
    { device: { name: "x", id: "../../other" } },
    { revokeOthers: "yes" },
    { cookie: 1 },
  ])("refuses what no sign-in holds with 400: %j", async (fields) => {
    expect(await problemOf(await enter(newPhone(), "123456", fields))).toEqual({ status: 400, code: "bad_frame" });
  });

  it("refuses a wrong code, and any after five of them", async () => {
    const phone = newPhone();
    const code = await askCode(phone);
    for (let left = MAX_CODE_TRIES - 1; left >= 0; left--) {
      expect(await problemOf(await enter(phone, wrong(code)))).toEqual({
        status: 403,
        code: "code_wrong",
        triesLeft: left,
      });
    }
    expect(await problemOf(await enter(phone, code))).toEqual({ status: 403, code: "code_wrong", triesLeft: 0 });
  });

  it("refuses a code that nobody asked for, that is too old, or another number's", async () => {
    const none = { status: 403, code: "code_wrong", triesLeft: 0 };
    const [phone, other] = [newPhone(), newPhone()];
    expect(await problemOf(await enter(phone, "123456"))).toEqual(none);
    const code = await askCode(phone);
    await askCode(other);
    expect(await problemOf(await enter(other, wrong(code) === code ? "000000" : code))).toMatchObject({
      code: "code_wrong",
    });
    inTime(CODE_TTL_MS);
    expect(await problemOf(await enter(phone, code))).toEqual(none);
  });

  it("lets one in of fifty who have the right code at once", async () => {
    const phone = newPhone();
    const code = await askCode(phone);
    const answers = await Promise.all(Array.from({ length: 50 }, () => enter(phone, code)));
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    expect(statuses.filter((status) => status === 403)).toHaveLength(49);
    const { user } = (await answers.find(({ status }) => status === 200)!.json()) as Account;
    expect(await person(user).listDevices()).toHaveLength(1);
  });

  it("lets one in of fifty who have the right proof at once", async () => {
    const phone = newPhone();
    const { proof } = await refused(phone, { device: { name: "test", id: ulid() } });
    const answers = await Promise.all(Array.from({ length: 50 }, () => continued(proof)));
    const entered = answers.filter(({ status }) => status === 200);
    expect(entered).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(49);
    const { user } = (await entered[0]!.json()) as Account;
    expect(await person(user).listDevices()).toHaveLength(1);
    const { results } = await env.DB.prepare("SELECT id FROM user WHERE phone_hash = ?")
      .bind(await phoneHashOf(env, phone))
      .all();
    expect(results).toEqual([{ id: user }]);
  });
});

describe("a device", () => {
  it("is signed in again under its id, with new tokens", async () => {
    const phone = newPhone();
    const first = await signUp(phone);
    inTime(CODE_RESEND_MS[0]);
    const again = await signUp(phone, { device: { name: "renamed", id: first.device } });
    expect(again).toMatchObject({ user: first.user, device: first.device });
    expect(await person(first.user).listDevices()).toMatchObject([{ device: first.device, name: "renamed" }]);
    expect((await call(refreshSession, { body: { refreshToken: first.refreshToken } })).status).toBe(401);
    expect((await call(refreshSession, { body: { refreshToken: again.refreshToken } })).status).toBe(200);
  });

  it("of another person, or of nobody, is not found; the code is not lost", async () => {
    const phone = newPhone();
    const [mine, other] = [await signUp(phone), await signUp()];
    inTime(CODE_RESEND_MS[0]);
    const { proof, ...problem } = await refused(phone, { device: { name: "test", id: other.device } });
    expect(problem).toEqual({ status: 404, code: "not_found" });
    const second = await problemOf(await continued(proof, { device: { name: "test", id: ulid() } }));
    expect(second).toMatchObject({ status: 404, code: "not_found" });
    expect(await complete(second.proof!)).toMatchObject({ user: mine.user });
    expect(await person(mine.user).listDevices()).toHaveLength(2);
    expect(await person(other.user).listDevices()).toHaveLength(1);
    expect((await call(refreshSession, { body: { refreshToken: other.refreshToken } })).status).toBe(200);
  });

  it("has no id yet in a new account", async () => {
    const phone = newPhone();
    const { proof } = await refused(phone, { device: { name: "test", id: ulid() } });
    const { results } = await env.DB.prepare("SELECT id FROM user WHERE phone_hash = ?")
      .bind(await phoneHashOf(env, phone))
      .all();
    expect(results).toEqual([]);
    await complete(proof!);
  });

  it("too many is refused with 409; with the others removed it comes in", async () => {
    const phone = newPhone();
    const all: Account[] = [];
    for (let count = 0; count < MAX_DEVICES_PER_USER; count++) {
      all.push(await signUp(phone));
      inTime(CODE_RESEND_MS.at(-1)!);
    }
    const { proof, ...problem } = await refused(phone);
    expect(problem).toEqual({ status: 409, code: "too_many_devices", canReset: false });
    const last = await complete(proof!, { revokeOthers: true });
    expect(await person(last.user).listDevices()).toMatchObject([{ device: last.device }]);
    for (const { refreshToken } of all) {
      expect((await call(refreshSession, { body: { refreshToken } })).status).toBe(401);
    }
    expect((await call(refreshSession, { body: { refreshToken: last.refreshToken } })).status).toBe(200);
  });
});

describe("a proof", () => {
  const asked = async () => {
    const phone = newPhone();
    const { proof } = await refused(phone, { device: { name: "test", id: ulid() } });
    return proof!;
  };

  it("is good once", async () => {
    const proof = await asked();
    await complete(proof);
    expect(await problemOf(await continued(proof))).toEqual(unauthenticated);
  });

  it("is good for some minutes", async () => {
    const proof = await asked();
    inTime(PROOF_TTL_MS + 1_000);
    expect(await problemOf(await continued(proof))).toEqual(unauthenticated);
  });

  it("is worth nothing altered, made up, or for another number", async () => {
    const proof = await asked();
    const [header, payload, signature] = proof.split(".");
    const { sub, phoneEnd, ...claims } = JSON.parse(atob(payload!.replace(/-/g, "+").replace(/_/g, "/")));
    const otherHash = await phoneHashOf(env, newPhone());
    const altered = btoa(JSON.stringify({ ...claims, sub: otherHash, phoneEnd })).replace(/=/g, "");
    const forged = [
      `${header}.${altered}.${signature}`,
      (await issueToken(env.TOKEN_KEYS, "proof", { sub: otherHash, proof: claims.proof, phoneEnd })).token,
      (await issueToken(env.TOKEN_KEYS, "proof", { sub, proof: "guessed", phoneEnd })).token,
      (await issueToken(env.TOKEN_KEYS, "access", { sub: ulid(), device: ulid(), family: "1" })).token,
      (await issueToken(env.TOKEN_KEYS, "link", { sub: ulid() })).token,
      "x",
    ];
    for (const token of forged) expect(await problemOf(await continued(token))).toEqual(unauthenticated);
    await complete(proof);
  });

  it("cannot be used as an access token", async () => {
    const proof = await asked();
    expect((await call(connectTicket, { token: proof })).status).toBe(401);
  });
});

describe("an account that is removed while somebody signs in there", () => {
  const inDatabase = async (user: string) =>
    (await env.DB.prepare("SELECT id FROM user WHERE id = ?").bind(user).all()).results;

  async function expectNothingOf(user: string): Promise<void> {
    await vi.waitFor(async () => expect(await person(user).isRegistered()).toBe(false));
    expect(await tablesOf(person(user))).toEqual([]);
    expect(await person(user).listDevices()).toEqual([]);
    expect(await inDatabase(user)).toEqual([]);
  }

  /** Objects in whose way something comes, just before they register a device. */
  function interrupting(work: (user: string) => Promise<unknown>): Env["USER"] {
    const getByName = (user: string) => {
      const stub = person(user);
      const registerDevice = async (asked: RegisterDevice) => {
        await work(user);
        return stub.registerDevice(asked);
      };
      return new Proxy(stub, {
        get: (_, name) => (name === "registerDevice" ? registerDevice : stub[name as keyof typeof stub]),
      });
    };
    return { getByName } as unknown as Env["USER"];
  }

  it("does not come back by that", async () => {
    const phone = newPhone();
    const { user } = await signUp(phone);
    inTime(CODE_RESEND_MS[0]);
    const request = requestOf(signIn, { body: { phone, code: await askCode(phone), device } });
    const USER = interrupting(async (id) => {
      await person(id).removePerson({ requestId: "r" });
      await expectNothingOf(id);
    });
    const { response } = await behind({ USER }, request);
    expect(await problemOf(response)).toEqual(unauthenticated);
    await expectNothingOf(user);
  });

  it("does not come back either if it goes only after it was looked for", async () => {
    const phone = newPhone();
    const user = await onlyInDatabase(phone);
    const request = requestOf(signIn, { body: { phone, code: await askCode(phone), device } });
    let asked = 0;
    const USER = interrupting(async (id) => {
      if (++asked === 2) await env.DB.prepare("DELETE FROM user WHERE id = ?").bind(id).run();
    });
    const { response } = await behind({ USER }, request);
    expect(await problemOf(response)).toEqual(unauthenticated);
    expect(asked).toBe(2);
    await expectNothingOf(user);
  });

  it("leaves nothing behind, whichever comes first", { timeout: 30_000 }, async () => {
    for (let round = 0; round < 10; round++) {
      const phone = newPhone();
      const account = await signUp(phone);
      inTime(CODE_RESEND_MS[0]);
      const code = await askCode(phone);
      const [entered] = await Promise.all([
        enter(phone, code),
        sleep(2 * round).then(() => person(account.user).removePerson({ requestId: "r" })),
      ]);
      expect([200, 401, 429, 503]).toContain(entered.status);
      const session = (await entered.json()) as Partial<Session>;
      await expectNothingOf(account.user);
      if (session.user === account.user) {
        expect((await call(listDevices, { token: session.accessToken! })).status).toBe(401);
      } else if (session.user) expect(await inDatabase(session.user)).toHaveLength(1);
    }
  });
});

/** As a sign-up leaves it that breaks off before its first device. */
async function onlyInDatabase(phone: string): Promise<string> {
  const [id, phoneHash] = [ulid(), await phoneHashOf(env, phone)];
  const insert = env.DB.prepare("INSERT INTO user (id, phone_hash, phone_end, created_at) VALUES (?, ?, ?, ?)");
  await insert.bind(id, phoneHash, phone.slice(-4), Date.now()).run();
  return id;
}

describe("an account that has no device yet, because its sign-up broke off", () => {
  it("is signed in to", async () => {
    const phone = newPhone();
    const user = await onlyInDatabase(phone);
    const account = await signUp(phone);
    expect(account.user).toBe(user);
    expect((await call(listDevices, { token: account.accessToken })).status).toBe(200);
    expect(await person(user).listDevices()).toHaveLength(1);
  });
});

describe("a PIN", () => {
  const PIN = "271828";

  async function withPin(pin = PIN): Promise<{ phone: string; account: Account }> {
    const phone = newPhone();
    const account = await signUp(phone);
    expect((await call(setPin, { token: account.accessToken, body: { pin } })).status).toBe(204);
    inTime(CODE_RESEND_MS[0]);
    return { phone, account };
  }

  it("is asked for beside the code", async () => {
    const { phone, account } = await withPin();
    const { proof, ...problem } = await refused(phone);
    expect(problem).toEqual({ status: 403, code: "pin_required", canReset: false });
    const second = await problemOf(await continued(proof, { pin: "314159" }));
    expect(second).toEqual({ status: 403, code: "pin_wrong", canReset: false, proof: expect.any(String) });
    expect(await complete(second.proof!, { pin: PIN })).toMatchObject({ user: account.user });
  });

  it("may come along with the code, and be changed and removed", async () => {
    const { phone, account } = await withPin();
    expect(await signUp(phone, { pin: PIN })).toMatchObject({ user: account.user });
    const change = { pin: "314159", current: PIN };
    expect((await call(setPin, { token: account.accessToken, body: change })).status).toBe(204);
    inTime(CODE_RESEND_MS[1]);
    expect(await refused(phone, { pin: PIN })).toMatchObject({ code: "pin_wrong" });
    const removal = { current: "314159" };
    expect((await call(removePin, { token: account.accessToken, body: removal })).status).toBe(204);
    inTime(CODE_RESEND_MS[2]);
    expect(await signUp(phone)).toMatchObject({ user: account.user });
  });

  it("is changed and removed by who knows it, whoever holds a device; wrong ones count", async () => {
    const { account } = await withPin();
    const tried = async (endpoint: typeof setPin | typeof removePin, body: object) =>
      problemOf(await call(endpoint, { token: account.accessToken, body }));
    for (const [endpoint, body] of [[setPin, { pin: "1111" }] as const, [removePin, {}] as const]) {
      expect(await tried(endpoint, body)).toMatchObject({ status: 403, code: "pin_required" });
      const wrong = { ...body, current: "000000" };
      expect(await tried(endpoint, wrong)).toMatchObject({ status: 403, code: "pin_wrong" });
    }
    for (let tries = 2; tries < personBuckets.pin.capacity; tries++) {
      expect(await tried(removePin, { current: "000000" })).toMatchObject({ code: "pin_wrong" });
    }
    expect(await tried(removePin, { current: PIN })).toMatchObject({ status: 429, code: "rate_limited" });
    expect(await tried(setPin, { pin: "1111", current: PIN })).toMatchObject({ status: 429, code: "rate_limited" });
    expect((await person(account.user).overview()).hasPin).toBe(true);
  });

  it("that nobody has set needs no other one to be set or removed", async () => {
    const { accessToken: token } = await signUp();
    expect((await call(removePin, { token, body: {} })).status).toBe(204);
    expect((await call(setPin, { token, body: { pin: PIN } })).status).toBe(204);
  });

  it("meets whoever has the number now", async () => {
    const { phone, account } = await withPin();
    const stranger = await refused(phone, { pin: "000000", revokeOthers: true });
    expect(stranger).toMatchObject({ status: 403, code: "pin_wrong", canReset: false });
    expect(await problemOf(await continued(stranger.proof, { reset: true }))).toMatchObject({ code: "pin_required" });
    expect(await person(account.user).listDevices()).toHaveLength(1);
  });

  it("is not guessed: few tries, whatever is signed in with", async () => {
    const { phone } = await withPin();
    let { proof } = await refused(phone);
    const answers: string[] = [];
    for (let tries = 0; tries <= personBuckets.pin.capacity; tries++) {
      const answer = await problemOf(await continued(proof, { pin: `00000${tries}` }));
      answers.push(answer.code);
      proof = answer.proof;
    }
    expect(answers).toEqual([...Array(personBuckets.pin.capacity).fill("pin_wrong"), "rate_limited"]);
    const right = await continued(proof, { pin: PIN });
    expect(Number(right.headers.get("retry-after"))).toBeGreaterThan(3_600);
    expect(await problemOf(right)).toMatchObject({ status: 429, code: "rate_limited", canReset: false });
  });

  it("stands nowhere: what it is compared by differs between people and keys", async () => {
    const { account } = await withPin();
    const texts: string[] = [];
    for (const table of await tablesOf(person(account.user))) {
      texts.push(JSON.stringify(await rowsOf(person(account.user), `SELECT * FROM "${table}"`)));
    }
    const verifier = await pinVerifier(env, account.user, PIN);
    expect(texts.join()).toContain(verifier);
    expect(texts.join()).not.toContain(PIN);
    expect(verifier).toMatch(/^[\w-]{43}$/);
    expect(await pinVerifier(env, ulid(), PIN)).not.toBe(verifier);
    expect(await pinVerifier({ ...env, PEPPER: "another" }, account.user, PIN)).not.toBe(verifier);
  });

  it("of somebody who was not seen for seven days can be given up, with the account", async () => {
    const { phone, account } = await withPin();
    const sevenDays = PIN_DECAY_MS - CODE_RESEND_MS[0];
    inTime(sevenDays - 60_000);
    expect(await refused(phone)).toMatchObject({ code: "pin_required", canReset: false });
    inTime(CODE_RESEND_MS[1]);
    const { proof, ...problem } = await refused(phone);
    expect(problem).toEqual({ status: 403, code: "pin_required", canReset: true });
    const still = await problemOf(await continued(proof, { pin: "000000" }));
    expect(still).toMatchObject({ code: "pin_wrong", canReset: true });

    const heir = v.parse(Session, await (await continued(still.proof, { reset: true })).json());
    expect(heir).toMatchObject({ isNew: true });
    expect(heir.user).not.toBe(account.user);
    const { results } = await env.DB.prepare("SELECT id FROM user WHERE id IN (?, ?)")
      .bind(account.user, heir.user)
      .all();
    expect(results).toEqual([{ id: heir.user }]);
    expect((await call(refreshSession, { body: { refreshToken: account.refreshToken } })).status).toBe(401);
    await vi.waitFor(async () => expect(await person(account.user).isRegistered()).toBe(false));
    inTime(CODE_RESEND_MS[2]);
    expect(await signUp(phone)).toMatchObject({ user: heir.user });
  });

  it("is not given up, nor is anything, by who may enter", async () => {
    const { phone, account } = await withPin();
    inTime(PIN_DECAY_MS);
    const { proof } = await refused(phone);
    expect(await complete(proof!, { reset: true, pin: PIN })).toMatchObject({ user: account.user });
  });

  it("can be set by the person's own devices alone", async () => {
    const { account } = await withPin();
    expect(await problemOf(await call(setPin, { body: { pin: PIN } }))).toMatchObject({ status: 401 });
    const own = await claimsOf(account);
    const asked = async (endpoint: typeof setPin | typeof removePin, claims: ClaimsOf<"access">, pin?: string) => {
      const { token } = await issueToken(env.TOKEN_KEYS, "access", claims);
      return call(endpoint, { token, body: { ...(pin && { pin }), current: PIN } });
    };
    for (const change of [{ device: ulid() }, { family: "1" }]) {
      const elsewhere = { ...own, ...change };
      for (const response of [await asked(setPin, elsewhere, "0000"), await asked(removePin, elsewhere)]) {
        expect(await problemOf(response)).toMatchObject({ status: 401, code: "unauthenticated" });
      }
    }
    expect((await asked(setPin, own, PIN)).status).toBe(204);
    for (const pin of ["123", "12a4", "", 1234, "1".repeat(21)]) {
      const response = await call(setPin, { token: account.accessToken, body: { pin } });
      expect(await problemOf(response)).toMatchObject({ status: 400, code: "bad_frame" });
    }
  });
});
