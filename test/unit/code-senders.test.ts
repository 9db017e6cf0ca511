import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { SMS_TIMEOUT_MS } from "../../shared/limits.ts";
import { codeSender } from "../../workers/gateway/codes/code-sender.ts";
import { CodeNotSent } from "../../workers/gateway/codes/provider.ts";
import type { CodeSettings } from "../../workers/gateway/codes/settings.ts";
import { type Fault, type Provider, ProviderServer } from "./provider-server.ts";
import { ACCOUNT, AUTH_TOKEN, twilioApi } from "./twilio-api.ts";
import { WEBHOOK_SECRET, webhookReceiver } from "./webhook-receiver.ts";

/** Tests do not wait between two tries. */
vi.mock(import("../../shared/limits.ts"), async (original) => ({ ...(await original()), SMS_RETRY_MS: 5 as 500 }));

const PHONE = "+4915112344567";
const CODE = "042917";

let server: ProviderServer;
let sent: Record<string, string>[];

const start = async (provider: (sent: Record<string, string>[]) => Provider) => {
  sent = [];
  server = await ProviderServer.start(provider(sent));
};

/** Whatever is logged while a test runs. */
let logged: string[];
beforeEach(() => {
  logged = [];
  for (const level of ["log", "debug", "info", "warn", "error"] as const)
    vi.spyOn(console, level).mockImplementation((line: string) => void logged.push(line));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await server?.stop();
});

const twilio = (): CodeSettings => ({
  ENVIRONMENT: "development",
  SMS_PROVIDER: "twilio",
  TWILIO_ACCOUNT_SID: ACCOUNT,
  TWILIO_AUTH_TOKEN: AUTH_TOKEN,
  TWILIO_SENDER: "+15005550006",
  TWILIO_API_URL: server.url,
});
const webhook = (): CodeSettings => ({
  ENVIRONMENT: "development",
  SMS_PROVIDER: "webhook",
  SMS_WEBHOOK_URL: `${server.url}/codes?of=sandpiper`,
  SMS_WEBHOOK_SECRET: WEBHOOK_SECRET,
});

/** Sends, and gives back how it failed. */
async function failure(settings: CodeSettings, phone = PHONE): Promise<CodeNotSent> {
  const error = await codeSender(settings)
    .send(phone, CODE)
    .catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(CodeNotSent);
  expectNothingTold(String(error));
  return error as CodeNotSent;
}

/** Neither the log nor the error holds what only the person or the operator may know. */
function expectNothingTold(message: string): void {
  for (const secret of [PHONE, PHONE.slice(1), CODE, AUTH_TOKEN, WEBHOOK_SECRET, "told by the provider"])
    expect([message, ...logged].join("\n")).not.toContain(secret);
}

describe("Twilio", () => {
  beforeEach(() => start(twilioApi));

  it("is asked for one message from a number", async () => {
    await codeSender(twilio()).send(PHONE, CODE);
    expect(sent).toEqual([
      { To: PHONE, From: "+15005550006", Body: expect.stringMatching(/^042917 is your Sandpiper/) },
    ]);
    expect(logged).toEqual([]);
  });

  it("is asked for one message from a messaging service", async () => {
    const service = `MG${"a".repeat(32)}`;
    await codeSender({ ...twilio(), TWILIO_SENDER: service }).send(PHONE, CODE);
    expect(sent).toEqual([{ To: PHONE, MessagingServiceSid: service, Body: expect.stringContaining(CODE) }]);
  });

  it("gets a text that fits one message of GSM letters", async () => {
    await codeSender(twilio()).send(PHONE, CODE);
    expect(sent[0]?.Body).toMatch(/^[A-Za-z0-9 .,:]{1,160}$/);
  });

  it("gets a secret without the line end it was typed with", async () => {
    await codeSender({ ...twilio(), TWILIO_AUTH_TOKEN: `${AUTH_TOKEN}\n` }).send(PHONE, CODE);
    expect(sent).toHaveLength(1);
  });

  it.each([
    ["a wrong token", { TWILIO_AUTH_TOKEN: "f".repeat(32) }, 401],
    ["another account", { TWILIO_ACCOUNT_SID: `AC${"f".repeat(32)}` }, 404],
    ["an account that is a path", { TWILIO_ACCOUNT_SID: "../Accounts" }, 404],
    ["a service that does not exist", { TWILIO_SENDER: "MG1" }, 400],
  ])("refuses %s, and is not asked again", async (_, wrong, status) => {
    expect(await failure({ ...twilio(), ...wrong })).toMatchObject({ status });
    expect(server.asked).toHaveLength(1);
    expect(logged).toEqual([expect.stringContaining(`"status":${status},"provider":"twilio"`)]);
  });

  it("refuses a number that is none, and its answer, which quotes it, goes nowhere", async () => {
    expect(await failure(twilio(), "4915112344567")).toMatchObject({ status: 400 });
  });

  it("is at its public address unless another one is set", async () => {
    const asked = vi.spyOn(globalThis, "fetch").mockResolvedValue(new Response(null, { status: 201 }));
    await codeSender({ ...twilio(), ENVIRONMENT: "production", TWILIO_API_URL: "" }).send(PHONE, CODE);
    expect(String(asked.mock.calls[0]?.[0])).toBe(
      `https://api.twilio.com/2010-04-01/Accounts/${ACCOUNT}/Messages.json`,
    );
  });
});

describe("a webhook", () => {
  beforeEach(() => start(webhookReceiver as typeof twilioApi));

  it("is sent one signed request", async () => {
    await codeSender(webhook()).send(PHONE, CODE);
    expect(sent).toEqual([{ type: "code", phone: PHONE, code: CODE, expiresInMinutes: 10 }]);
    expect(server.asked.map(({ path }) => path)).toEqual(["/codes?of=sandpiper"]);
  });

  it("is sent an id of its own for each code, which a second try keeps", async () => {
    server.faults.push({ status: 500 });
    await codeSender(webhook()).send(PHONE, CODE);
    await codeSender(webhook()).send(PHONE, CODE);
    const [first, again, other] = server.asked.map(({ headers }) => headers["webhook-id"]);
    expect(first).toBe(again);
    expect(other).not.toBe(first);
    expect(sent).toHaveLength(2);
  });

  it("that answered too late to be heard sends no second message", async () => {
    const receive = webhookReceiver(sent);
    await server.stop();
    let isHeard = false;
    server = await ProviderServer.start((asked) => {
      const answered = receive(asked);
      if (isHeard) return answered;
      isHeard = true;
      return { status: 502 };
    });
    await codeSender(webhook()).send(PHONE, CODE);
    expect(server.asked).toHaveLength(2);
    expect(sent).toHaveLength(1);
  });

  it("refuses another secret's signature, and is not asked again", async () => {
    const other = `whsec_${Buffer.alloc(32, 1).toString("base64")}`;
    expect(await failure({ ...webhook(), SMS_WEBHOOK_SECRET: other })).toMatchObject({ status: 401 });
    expect(server.asked).toHaveLength(1);
  });

  it("is sent nothing that is of use to who intercepts it", async () => {
    await codeSender(webhook()).send(PHONE, CODE);
    const { headers, body } = server.asked[0]!;
    const replay = async (changed: { body?: string; headers?: Record<string, string> } = {}) => {
      const names = ["content-type", "webhook-id", "webhook-timestamp", "webhook-signature"];
      const same = Object.fromEntries(names.map((name) => [name, String(headers[name])]));
      const init = { method: "POST", body, ...changed, headers: { ...same, ...changed.headers } };
      return (await fetch(server.url, init)).status;
    };
    expect(await replay()).toBe(204);
    expect(await replay({ headers: { "webhook-id": "msg_other" } })).toBe(401);
    expect(await replay({ body: body.replace(CODE, "000000") })).toBe(401);
    const now = Date.now();
    vi.spyOn(Date, "now").mockReturnValue(now + 302_000);
    expect(await replay()).toBe(401);
    expect(await replay({ headers: { "webhook-timestamp": String(Math.floor(now / 1_000) + 302) } })).toBe(401);
    expect(sent).toHaveLength(1);
  });
});

describe.each([
  ["Twilio", twilioApi, twilio],
  ["a webhook", webhookReceiver as typeof twilioApi, webhook],
])("%s in trouble", (_, provider, settings) => {
  beforeEach(() => start(provider));

  it.each<[string, Fault]>([
    ["429", { status: 429 }],
    ["500", { status: 500 }],
    ["503", { status: 503 }],
    ["a broken connection", "hang up"],
  ])("is asked once more after %s", async (_, fault) => {
    server.faults.push(fault);
    await codeSender(settings()).send(PHONE, CODE);
    expect(server.asked).toHaveLength(2);
    expect(sent).toHaveLength(1);
    expect(logged).toEqual([]);
  });

  it.each<[Fault, number | undefined]>([
    [{ status: 500, body: { message: `told by the provider: ${PHONE} ${CODE}` } }, 500],
    [{ status: 429 }, 429],
    ["hang up", undefined],
  ])("is given up after %o twice", async (fault, status) => {
    server.faults.push(fault, fault);
    expect((await failure(settings())).status).toBe(status);
    expect(server.asked).toHaveLength(2);
    expect(sent).toEqual([]);
    expect(logged).toHaveLength(1);
  });

  it.each([301, 302, 303, 307, 308])("is not followed elsewhere: %d", async (status) => {
    const elsewhere = await ProviderServer.start(provider(sent));
    server.faults.push({ status, headers: { location: `${elsewhere.url}/` } });
    expect(await failure(settings())).toMatchObject({ status });
    expect(server.asked).toHaveLength(1);
    expect(elsewhere.asked).toEqual([]);
    await elsewhere.stop();
  });

  it("is given up when it is down", async () => {
    const stopped = settings();
    await server.stop();
    expect((await failure(stopped)).status).toBeUndefined();
  });

  it("is given up when it takes too long, and not asked again: the message may be on its way", async () => {
    const timeout = AbortSignal.timeout;
    const waited = vi.spyOn(AbortSignal, "timeout").mockImplementation(() => timeout.call(AbortSignal, 50));
    server.faults.push({ delayMs: 200 });
    expect((await failure(settings())).status).toBeUndefined();
    expect(waited).toHaveBeenCalledExactlyOnceWith(SMS_TIMEOUT_MS);
    expect(server.asked).toHaveLength(1);
  });

  it("has the same time for both tries together", async () => {
    const timeout = AbortSignal.timeout;
    vi.spyOn(AbortSignal, "timeout").mockImplementation(() => timeout.call(AbortSignal, 700));
    server.faults.push({ status: 500 }, { delayMs: 2_000 });
    const started = performance.now();
    expect((await failure(settings())).status).toBeUndefined();
    expect(performance.now() - started).toBeLessThan(1_500);
  });
});

describe("the console", () => {
  const settings = { ENVIRONMENT: "development", SMS_PROVIDER: "console" };

  it("shows the code and the number's end in one line", async () => {
    await codeSender(settings).send(PHONE, CODE);
    expect(logged).toEqual(["Sandpiper code for •••4567: 042917"]);
  });

  it.each(["production", "staging", "", "Development"])("shows nothing in %o", async (ENVIRONMENT) => {
    expect((await failure({ ...settings, ENVIRONMENT })).message).toMatch(/SMS_PROVIDER.*"twilio" or "webhook"/);
  });
});

describe("settings", () => {
  beforeEach(() => start(twilioApi));

  it.each(["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_SENDER"] as const)(
    "name %s if it is missing",
    async (name) => {
      const { [name]: _, ...settings } = twilio();
      expect((await failure(settings)).message).toBe(`${name} is not set`);
      expect((await failure({ ...twilio(), [name]: " " })).message).toBe(`${name} is not set`);
      expect(logged).toEqual(Array(2).fill(expect.stringContaining(`${name} is not set`)));
      expect(server.asked).toEqual([]);
    },
  );

  it.each(["SMS_WEBHOOK_URL", "SMS_WEBHOOK_SECRET"] as const)("name %s if it is missing", async (name) => {
    const { [name]: _, ...settings } = webhook();
    expect((await failure(settings)).message).toBe(`${name} is not set`);
  });

  it.each(["abc", "ftp://127.0.0.1/", "javascript:alert(1)"])("name the address that is none: %s", async (url) => {
    expect((await failure({ ...twilio(), TWILIO_API_URL: url })).message).toMatch(/^TWILIO_API_URL/);
    expect((await failure({ ...webhook(), SMS_WEBHOOK_URL: url })).message).toMatch(/^SMS_WEBHOOK_URL/);
  });

  it("refuse to send unencrypted but on a developer's machine", async () => {
    expect((await failure({ ...twilio(), ENVIRONMENT: "production" })).message).toMatch(/^TWILIO_API_URL/);
    expect((await failure({ ...webhook(), ENVIRONMENT: "production" })).message).toMatch(/^SMS_WEBHOOK_URL/);
    expect(server.asked).toEqual([]);
  });

  it.each(["whsec_", "whsec_*", "c2VjcmV0", "WHSEC_c2VjcmV0"])("name the secret that is none: %s", async (secret) => {
    expect((await failure({ ...webhook(), SMS_WEBHOOK_SECRET: secret })).message).toMatch(/^SMS_WEBHOOK_SECRET/);
  });

  it.each([undefined, "", "none", "Twilio", "__proto__"])("name the provider that is none: %s", async (provider) => {
    const settings = { ENVIRONMENT: "production", ...(provider !== undefined && { SMS_PROVIDER: provider }) };
    expect((await failure(settings)).message).toMatch(/^SMS_PROVIDER/);
  });
});
