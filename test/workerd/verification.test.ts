import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { ulid } from "ulid";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { CODE_TTL_MS, MAX_CODE_TRIES, PROOF_TTL_MS, VERIFICATION_WIPE_MS } from "../../shared/limits.ts";
import type { VerificationRpc } from "../../shared/rpc.ts";
import { verificationOf } from "../../workers/gateway/sign-in/verification.ts";
import { alarmOf, crash, fireAlarm } from "./objects.ts";

/** A number that nobody has asked a code for. */
class Phone {
  readonly hash: string;
  readonly attempts: VerificationRpc;

  constructor(hash: string = ulid()) {
    this.hash = hash;
    this.attempts = verificationOf(env, hash);
  }

  get stub(): DurableObjectStub {
    return env.VERIFICATION.getByName(this.hash);
  }

  async code(): Promise<string> {
    const reply = await this.attempts.issueCode();
    if (!reply.ok) throw new Error("no code yet");
    return reply.code;
  }

  stored(): Promise<Map<string, unknown>> {
    return runInDurableObject(this.stub, (_, state) => state.storage.list());
  }

  /** The whole file's text, so that nothing stored can be overlooked. */
  async storedText(): Promise<string> {
    return JSON.stringify([...(await this.stored())]);
  }
}

const unlike = (code: string) => (code === "000000" ? "000001" : "000000");

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** Lets calls overtake each other wherever the object waits for a hash. */
function hashSlowly(): void {
  const sign = crypto.subtle.sign.bind(crypto.subtle);
  vi.spyOn(crypto.subtle, "sign").mockImplementation(async (...args) => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    return sign(...args);
  });
}

const later = (ms: number) => vi.setSystemTime(Date.now() + ms);

describe("a code", () => {
  it("has six digits and says until when, from when on and how often", async () => {
    const now = Date.now();
    expect(await new Phone().attempts.issueCode()).toEqual({
      ok: true,
      code: expect.stringMatching(/^\d{6}$/),
      expiresAt: now + 600_000,
      nextSendAt: now + 60_000,
      triesLeft: 5,
    });
  });

  it("is right once: of 50 right guesses at the same time exactly one succeeds", async () => {
    const phone = new Phone();
    const code = await phone.code();
    hashSlowly();
    const replies = await Promise.all(Array.from({ length: 50 }, () => phone.attempts.guess(code)));
    expect(replies.filter((reply) => reply.ok)).toHaveLength(1);
    expect(replies.filter((reply) => !reply.ok && reply.triesLeft === 0)).toHaveLength(49);
  });

  it("is dead after five wrong guesses, however many come at the same time", async () => {
    const phone = new Phone();
    const code = await phone.code();
    hashSlowly();
    const replies = await Promise.all(Array.from({ length: 50 }, () => phone.attempts.guess(unlike(code))));
    const triesLeft = replies.map((reply) => (reply.ok ? Number.NaN : reply.triesLeft)).sort();
    expect(triesLeft).toEqual([...Array(46).fill(0), 1, 2, 3, 4]);
    expect(await phone.attempts.guess(code)).toEqual({ ok: false, triesLeft: 0 });
  });

  it("of many asked for at the same time is one", async () => {
    const phone = new Phone();
    hashSlowly();
    const replies = await Promise.all(Array.from({ length: 20 }, () => phone.attempts.issueCode()));
    expect(replies.filter((reply) => reply.ok)).toHaveLength(1);
  });

  it("is good for ten minutes", async () => {
    const [late, early] = [new Phone(), new Phone()];
    const codes = [await late.code(), await early.code()] as const;
    later(CODE_TTL_MS - 1);
    expect(await early.attempts.guess(codes[1])).toMatchObject({ ok: true });
    later(1);
    expect(await late.attempts.guess(codes[0])).toEqual({ ok: false, triesLeft: 0 });
  });

  it("of one number is nothing for another", async () => {
    const [alice, bob] = [new Phone(), new Phone()];
    const code = await alice.code();
    await bob.code();
    expect(await bob.attempts.guess(code)).toMatchObject({ ok: false });
  });

  it("gives way to the next one", async () => {
    const phone = new Phone();
    const old = await phone.code();
    later(60_000);
    const code = await phone.code();
    if (code !== old) expect(await phone.attempts.guess(old)).toMatchObject({ ok: false, triesLeft: 4 });
    expect(await phone.attempts.guess(code)).toMatchObject({ ok: true });
  });

  it("that was not sent is void, and another may be asked for at once", async () => {
    const phone = new Phone();
    const code = await phone.code();
    expect(await phone.attempts.issueCode()).toMatchObject({ ok: false });
    expect(await phone.attempts.withdrawCode()).toBeUndefined();
    expect(await phone.attempts.guess(code)).toEqual({ ok: false, triesLeft: 0 });
    expect(await phone.attempts.issueCode()).toMatchObject({ ok: true });
  });

  it("cannot be guessed before one was asked for, and the guess leaves no trace", async () => {
    const phone = new Phone();
    expect(await phone.attempts.guess("123456")).toEqual({ ok: false, triesLeft: 0 });
    expect(await phone.attempts.redeem("proof")).toEqual({ ok: false });
    await phone.attempts.withdrawCode();
    expect(await phone.stored()).toEqual(new Map());
    expect(await alarmOf(phone.stub)).toBeNull();
  });
});

describe("a proof", () => {
  const proven = async () => {
    const phone = new Phone();
    const reply = await phone.attempts.guess(await phone.code());
    if (!reply.ok) throw new Error("a right guess was wrong");
    return { phone, ...reply };
  };

  it("has 256 bits and is good for ten minutes, once", async () => {
    const { phone, proof, expiresAt } = await proven();
    expect(proof).toMatch(/^[\w-]{43}$/);
    expect(expiresAt).toBe(Date.now() + PROOF_TTL_MS);
    expect(await phone.attempts.redeem(`${proof}x`)).toEqual({ ok: false });
    later(PROOF_TTL_MS - 1);
    hashSlowly();
    const replies = await Promise.all(Array.from({ length: 50 }, () => phone.attempts.redeem(proof)));
    expect(replies.filter(({ ok }) => ok)).toHaveLength(1);
  });

  it("is worth nothing after that", async () => {
    const { phone, proof } = await proven();
    later(PROOF_TTL_MS);
    expect(await phone.attempts.redeem(proof)).toEqual({ ok: false });
  });

  it("of one number is nothing for another", async () => {
    const [alice, bob] = [await proven(), await proven()];
    expect(await bob.phone.attempts.redeem(alice.proof)).toEqual({ ok: false });
  });
});

describe("what is stored", () => {
  it("tells neither code nor proof", async () => {
    const phone = new Phone();
    const code = await phone.code();
    expect(await phone.storedText()).not.toContain(code);
    const reply = await phone.attempts.guess(code);
    const text = await phone.storedText();
    expect(reply).toMatchObject({ ok: true });
    expect(text).toContain("proof");
    expect(text).not.toContain(reply.ok && reply.proof);
    expect(text).not.toContain(env.PEPPER);
  });

  it("is another hash of the same code for every number", async () => {
    const phones = [new Phone(), new Phone()];
    vi.spyOn(crypto, "getRandomValues").mockImplementation((array) => array);
    const codes = await Promise.all(phones.map((phone) => phone.code()));
    expect(codes).toEqual(["000000", "000000"]);
    const [one, other] = await Promise.all(phones.map((phone) => phone.storedText()));
    expect(one).toMatch(/"hash":"[\w-]{43}"/);
    expect(one).not.toBe(other);
  });

  it("counts wrong guesses on after a crash: what was answered was on disk", async () => {
    const phone = new Phone();
    const code = await phone.code();
    for (let left = MAX_CODE_TRIES - 1; left >= 0; left--) {
      expect(await phone.attempts.guess(unlike(code))).toEqual({ ok: false, triesLeft: left });
      await crash(phone.stub);
    }
    expect(await phone.attempts.guess(code)).toEqual({ ok: false, triesLeft: 0 });
  });

  it("uses a code up for good", async () => {
    const phone = new Phone();
    const code = await phone.code();
    const reply = await phone.attempts.guess(code);
    await crash(phone.stub);
    expect(await phone.attempts.guess(code)).toEqual({ ok: false, triesLeft: 0 });
    expect(await phone.attempts.redeem(reply.ok ? reply.proof : "")).toEqual({ ok: true });
    await crash(phone.stub);
    expect(await phone.attempts.redeem(reply.ok ? reply.proof : "")).toEqual({ ok: false });
  });

  it("is still known after the object has slept", async () => {
    const phone = new Phone();
    const code = await phone.code();
    await evictDurableObject(phone.stub);
    expect(await phone.attempts.issueCode()).toMatchObject({ ok: false });
    expect(await phone.attempts.guess(code)).toMatchObject({ ok: true });
  });

  it.each(["awake", "asleep"])("is wiped a day after the last thing that happened, %s", async (state) => {
    const phone = new Phone();
    const code = await phone.code();
    later(60_000);
    await phone.attempts.guess(unlike(code));
    expect(await alarmOf(phone.stub)).toBe(Date.now() + VERIFICATION_WIPE_MS);
    if (state === "asleep") await evictDurableObject(phone.stub);
    expect(await fireAlarm(phone.stub)).toBe(true);
    expect(await phone.stored()).toEqual(new Map());
    expect(await alarmOf(phone.stub)).toBeNull();
    expect(await phone.attempts.guess(code)).toEqual({ ok: false, triesLeft: 0 });
    expect(await phone.stored()).toEqual(new Map());
    expect(await phone.attempts.issueCode()).toMatchObject({ ok: true, nextSendAt: Date.now() + 60_000 });
  });
});

describe("the object", () => {
  it.each([
    "/do/call/destroy",
    "/do/call/alarm",
    "/do/call/persist",
    "/do/call/reset",
    "/do/call/constructor",
    "/do/call/guess/",
    "/do/call/guess/x",
    "/do/set/attempts",
    "/do/get-prop/attempts",
    "/do/get-prop/state",
    "/do/Call/guess",
    "/",
  ])("answers nothing but its own methods: not %s", async (path) => {
    const phone = new Phone();
    await phone.code();
    const before = await phone.storedText();
    const response = await phone.stub.fetch(`https://itty-durable${path}`, { headers: { "do-content": "[]" } });
    expect(response.status).toBe(404);
    expect(await response.text()).toBe("");
    expect(await phone.storedText()).toBe(before);
  });

  it.each(["[]", "[1]", "[null]", '[["123456"]]', "[{}]", "nothing", "{}"])(
    "refuses arguments such as %s and says nothing",
    async (args) => {
      const phone = new Phone();
      await phone.code();
      const before = await phone.storedText();
      const response = await phone.stub.fetch("https://itty-durable/do/call/guess", {
        headers: { "do-content": args },
      });
      expect(response.status).toBe(500);
      expect(await response.json()).toEqual({ error: "unavailable" });
      expect(await phone.storedText()).toBe(before);
    },
  );
});
