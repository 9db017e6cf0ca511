import * as v from "valibot";
import { VERIFICATION_WIPE_MS } from "../../shared/limits.ts";
import type { CodeReply, GuessReply, VerificationRpc } from "../../shared/rpc.ts";
import { decodeArgs } from "../runtime/decode.ts";
import type { Env } from "../runtime/env.ts";
import { ittyDurable } from "../runtime/itty.ts";
import { base64url, type HashUse, keyedHash } from "../runtime/keyed-hash.ts";
import { errorFields, log } from "../runtime/log.ts";
import { meter } from "../runtime/meter.ts";
import { type Attempts, codeOf, type Decision, guess, issue, noAttempts, redeem, withdraw } from "./attempts.ts";

/** Everything else that itty-durable lets a request do by name, such as `destroy` or setting a field, stays out of reach. */
const callable = /^\/do\/call\/(issueCode|withdrawCode|guess|redeem)$/;

const PROOF_BYTES = 32;

/**
 * The shell of a number's sign-in attempts. All that takes time, such as hashing, is done before a decision: between
 * reading what stands and setting it anew nothing else can happen.
 */
export class VerificationObject extends ittyDurable(answerError) implements VerificationRpc {
  /** itty-durable stores every public field. */
  attempts: Attempts = noAttempts;
  readonly #pepper: string;

  constructor(state: DurableObjectState, { PEPPER }: Env) {
    // It is given nothing to bind: it would make stubs of every namespace.
    super(state, {});
    this.#pepper = PEPPER;
    state.blockConcurrencyWhile(() => this.loadFromStorage());
  }

  override async fetch(request: Request): Promise<Response> {
    meter.objectFetches++;
    if (!callable.test(new URL(request.url).pathname)) return new Response(null, { status: 404 });
    return super.fetch(request);
  }

  async issueCode(): Promise<CodeReply> {
    const code = drawCode();
    const hash = await this.#hash("code", code);
    return this.#keep(issue(this.attempts, code, hash, Date.now()));
  }

  async withdrawCode(): Promise<void> {
    await this.#keep({ attempts: withdraw(this.attempts), reply: undefined });
  }

  async guess(code: string): Promise<GuessReply> {
    const hash = await this.#hash("code", decodeArgs(v.string(), code));
    const text = base64url(crypto.getRandomValues(new Uint8Array(PROOF_BYTES)));
    const proof = { text, hash: await this.#hash("proof", text) };
    return this.#keep(guess(this.attempts, hash, proof, Date.now()));
  }

  async redeem(proof: string): Promise<{ ok: boolean }> {
    const hash = await this.#hash("proof", decodeArgs(v.string(), proof));
    return this.#keep(redeem(this.attempts, hash, Date.now()));
  }

  /** A day after the last thing that happened, nothing tells any more that anybody signed in with this number. */
  async alarm(): Promise<void> {
    meter.alarms++;
    this.attempts = noAttempts;
    await this.state.storage.deleteAll();
  }

  /** The answer goes out when what it says is on disk; a failure to write it throws the object away with what it decided. */
  async #keep<Reply>({ attempts, reply }: Decision<Reply>): Promise<Reply> {
    if (attempts === this.attempts) return reply;
    this.attempts = attempts;
    await Promise.all([this.persist(), this.state.storage.setAlarm(Date.now() + VERIFICATION_WIPE_MS)]);
    return reply;
  }

  /** The name makes the same code another hash for every number. */
  #hash(use: HashUse, text: string): Promise<string> {
    return keyedHash(this.#pepper, use, `${this.state.id.name}\0${text}`);
  }
}

function drawCode(): string {
  const [drawn = 0] = crypto.getRandomValues(new Uint32Array(1));
  return codeOf(drawn) ?? drawCode();
}

/** What went wrong stays here; the stub reads the text of every error as JSON. */
function answerError(error: unknown): Response {
  log("error", "verification.failed", errorFields(error));
  return Response.json({ error: "unavailable" }, { status: 500 });
}
