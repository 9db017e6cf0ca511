import {
  CODE_DIGITS,
  CODE_RESEND_MS,
  CODE_TTL_MS,
  MAX_CODE_TRIES,
  MAX_CODES_PER_NUMBER_PER_DAY,
  PROOF_TTL_MS,
} from "../../shared/limits.ts";
import type { CodeReply, GuessReply } from "../../shared/rpc.ts";
import { isSameText } from "../runtime/same-text.ts";

/** A number's sign-in attempts. */
export interface Attempts {
  /** Every code of the last day, oldest first. One that could not be sent delays no other, but counts for the day. */
  readonly codes: readonly { readonly at: number; readonly isSent: boolean }[];
  /** The newest code, while it may still be guessed. */
  readonly pending: (Secret & { readonly triesLeft: number }) | undefined;
  /** What the last right guess was given. */
  readonly proof: Secret | undefined;
}

interface Secret {
  /** Keyed, so that what is stored does not tell it. */
  readonly hash: string;
  /** ms since 1970 */
  readonly expiresAt: number;
}

/** What stands from now on, and the answer. If the very same attempts stand, there is nothing to write. */
export interface Decision<Reply> {
  readonly attempts: Attempts;
  readonly reply: Reply;
}

export const noAttempts: Attempts = { codes: [], pending: undefined, proof: undefined };

const DAY_MS = 24 * 3_600_000;
const CODES = 10 ** CODE_DIGITS;

/**
 * The code that a random number stands for. Above the last whole multiple it stands for none: some codes would be likelier.
 * @param drawn a whole number below 2^32
 */
export function codeOf(drawn: number): string | undefined {
  if (drawn >= 2 ** 32 - (2 ** 32 % CODES)) return undefined;
  return String(drawn % CODES).padStart(CODE_DIGITS, "0");
}

/** A new code takes the place of the one before. */
export function issue(attempts: Attempts, code: string, hash: string, now: number): Decision<CodeReply> {
  const today = attempts.codes.filter(({ at }) => now - at < DAY_MS);
  const earliest = nextSendAt(today);
  if (now < earliest) return { attempts, reply: { ok: false, nextSendAt: earliest } };
  const codes = [...today, { at: now, isSent: true }];
  const expiresAt = now + CODE_TTL_MS;
  return {
    attempts: { ...attempts, codes, pending: { hash, expiresAt, triesLeft: MAX_CODE_TRIES } },
    reply: { ok: true, code, expiresAt, nextSendAt: nextSendAt(codes), triesLeft: MAX_CODE_TRIES },
  };
}

/** The newest code reached nobody. */
export function withdraw(attempts: Attempts): Attempts {
  const newest = attempts.codes.at(-1);
  if (!newest?.isSent) return attempts;
  return { ...attempts, codes: attempts.codes.with(-1, { ...newest, isSent: false }), pending: undefined };
}

/**
 * A right guess uses the code up and is given the proof; the last wrong one ends the code. Where none can be guessed
 * every guess is wrong.
 */
export function guess(
  attempts: Attempts,
  hash: string,
  proof: { readonly text: string; readonly hash: string },
  now: number,
): Decision<GuessReply> {
  const { pending } = attempts;
  if (!pending || now >= pending.expiresAt) return { attempts, reply: { ok: false, triesLeft: 0 } };
  if (isSameText(hash, pending.hash)) {
    const expiresAt = now + PROOF_TTL_MS;
    return {
      attempts: { ...attempts, pending: undefined, proof: { hash: proof.hash, expiresAt } },
      reply: { ok: true, proof: proof.text, expiresAt },
    };
  }
  const triesLeft = pending.triesLeft - 1;
  return {
    attempts: { ...attempts, pending: triesLeft > 0 ? { ...pending, triesLeft } : undefined },
    reply: { ok: false, triesLeft },
  };
}

/** The proof is good once. */
export function redeem(attempts: Attempts, hash: string, now: number): Decision<{ ok: boolean }> {
  const { proof } = attempts;
  if (!proof || now >= proof.expiresAt || !isSameText(hash, proof.hash)) return { attempts, reply: { ok: false } };
  return { attempts: { ...attempts, proof: undefined }, reply: { ok: true } };
}

/** Each code that was sent today makes the pause after the next one longer; a full day has to become less full first. */
function nextSendAt(codes: Attempts["codes"]): number {
  const sent = codes.filter(({ isSent }) => isSent);
  const pauseMs = CODE_RESEND_MS[Math.min(sent.length, CODE_RESEND_MS.length) - 1] ?? 0;
  const oldest = codes.at(-MAX_CODES_PER_NUMBER_PER_DAY);
  return Math.max((sent.at(-1)?.at ?? 0) + pauseMs, oldest ? oldest.at + DAY_MS : 0);
}
