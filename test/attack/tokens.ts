import assert from "node:assert/strict";
import { createPublicKey, type JsonWebKey } from "node:crypto";
import { createServer } from "node:http";
import { ulid } from "ulid";
import { getMe } from "../../shared/api/people.ts";
import { keySet } from "../../shared/api/service.ts";
import { MAX_TOKEN_CHARS } from "../../shared/limits.ts";
import { cases } from "./case.ts";
import { type Changes, es256, foreignKey, forge, hs256, partsOf, unsigned } from "./forge.ts";
import { Holder, kinds } from "./holder.ts";
import { expectRefusal } from "./http.ts";
import type { World } from "./world.ts";

const secondsFromNow = (seconds: number): number => Math.floor(Date.now() / 1_000) + seconds;

/** The published key: all that an attacker has. */
async function publishedKey(world: World): Promise<JsonWebKey & { kid: string }> {
  const { keys } = await world.http.get(keySet);
  const [key] = keys.filter(({ use }) => use !== "enc");
  assert.ok(key, "no key is published");
  for (const secret of ["d", "p", "q", "k"])
    assert.ok(
      keys.every((one) => !(secret in one)),
      `${secret} is published`,
    );
  return key as JsonWebKey & { kid: string };
}

/** Each of these made from each kind of token, at that token's own place. */
async function expectAllRefused(world: World, forgeries: Readonly<Record<string, Changes>>): Promise<void> {
  const holder = await Holder.of(world);
  for (const [what, changes] of Object.entries(forgeries)) await holder.expectAllBad(what, changes);
}

/** What stands at an address that a forged header names; nobody may ever come. */
async function withTrap(set: { keys: object[] }, run: (url: string) => Promise<void>): Promise<void> {
  let visits = 0;
  const server = createServer((_, response) => {
    visits++;
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(set));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as { port: number };
  try {
    await run(`http://127.0.0.1:${port}/jwks.json`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
  assert.equal(visits, 0, "the server fetched a key from where the token told it to");
}

export const tokens = cases("Tokens", {
  "what the forger makes without a change is good, so that what is refused is refused for its change": async (
    world,
  ) => {
    const holder = await Holder.of(world);
    for (const kind of kinds) await holder.expectGood(kind, forge(holder.tokens[kind], holder.sign));
  },

  "alg none, in any spelling": (world) =>
    expectAllRefused(
      world,
      Object.fromEntries(
        ["none", "None", "NONE", "nOnE", ""].map((alg) => [`alg "${alg}"`, { header: { alg }, sign: unsigned }]),
      ),
    ),

  "alg none with the signature left on": async (world) => {
    const holder = await Holder.of(world);
    await holder.expectAllBad("alg none, signed", { header: { alg: "none" } });
  },

  "HS256 signed with the public key, in any form of it": async (world) => {
    const key = await publishedKey(world);
    const publicKey = createPublicKey({ key, format: "jwk" });
    const secrets: Record<string, string | Buffer> = {
      "as JWK": JSON.stringify(key),
      "as set": JSON.stringify({ keys: [key] }),
      "as PEM": publicKey.export({ type: "spki", format: "pem" }),
      "as DER": publicKey.export({ type: "spki", format: "der" }),
      "as x": Buffer.from(key.x ?? "", "base64url"),
    };
    const forgeries = Object.entries(secrets).map(([what, secret]) => [
      `HS256, the key ${what}`,
      { header: { alg: "HS256" }, sign: hs256(secret) },
    ]);
    await expectAllRefused(world, Object.fromEntries(forgeries));
  },

  "another algorithm's name over a good signature": (world) =>
    expectAllRefused(
      world,
      Object.fromEntries(
        ["RS256", "PS256", "ES384", "ES256K", "EdDSA", "es256", null, 256].map((alg) => [
          `alg ${alg}`,
          { header: { alg } },
        ]),
      ),
    ),

  "a key of the attacker's own in the header: jwk, x5c": async (world) => {
    const { privateKey, publicKey } = foreignKey();
    const sign = es256(privateKey);
    await expectAllRefused(world, {
      jwk: { header: { jwk: publicKey }, sign },
      "jwk under another kid": { header: { jwk: { ...publicKey, kid: "mine" }, kid: "mine" }, sign },
      "jwk without kid": { header: { jwk: publicKey, kid: undefined }, sign },
      x5c: { header: { x5c: ["MIIB"] }, sign },
    });
  },

  "an address of a key in the header: jku, x5u; nobody goes there": async (world) => {
    const { privateKey, publicKey } = foreignKey();
    const sign = es256(privateKey);
    await withTrap({ keys: [{ ...publicKey, kid: "mine", alg: "ES256", use: "sig" }] }, (url) =>
      expectAllRefused(world, {
        jku: { header: { jku: url }, sign },
        "jku under another kid": { header: { jku: url, kid: "mine" }, sign },
        x5u: { header: { x5u: url }, sign },
        "kid that is an address": { header: { kid: url }, sign },
      }),
    );
  },

  "an odd kid": (world) => {
    const kids = [
      "",
      "?",
      "../../../../dev/null",
      "__proto__",
      "constructor",
      "toString",
      "' OR 1=1 --",
      "x".repeat(1_000),
    ];
    const odd = [...kids, undefined, null, 0, true, [], {}, ["__proto__"]];
    return expectAllRefused(
      world,
      Object.fromEntries(odd.map((kid) => [`kid ${JSON.stringify(kid)}`, { header: { kid } }])),
    );
  },

  "a critical header that nobody knows": (world) =>
    expectAllRefused(world, {
      "crit exp": { header: { crit: ["exp"] } },
      "crit b64": { header: { crit: ["b64"], b64: false } },
      "crit of something": { header: { crit: ["sandpiper"], sandpiper: true } },
    }),

  expired: (world) =>
    expectAllRefused(world, {
      "a second ago": { claims: { exp: secondsFromNow(-1) } },
      "long ago": { claims: { exp: 1 } },
      "at 0": { claims: { exp: 0 } },
      "before 1970": { claims: { exp: -1 } },
    }),

  "without an expiry, or with one that is no time": (world) =>
    expectAllRefused(
      world,
      Object.fromEntries(
        [undefined, null, "never", `${secondsFromNow(600)}`, {}, [], true].map((exp) => [
          `exp ${JSON.stringify(exp)}`,
          { claims: { exp } },
        ]),
      ),
    ),

  "not valid yet": (world) =>
    expectAllRefused(world, {
      "nbf in a minute": { claims: { nbf: secondsFromNow(60) } },
      "nbf in a year": { claims: { nbf: secondsFromNow(31_536_000) } },
      "nbf that is no time": { claims: { nbf: "now" } },
    }),

  "for another audience": (world) =>
    expectAllRefused(
      world,
      Object.fromEntries(
        [undefined, null, "", "sandpiper", "sandpiper:admin", "SANDPIPER:API", [], ["sandpiper:admin"], {}].map(
          (aud) => [`aud ${JSON.stringify(aud)}`, { claims: { aud } }],
        ),
      ),
    ),

  "from another issuer": (world) =>
    expectAllRefused(
      world,
      Object.fromEntries(
        [undefined, null, "", "Sandpiper", "https://evil.example", ["sandpiper", "x"]].map((iss) => [
          `iss ${JSON.stringify(iss)}`,
          { claims: { iss } },
        ]),
      ),
    ),

  "of another type, or of none": (world) =>
    expectAllRefused(
      world,
      Object.fromEntries(
        [undefined, null, "", "JWT", "at+jwt2", "sandpiper"].map((typ) => [`typ ${typ}`, { header: { typ } }]),
      ),
    ),

  "signed, but about nobody": (world) =>
    expectAllRefused(
      world,
      Object.fromEntries(
        [undefined, null, 7, {}, []].map((sub) => [`sub ${JSON.stringify(sub)}`, { claims: { sub } }]),
      ),
    ),

  "signed with another key under our kid": (world) =>
    expectAllRefused(world, { "another key": { sign: es256(foreignKey().privateKey) } }),

  "a signature that is none": async (world) => {
    const holder = await Holder.of(world);
    const inDer = es256(JSON.parse(world.tokenKeys).keys[0], "der");
    const flipped = (signed: string): Uint8Array =>
      holder.sign(signed).map((byte, index) => (index === 5 ? byte ^ 1 : byte));
    const forgeries: Record<string, Changes> = {
      empty: { sign: unsigned },
      "all zeros": { sign: () => new Uint8Array(64) },
      "in DER": { sign: inDer },
      "cut short": { sign: (signed) => holder.sign(signed).subarray(0, 63) },
      "one bit off": { sign: flipped },
      "r and s changed places": { sign: (signed) => swapped(holder.sign(signed)) },
      "with something behind it": { sign: (signed) => Buffer.concat([holder.sign(signed), Buffer.alloc(1)]) },
    };
    for (const [what, changes] of Object.entries(forgeries)) await holder.expectAllBad(what, changes);
  },

  "a payload that was altered under its signature": async (world) => {
    const [holder, victim] = [await Holder.of(world), await world.signUp()];
    for (const kind of kinds) {
      const token = holder.tokens[kind];
      const [header = "", , signature = ""] = token.split(".");
      for (const change of [{ sub: victim.user, device: victim.device }, { exp: secondsFromNow(1e6) }, {}]) {
        const claims = JSON.stringify({ ...partsOf(token).claims, ...change, altered: true });
        const altered = [header, Buffer.from(claims).toString("base64url"), signature].join(".");
        await holder.expectBad(kind, altered, `altered ${Object.keys(change)}`);
      }
    }
  },

  "what is no token at all": async (world) => {
    const holder = await Holder.of(world);
    for (const kind of kinds) {
      const [header = "", claims = "", signature = ""] = holder.tokens[kind].split(".");
      const oddities = {
        "a word": "x",
        dots: "..",
        "two parts": `${header}.${claims}`,
        "four parts": `${header}.${claims}.${signature}.x`,
        "five parts": `${header}..${claims}.${signature}.x`,
        "no header": `.${claims}.${signature}`,
        "no claims": `${header}..${signature}`,
        "a header that is no JSON": `eyJ.${claims}.${signature}`,
        "claims that are a list": `${header}.W10.${signature}`,
      };
      for (const [what, token] of Object.entries(oddities)) await holder.expectBad(kind, token, what);
    }
  },

  "each kind is good at its own place and at no other": async (world) => {
    const holder = await Holder.of(world);
    for (const kind of kinds) {
      for (const place of kinds) {
        if (place !== kind) await holder.expectBad(place, holder.tokens[kind], `the ${kind} token`);
      }
    }
    for (const kind of kinds) await holder.expectGood(kind, holder.tokens[kind]);
  },

  "another kind's type or audience alone does not help": async (world) => {
    const holder = await Holder.of(world);
    for (const kind of kinds) {
      for (const place of kinds) {
        if (place === kind) continue;
        const { header, claims } = partsOf(holder.tokens[place]);
        const retyped = forge(holder.tokens[kind], holder.sign, { header: { typ: header.typ } });
        await holder.expectBad(place, retyped, `the ${kind} token with another type`);
        const readdressed = forge(holder.tokens[kind], holder.sign, { claims: { aud: claims.aud } });
        await holder.expectBad(place, readdressed, `the ${kind} token with another audience`);
      }
    }
  },

  "longer than any token: 401 as a bearer, 400 in a body": async (world) => {
    const holder = await Holder.of(world);
    const filler = { claims: { filler: "x".repeat(MAX_TOKEN_CHARS) } };
    for (const kind of ["access", "link", "ticket"] as const) {
      await holder.expectBad(kind, forge(holder.tokens[kind], holder.sign, filler), "a long token");
    }
    for (const kind of ["refresh", "proof"] as const) {
      const answer = await holder.offer(kind, forge(holder.tokens[kind], holder.sign, filler));
      assert.ok("status" in answer);
      expectRefusal(answer, 400, "bad_frame");
    }
  },

  "signed, for a device of another person, or one that nobody has": async (world) => {
    const [holder, victim] = [await Holder.of(world), await world.signUp()];
    for (const device of [victim.device, ulid()]) {
      for (const kind of ["access", "refresh"] as const) {
        await holder.expectBad(
          kind,
          forge(holder.tokens[kind], holder.sign, { claims: { device } }),
          "another's device",
        );
      }
      const answer = await world.refusedUpgrade(forge(holder.tokens.ticket, holder.sign, { claims: { device } }));
      assert.equal(answer.status, 401);
    }
    const stranger = forge(holder.tokens.access, holder.sign, { claims: { sub: ulid() } });
    await holder.expectBad("access", stranger, "a person who does not exist");
  },

  "signed, for a session that is not the device's, or none": async (world) => {
    const [holder, victim] = [await Holder.of(world), await world.signUp()];
    const { family } = partsOf(holder.tokens.access).claims;
    const others = [partsOf(victim.accessToken).claims.family, `${family}0`, "", "__proto__"];
    for (const other of [...others, undefined, null, 7, {}, [family]]) {
      const what = `family ${JSON.stringify(other)}`;
      const changes = { claims: { family: other } };
      await holder.expectBad("access", forge(holder.tokens.access, holder.sign, changes), what);
      const ticket = forge(holder.tokens.ticket, holder.sign, changes);
      assert.equal((await world.refusedUpgrade(ticket)).status, 401, what);
      const session = { claims: { session: { family: other, generation: 1 } } };
      await holder.expectBad("refresh", forge(holder.tokens.refresh, holder.sign, session), what);
    }
    for (const kind of ["access", "ticket", "refresh"] as const) {
      await holder.expectGood(kind, forge(holder.tokens[kind], holder.sign));
    }
  },

  "anywhere but in the Authorization header, or in another scheme": async (world) => {
    const { accessToken } = await world.signUp();
    const tries: Record<string, Record<string, string>> = {
      nothing: {},
      "another scheme": { authorization: `Basic ${accessToken}` },
      "no scheme": { authorization: accessToken },
      "two tokens": { authorization: `Bearer ${accessToken} ${accessToken}` },
      "two schemes": { authorization: `Bearer ${accessToken}, Bearer ${accessToken}` },
      "a cookie": {
        cookie: `access=${accessToken}; authorization=Bearer ${accessToken}; sandpiper-refresh=${accessToken}`,
      },
      "other headers": { "x-access-token": accessToken, "x-authorization": `Bearer ${accessToken}` },
      "behind a proxy": { "proxy-authorization": `Bearer ${accessToken}` },
    };
    for (const [what, headers] of Object.entries(tries)) {
      const answer = await world.http.ask(getMe, { headers });
      assert.equal(answer.status, 401, what);
      expectRefusal(answer, 401, "unauthenticated");
    }
  },

  "the receipt of a removal is no token": async (world) => {
    const [holder, leaving] = [await Holder.of(world), await world.signUp()];
    const receipt = await world.remove(leaving);
    for (const kind of kinds) await holder.expectBad(kind, receipt, "a receipt");
  },
});

function swapped(signature: Uint8Array): Uint8Array {
  return Buffer.concat([signature.subarray(32), signature.subarray(0, 32)]);
}
