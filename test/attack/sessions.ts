import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { listDevices, revokeDevice } from "../../shared/api/devices.ts";
import { getMe } from "../../shared/api/people.ts";
import { refreshSession, signOut } from "../../shared/api/session.ts";
import { closeCodes } from "../../shared/errors.ts";
import { REFRESH_GRACE_MS } from "../../shared/limits.ts";
import { cases } from "./case.ts";
import { partsOf } from "./forge.ts";
import { type Answer, expectRefusal, granted } from "./http.ts";
import type { Line } from "./line.ts";
import type { Account, World } from "./world.ts";

const AT_ONCE = 50;

function tryRefresh(world: World, refreshToken: string): Promise<Answer> {
  return world.http.ask(refreshSession, { body: { refreshToken } });
}

async function refresh(world: World, account: Account): Promise<Account> {
  const answer = granted(refreshSession, await tryRefresh(world, account.refreshToken));
  return world.signedIn(account.phone, { ...account, ...answer });
}

/** Nothing of this device's session is good for anything any more. */
async function expectDead(world: World, account: Account): Promise<void> {
  expectRefusal(await world.http.ask(getMe, world.as(account)), 401, "unauthenticated");
  expectRefusal(await tryRefresh(world, account.refreshToken), 401, "unauthenticated");
  expectRefusal(await world.http.ask(listDevices, world.as(account)), 401, "unauthenticated");
}

async function expectAlive(world: World, account: Account): Promise<void> {
  assert.equal((await world.http.get(getMe, world.as(account))).user, account.user);
}

async function expectSignedOut(line: Line): Promise<void> {
  assert.equal((await line.end()).code, closeCodes.signed_out);
  assert.equal(line.of("bye")[0]?.code, "signed_out");
}

export const sessions = [
  ...cases("Sessions", {
    "a refresh token that was replaced twice ends the session everywhere, its socket with 4003": async (world) => {
      const first = await world.signUp();
      const line = await world.connect(first);
      const newest = await refresh(world, await refresh(world, first));
      expectRefusal(await tryRefresh(world, first.refreshToken), 401, "unauthenticated");
      await expectSignedOut(line);
      await expectDead(world, newest);
      await expectDead(world, first);
    },

    "a session that ended so leaves the person's other devices alone": async (world) => {
      const first = await world.signUp();
      const other = await world.link(first);
      const line = await world.connect(other);
      await refresh(world, await refresh(world, first));
      expectRefusal(await tryRefresh(world, first.refreshToken), 401, "unauthenticated");
      await expectAlive(world, other);
      await line.ping();
      assert.equal(line.closed, undefined);
      await line.close();
    },

    "an answer that was lost is given again: the same generation, and one session": async (world) => {
      const first = await world.signUp();
      const [once, again] = [await refresh(world, first), await refresh(world, first)];
      assert.deepEqual(partsOf(again.refreshToken).claims.session, partsOf(once.refreshToken).claims.session);
      await expectAlive(world, await refresh(world, again));
    },

    [`${AT_ONCE} refreshes of one token at once leave one session that goes on`]: async (world) => {
      const first = await world.signUp();
      const answers = await Promise.all(Array.from({ length: AT_ONCE }, () => tryRefresh(world, first.refreshToken)));
      for (const answer of answers) if (answer.status !== 200) expectRefusal(answer, 401, "unauthenticated");
      const all = answers.filter(({ status }) => status === 200).map((answer) => granted(refreshSession, answer));
      assert.ok(all.length > 0, "nobody was given new tokens");
      const session = new Set(all.map(({ refreshToken = "" }) => JSON.stringify(partsOf(refreshToken).claims.session)));
      assert.equal(session.size, 1, `the tokens are of ${session.size} sessions`);
      const next = await refresh(world, world.signedIn(first.phone, { ...first, ...all[0] }));
      await expectAlive(world, next);
      assert.equal((await world.http.get(listDevices, world.as(next))).devices.length, 1);
    },

    "a refresh that asks for a ticket, and never connects, replaces the token all the same": async (world) => {
      const first = await world.signUp();
      const body = { refreshToken: first.refreshToken, ticket: true };
      const { refreshToken = "", ticket = "" } = await world.http.get(refreshSession, { body });
      assert.notEqual(ticket, "");
      const second = world.signedIn(first.phone, { ...first, refreshToken });
      await refresh(world, second);
      expectRefusal(await tryRefresh(world, first.refreshToken), 401, "unauthenticated");
      await expectDead(world, second);
    },

    "who signs out is out, with every token, and the socket closes": async (world) => {
      const account = await world.signUp();
      const line = await world.connect(account);
      const ticket = await world.ticket(account);
      await world.http.get(signOut, world.as(account));
      assert.equal((await line.end()).code, closeCodes.revoked);
      await expectDead(world, account);
      assert.equal((await world.refusedUpgrade(ticket)).status, 401);
    },

    "the tokens of a device that was removed": async (world) => {
      const owner = await world.signUp();
      const lost = await world.link(owner);
      const ticket = await world.ticket(lost);
      await world.http.get(revokeDevice, world.as(owner, { params: { device: lost.device } }));
      await expectDead(world, lost);
      assert.equal((await world.refusedUpgrade(ticket)).status, 401);
      await expectAlive(world, owner);
    },

    "the tokens of a person who removed their account, from all of their devices": async (world) => {
      const owner = await world.signUp();
      const other = await world.link(owner);
      const tickets = [await world.ticket(owner), await world.ticket(other)];
      const line = await world.connect(other);
      await world.remove(owner);
      assert.equal((await line.end()).code, closeCodes.revoked);
      for (const account of [owner, other]) await expectDead(world, account);
      for (const ticket of tickets) assert.equal((await world.refusedUpgrade(ticket)).status, 401);
    },

    "the session cookie: no script reads it, no other site's page uses it": async (world) => {
      const phone = world.newPhone();
      const answer = await world.trySignIn(phone, { cookie: true });
      assert.equal(answer.status, 200, answer.text);
      assert.equal(JSON.parse(answer.text).refreshToken, undefined);
      const set = answer.headers.get("set-cookie") ?? "";
      for (const attribute of [/; HttpOnly/i, /; Secure/i, /; SameSite=Strict/i, /; Path=\/v1\/session(;|$)/i]) {
        assert.match(set, attribute);
      }
      const [cookie = ""] = set.split(";");
      world.secrets.add("token", cookie.slice(cookie.indexOf("=") + 1));
      const from = (origin?: string) =>
        world.http.ask(refreshSession, { body: {}, headers: { cookie, ...(origin !== undefined && { origin }) } });
      for (const origin of [undefined, "null", "https://evil.example"]) {
        expectRefusal(await from(origin), 403, "forbidden_origin");
      }
      const refreshed = await from(world.http.url);
      assert.equal(refreshed.status, 200, refreshed.text);
      assert.equal(JSON.parse(refreshed.text).refreshToken, undefined);
    },
  }),

  ...cases(
    "Sessions",
    {
      "a refresh token used again after the grace ends the session": async (world) => {
        const first = await world.signUp();
        const line = await world.connect(first);
        const second = await refresh(world, first);
        await sleep(REFRESH_GRACE_MS + 1_000);
        expectRefusal(await tryRefresh(world, first.refreshToken), 401, "unauthenticated");
        await expectSignedOut(line);
        await expectDead(world, second);
      },
    },
    { isSlow: true },
  ),
];
