import assert from "node:assert/strict";
import { ulid } from "ulid";
import { pollAsNewDevice } from "../../shared/api/devices.ts";
import { getMe } from "../../shared/api/people.ts";
import { refreshSession } from "../../shared/api/session.ts";
import { completeSignIn } from "../../shared/api/sign-in.ts";
import { type Changes, es256, forge, type Sign } from "./forge.ts";
import { type Answer, expectRefusal } from "./http.ts";
import { Line } from "./line.ts";
import type { Account, World } from "./world.ts";

/** The kinds of token, each of which is good at one place. */
export const kinds = ["access", "refresh", "ticket", "link", "proof"] as const;
export type Kind = (typeof kinds)[number];

/** Somebody with one good token of each kind, who knows the server's key besides: the forger with the best cards. */
export class Holder {
  readonly account: Account;
  readonly tokens: Readonly<Record<Kind, string>>;
  readonly sign: Sign;
  readonly #world: World;
  readonly #link: string;

  private constructor(world: World, account: Account, tokens: Record<Kind, string>, link: string) {
    this.#world = world;
    this.account = account;
    this.tokens = tokens;
    this.#link = link;
    this.sign = es256(JSON.parse(world.tokenKeys).keys[0]);
  }

  static async of(world: World): Promise<Holder> {
    const account = await world.signUp();
    const { link, token } = await world.openLink();
    const ticket = await world.ticket(account);
    const { accessToken: access, refreshToken: refresh } = account;
    return new Holder(world, account, { access, refresh, ticket, link: token, proof: await proofOf(world) }, link);
  }

  /** What the token of a kind's place answers to this token. */
  async offer(kind: Kind, token: string): Promise<Answer | Line> {
    const { http } = this.#world;
    switch (kind) {
      case "access":
        return http.ask(getMe, { token });
      case "refresh":
        return http.ask(refreshSession, { body: { refreshToken: token } });
      case "ticket":
        return this.#world.upgrade(token);
      case "link":
        return http.ask(pollAsNewDevice, { token, params: { link: this.#link }, body: { after: 0 } });
      case "proof":
        return http.ask(completeSignIn, { body: { proof: token, device: { name: "phone" } } });
    }
  }

  async expectGood(kind: Kind, token: string): Promise<void> {
    const answer = await this.offer(kind, token);
    if (answer instanceof Line) await answer.close();
    else assert.equal(answer.status, 200, `${kind}: ${answer.text}`);
  }

  async expectBad(kind: Kind, token: string, what: string): Promise<void> {
    const answer = await this.offer(kind, token);
    assert.ok(!(answer instanceof Line), `${what} opened a socket`);
    expectRefusal(answer, 401, "unauthenticated", `${what} as ${kind}`);
  }

  /** Forged from the good one of each kind. */
  async expectAllBad(what: string, changesFor: Changes | ((kind: Kind) => Changes)): Promise<void> {
    for (const kind of kinds) {
      const changes = typeof changesFor === "function" ? changesFor(kind) : changesFor;
      await this.expectBad(kind, forge(this.tokens[kind], this.sign, changes), what);
    }
  }
}

/** A new number's right code with a device that nobody has is refused, with a proof to try again with. */
async function proofOf(world: World): Promise<string> {
  const answer = await world.trySignIn(world.newPhone(), { device: { name: "phone", id: ulid() } });
  const { proof } = expectRefusal(answer, 404, "not_found");
  assert.ok(proof, "the refusal has no proof");
  world.secrets.add("token", proof);
  return proof;
}
