import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CodeReceiver } from "../../scripts/code-receiver.ts";
import { fictitiousPhone } from "../../scripts/fictitious-phone.ts";
import { makeTokenKeys } from "../../scripts/secrets.ts";
import { type System, startSystem } from "../../scripts/system.ts";
import { approveDeviceLink, completeDeviceLink, openDeviceLink } from "../../shared/api/devices.ts";
import { acceptRequest, addContact } from "../../shared/api/people.ts";
import { deleteAccount } from "../../shared/api/rights.ts";
import { connectTicket } from "../../shared/api/session.ts";
import { requestCode, type Session, signIn } from "../../shared/api/sign-in.ts";
import { CODE_RESEND_MS } from "../../shared/limits.ts";
import { Groups } from "./groups.ts";
import { type Answer, type Asked, granted, Http, type Tally } from "./http.ts";
import { Line, type Upgrade, upgrade } from "./line.ts";
import { Secrets } from "./secrets.ts";

/** A signed-in device of a person with this number. */
export interface Account extends Session {
  readonly phone: string;
  readonly refreshToken: string;
}

export interface WorldOptions {
  readonly tally: Tally;
  /** How often a device is revoked to see how long it lasts. */
  readonly trials: number;
  /** As in production: every limit is where it is. */
  readonly isStrict: boolean;
}

/** A running system, and people who sign up there as anybody would. */
export class World {
  readonly http: Http;
  readonly groups: Groups;
  readonly codes: CodeReceiver;
  readonly trials: number;
  /** The secret that the system signs with. */
  readonly tokenKeys: string;
  /** Everything that no log and no storage may hold. */
  readonly secrets = new Secrets();
  /** People who removed their accounts: nothing that is stored may name them. */
  readonly removed: string[] = [];
  /** What cases have measured, for the report. */
  readonly figures: Record<string, number> = {};
  readonly stateDir: string;
  /** Without being told to: what is asked after that fails. */
  hasEnded = false;
  readonly #system: System;
  #people = 0;
  #isStopping = false;

  private constructor(system: System, codes: CodeReceiver, tokenKeys: string, stateDir: string, options: WorldOptions) {
    this.#system = system;
    this.codes = codes;
    this.tokenKeys = tokenKeys;
    this.stateDir = stateDir;
    this.trials = options.trials;
    this.http = new Http(system.url, options.tally);
    this.groups = new Groups(this.http);
    void system.ended.then(() => {
      this.hasEnded = !this.#isStopping;
    });
  }

  static async start(options: WorldOptions): Promise<World> {
    const stateDir = mkdtempSync(join(tmpdir(), "sandpiper-attack-"));
    process.once("exit", () => rmSync(stateDir, { recursive: true, force: true, maxRetries: 3 }));
    const codes = await CodeReceiver.start();
    const tokenKeys = await makeTokenKeys();
    const strict = { SIGN_IN_LIMIT_FACTOR: "1" };
    const wide = { SIGN_IN_LIMIT_FACTOR: "1000", SENDS_PER_MINUTE: "100000" };
    const vars = { ...codes.vars, TOKEN_KEYS: tokenKeys, ...(options.isStrict ? strict : wide) };
    const system = await startSystem({ stateDir, quiet: true, vars });
    return new World(system, codes, tokenKeys, stateDir, options);
  }

  get logFile(): string {
    return this.#system.logFile;
  }

  /** How often the system began anew because its source was changed: that closes sockets, and answers without a code. */
  get reloads(): number {
    return readFileSync(this.logFile, "utf8").split("Reloading local server").length - 1;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#system.stop();
    await this.codes.stop();
  }

  // ── people ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** One that was not used yet. */
  newPhone(): string {
    const phone = fictitiousPhone(this.#people++);
    this.secrets.add("phone", phone.slice(1));
    return phone;
  }

  /** @returns the code as it reached the phone */
  async askCode(phone: string): Promise<string> {
    const count = this.codes.codesFor(phone).length + 1;
    await this.http.get(requestCode, { body: { phone } });
    const code = await this.codes.waitFor(phone, count);
    this.secrets.add("code", code);
    return code;
  }

  /** Asks to be let in, with a code that is right unless the body says otherwise. */
  async trySignIn(phone: string, body: object = {}): Promise<Answer> {
    const code = await this.askCode(phone);
    return this.http.ask(signIn, { body: { phone, code, device: { name: "phone" }, ...body } });
  }

  async signUp(phone = this.newPhone()): Promise<Account> {
    return this.signedIn(phone, granted(signIn, await this.trySignIn(phone)));
  }

  signedIn(phone: string, session: Session): Account {
    const { refreshToken } = session;
    assert.ok(refreshToken, "no refresh token in the answer");
    this.secrets.add("token", session.accessToken);
    this.secrets.add("token", refreshToken);
    return { ...session, phone, refreshToken };
  }

  /** People who know each other: what they write is no request. */
  async friends(): Promise<[Account, Account]> {
    const [one, other] = [await this.signUp(), await this.signUp()];
    await this.http.get(addContact, { token: one.accessToken, params: { user: other.user } });
    await this.http.get(addContact, { token: other.accessToken, params: { user: one.user } });
    return [one, other];
  }

  accept(account: Account, peer: Account): Promise<undefined> {
    return this.http.get(acceptRequest, { token: account.accessToken, params: { user: peer.user } });
  }

  /** Another device of the same person, as its QR code would make it. */
  async link(owner: Account): Promise<Account> {
    const opened = await this.openLink();
    const params = { link: opened.link };
    await this.http.get(approveDeviceLink, { token: owner.accessToken, params, body: { sealed: "AAAA" } });
    const session = await this.http.get(completeDeviceLink, { token: opened.token, params, body: {} });
    return this.signedIn(owner.phone, session);
  }

  /** @returns the signed receipt */
  async remove(account: Account, body: object = {}): Promise<string> {
    const asked = this.as(account, { body: { confirm: "remove my account", ...body } });
    const { removal, receipt } = await this.http.get(deleteAccount, asked);
    assert.ok(removal.completedAt, "the removal is not complete");
    this.removed.push(account.user);
    return receipt;
  }

  async openLink(): Promise<{ link: string; token: string }> {
    const opened = await this.http.get(openDeviceLink, { body: { deviceName: "laptop" } });
    this.secrets.add("token", opened.token);
    return opened;
  }

  // ── sockets ───────────────────────────────────────────────────────────────────────────────────────────────────────

  async ticket({ accessToken }: Account): Promise<string> {
    const { ticket } = await this.http.get(connectTicket, { token: accessToken });
    this.secrets.add("token", ticket);
    return ticket;
  }

  upgrade(ticket: string, how: Upgrade = {}): Promise<Line | Answer> {
    return upgrade(this.http, ticket, how);
  }

  async refusedUpgrade(ticket: string, how: Upgrade = {}): Promise<Answer> {
    const answer = await this.upgrade(ticket, how);
    if (!(answer instanceof Line)) return answer;
    await answer.close();
    throw new Error("the socket opened");
  }

  async open(account: Account): Promise<Line> {
    const line = await this.upgrade(await this.ticket(account));
    assert.ok(line instanceof Line, `the socket did not open: ${JSON.stringify(line)}`);
    line.begin = (conversation) => this.groups.begin(account, conversation);
    return line;
  }

  /** Open, greeted, and with everything that there was. */
  async connect(account: Account): Promise<Line> {
    const line = await this.open(account);
    const { compare } = await line.greet();
    if (compare) await line.sync("all");
    else await line.next("drained", ({ request }) => request === 0);
    return line;
  }

  as({ accessToken }: Account, asked: Asked = {}): Asked {
    return { ...asked, token: accessToken };
  }
}

/** After this another code can be asked for. */
export const nextCodeMs = CODE_RESEND_MS[0] + 500;
