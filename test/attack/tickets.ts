import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { CONNECT_TICKET_TTL_MS } from "../../shared/limits.ts";
import { SUBPROTOCOL, TICKET_PREFIX } from "../../shared/protocol/version.ts";
import { cases } from "./case.ts";
import { forge } from "./forge.ts";
import { Holder } from "./holder.ts";
import { expectRefusal } from "./http.ts";
import { Line } from "./line.ts";

const AT_ONCE = 10;

export const tickets = [
  ...cases("Tickets", {
    "a ticket opens one socket, also after that one has closed": async (world) => {
      const account = await world.signUp();
      const ticket = await world.ticket(account);
      const line = await world.upgrade(ticket);
      assert.ok(line instanceof Line);
      expectRefusal(await world.refusedUpgrade(ticket), 401, "unauthenticated");
      await line.ping();
      assert.equal(line.closed, undefined, "the refused one ended the first");
      await line.close();
      expectRefusal(await world.refusedUpgrade(ticket), 401, "unauthenticated");
    },

    [`${AT_ONCE} upgrades at once with one ticket open one socket`]: async (world) => {
      const ticket = await world.ticket(await world.signUp());
      const answers = await Promise.all(Array.from({ length: AT_ONCE }, () => world.upgrade(ticket)));
      const lines = answers.filter((answer) => answer instanceof Line);
      assert.equal(lines.length, 1);
      for (const answer of answers) if (!(answer instanceof Line)) expectRefusal(answer, 401, "unauthenticated");
      await lines[0]?.close();
    },

    "a ticket that is expired, or not valid yet": async (world) => {
      const holder = await Holder.of(world);
      const now = Math.floor(Date.now() / 1_000);
      const ticket = (claims: object) => forge(holder.tokens.ticket, holder.sign, { claims: { ...claims } });
      for (const claims of [{ exp: now - 1 }, { exp: now }, { nbf: now + 30 }]) {
        expectRefusal(await world.refusedUpgrade(ticket(claims)), 401, "unauthenticated");
      }
      const line = await world.upgrade(ticket({ exp: now + 30 }));
      assert.ok(line instanceof Line, "a good one did not open");
      await line.close();
    },

    "another device's ticket speaks for that device alone": async (world) => {
      const owner = await world.signUp();
      const other = await world.link(owner);
      const line = await world.upgrade(await world.ticket(other));
      assert.ok(line instanceof Line);
      assert.equal((await line.greet()).device, other.device);
      await line.close();
      const holder = await Holder.of(world);
      const claims = { sub: holder.account.user, device: other.device };
      const stolen = forge(holder.tokens.ticket, holder.sign, { claims });
      assert.equal((await world.refusedUpgrade(stolen)).status, 401);
    },

    "no ticket, two, or one that is not offered as ours": async (world) => {
      const account = await world.signUp();
      const ticket = `${TICKET_PREFIX}${await world.ticket(account)}`;
      const another = `${TICKET_PREFIX}${await world.ticket(account)}`;
      const offering = (...protocols: string[]) => world.refusedUpgrade("", { protocols });
      expectRefusal(await offering(SUBPROTOCOL), 401, "unauthenticated");
      expectRefusal(await offering(SUBPROTOCOL, TICKET_PREFIX), 401, "unauthenticated");
      expectRefusal(await offering(SUBPROTOCOL, ticket, another), 401, "unauthenticated");
      expectRefusal(await offering(ticket), 400, "bad_frame");
      expectRefusal(await offering("sandpiper.v0", ticket), 400, "bad_frame");
      const headers = { authorization: `Bearer ${account.accessToken}` };
      expectRefusal(await world.refusedUpgrade("", { protocols: [SUBPROTOCOL], headers }), 401, "unauthenticated");
    },

    "a token or ticket in any URL is refused with 400": async (world) => {
      const account = await world.signUp();
      const ticket = await world.ticket(account);
      for (const name of ["ticket", "token", "access_token", "x", ""]) {
        const path = `/v1/connect?${name}=${ticket}`;
        expectRefusal(await world.refusedUpgrade(ticket, { path }), 400, "bad_frame");
      }
      const paths = ["/v1/me?access_token=", "/v1/me?x=", "/health?q=", "/v1/", "/v1/devices/", "/v1/users/"];
      for (const path of paths) {
        const answer = await world.http.send(`${path}${account.accessToken}`);
        expectRefusal(answer, 400, "bad_frame");
      }
    },
  }),

  ...cases(
    "Tickets",
    {
      "a ticket nobody used for its whole life": async (world) => {
        const ticket = await world.ticket(await world.signUp());
        await sleep(CONNECT_TICKET_TTL_MS + 1_500);
        expectRefusal(await world.refusedUpgrade(ticket), 401, "unauthenticated");
      },
    },
    { isSlow: true },
  ),
];
