import { describe, expect, it } from "vitest";
import {
  type Attempts,
  codeOf,
  guess,
  issue,
  noAttempts,
  redeem,
  withdraw,
} from "../../durable-objects/verification/attempts.ts";
import type { CodeReply, GuessReply } from "../../shared/rpc.ts";

const START = 1_800_000_000_000;
const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

/** One number under a clock that the test sets; the hash of a code or proof is the text itself. */
class Subject {
  now = START;
  attempts: Attempts = noAttempts;
  #codes = 0;
  #proofs = 0;

  issue(): CodeReply {
    const code = `code ${++this.#codes}`;
    const { attempts, reply } = issue(this.attempts, code, code, this.now);
    this.attempts = attempts;
    return reply;
  }

  withdraw(): void {
    this.attempts = withdraw(this.attempts);
  }

  guess(code: string): GuessReply {
    const text = `proof ${++this.#proofs}`;
    const { attempts, reply } = guess(this.attempts, code, { text, hash: text }, this.now);
    this.attempts = attempts;
    return reply;
  }

  redeem(proof: string): boolean {
    const { attempts, reply } = redeem(this.attempts, proof, this.now);
    this.attempts = attempts;
    return reply.ok;
  }

  /** How long until the next code, in minutes. */
  get pause(): number {
    const { reply } = issue(this.attempts, "", "", this.now);
    return reply.ok ? 0 : (reply.nextSendAt - this.now) / MINUTE;
  }
}

describe("the next code", () => {
  it("may be asked for after 1, 2, 5 and then always 10 minutes", () => {
    const subject = new Subject();
    for (const minutes of [1, 2, 5, 10, 10, 10]) {
      expect(subject.issue()).toMatchObject({ ok: true, nextSendAt: subject.now + minutes * MINUTE });
      expect(subject.pause).toBe(minutes);
      subject.now += minutes * MINUTE - 1;
      expect(subject.issue()).toEqual({ ok: false, nextSendAt: subject.now + 1 });
      subject.now += 1;
    }
  });

  it("takes the place of the last one, with all its tries, and a refusal does not", () => {
    const subject = new Subject();
    subject.issue();
    subject.guess("wrong");
    expect(subject.issue()).toMatchObject({ ok: false });
    expect(subject.guess("wrong")).toEqual({ ok: false, triesLeft: 3 });
    subject.now += MINUTE;
    expect(subject.issue()).toMatchObject({ code: "code 3", triesLeft: 5 });
    expect(subject.guess("code 1")).toEqual({ ok: false, triesLeft: 4 });
    expect(subject.guess("code 3")).toMatchObject({ ok: true });
  });

  it("is the last of the day after ten; each is free again a day after it was asked for", () => {
    const subject = new Subject();
    for (let count = 0; count < 10; count++) {
      expect(subject.issue()).toMatchObject({ ok: true });
      subject.now += 60 * MINUTE;
    }
    for (let count = 0; count < 10; count++) {
      const free = START + DAY + count * 60 * MINUTE;
      expect(subject.issue()).toEqual({ ok: false, nextSendAt: free });
      subject.now = free;
      expect(subject.issue()).toMatchObject({ ok: true });
    }
  });

  it("says at once that it is the last of the day", () => {
    const subject = new Subject();
    for (let count = 0; count < 9; count++) {
      subject.issue();
      subject.now += 10 * MINUTE;
    }
    expect(subject.issue()).toMatchObject({ ok: true, nextSendAt: START + DAY });
  });

  it("comes after a minute again when the last day had none", () => {
    const subject = new Subject();
    for (let count = 0; count < 10; count++) {
      subject.issue();
      subject.now += 10 * MINUTE;
    }
    subject.now += DAY;
    expect(subject.issue()).toMatchObject({ ok: true, nextSendAt: subject.now + MINUTE });
    expect(subject.attempts.codes).toHaveLength(1);
  });

  it("is not delayed by a right guess, nor hurried", () => {
    const subject = new Subject();
    subject.issue();
    subject.guess("code 1");
    expect(subject.pause).toBe(1);
  });
});

describe("a code that was not sent", () => {
  it("is void, and another may be asked for at once, with the pause that was due after it", () => {
    const subject = new Subject();
    subject.issue();
    subject.withdraw();
    expect(subject.guess("code 1")).toEqual({ ok: false, triesLeft: 0 });
    expect(subject.pause).toBe(0);
    expect(subject.issue()).toMatchObject({ ok: true, nextSendAt: START + MINUTE });
  });

  it("counts for the day", () => {
    const subject = new Subject();
    for (let count = 0; count < 10; count++) {
      expect(subject.issue()).toMatchObject({ ok: true });
      subject.withdraw();
    }
    expect(subject.issue()).toEqual({ ok: false, nextSendAt: START + DAY });
  });

  it("withdrawn twice is withdrawn once: what was sent before keeps its pause", () => {
    const subject = new Subject();
    subject.issue();
    subject.now += MINUTE;
    subject.issue();
    subject.withdraw();
    const once = subject.attempts;
    subject.withdraw();
    expect(subject.attempts).toBe(once);
    expect(subject.issue()).toMatchObject({ ok: true, nextSendAt: subject.now + 2 * MINUTE });
  });

  it("takes no proof away, and of nothing nothing is withdrawn", () => {
    const subject = new Subject();
    subject.withdraw();
    expect(subject.attempts).toBe(noAttempts);
    subject.issue();
    const reply = subject.guess("code 1");
    subject.withdraw();
    expect(subject.redeem(reply.ok ? reply.proof : "")).toBe(true);
  });
});

describe("a guess", () => {
  it("wrong five times ends the code: no sixth succeeds", () => {
    const subject = new Subject();
    subject.issue();
    const answers = [1, 2, 3, 4, 5].map(() => subject.guess("wrong"));
    expect(answers).toEqual([4, 3, 2, 1, 0].map((triesLeft) => ({ ok: false, triesLeft })));
    expect(subject.guess("code 1")).toEqual({ ok: false, triesLeft: 0 });
  });

  it("right at the fifth try succeeds, once, and a code has ten minutes", () => {
    const subject = new Subject();
    subject.issue();
    for (let count = 0; count < 4; count++) subject.guess("wrong");
    subject.now += 10 * MINUTE - 1;
    const right = subject.guess("code 1");
    expect(right).toEqual({ ok: true, proof: "proof 5", expiresAt: subject.now + 10 * MINUTE });
    expect(subject.guess("code 1")).toEqual({ ok: false, triesLeft: 0 });
  });

  it.each([
    ["never asked", () => {}],
    [
      "expired",
      (subject: Subject) => {
        subject.issue();
        subject.now += 10 * MINUTE;
      },
    ],
  ])("changes nothing where no code is pending: %s", (_, prepare) => {
    const subject = new Subject();
    prepare(subject);
    const before = subject.attempts;
    expect(subject.guess("code 1")).toEqual({ ok: false, triesLeft: 0 });
    expect(subject.attempts).toBe(before);
  });

  it.each(["", "code", "code 11", "Code 1", "code 2"])("is wrong where it only resembles the code: %o", (code) => {
    const subject = new Subject();
    subject.issue();
    expect(subject.guess(code)).toEqual({ ok: false, triesLeft: 4 });
  });
});

describe("a proof", () => {
  it("is good once, for ten minutes, and the next right guess replaces it", () => {
    const subject = new Subject();
    subject.issue();
    subject.guess("code 1");
    expect(subject.redeem("proof 2")).toBe(false);
    subject.now += 10 * MINUTE - 1;
    const early = subject.attempts;
    expect(subject.redeem("proof 1")).toBe(true);
    expect(subject.redeem("proof 1")).toBe(false);
    subject.attempts = early;
    subject.now += 1;
    expect(subject.redeem("proof 1")).toBe(false);
    subject.attempts = early;
    subject.now = START + 10 * MINUTE - 1;
    subject.issue();
    subject.guess("code 2");
    expect(subject.redeem("proof 1")).toBe(false);
    expect(subject.redeem("proof 2")).toBe(true);
  });
});

describe("drawing a code", () => {
  it("gives every code the same number of chances, and pads", () => {
    expect(codeOf(0)).toBe("000000");
    expect(codeOf(1_000_042)).toBe("000042");
    expect(codeOf(4_293_999_999)).toBe("999999");
    expect(codeOf(4_294_000_000)).toBeUndefined();
    expect(codeOf(2 ** 32 - 1)).toBeUndefined();
  });
});
