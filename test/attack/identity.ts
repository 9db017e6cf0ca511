import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import {
  discoverContacts,
  findUsername,
  getMe,
  openUserLink,
  removePin,
  reserveUsername,
  setPin,
  viewPerson,
} from "../../shared/api/people.ts";
import { deleteAccount } from "../../shared/api/rights.ts";
import { completeSignIn, requestCode, signIn } from "../../shared/api/sign-in.ts";
import { MAX_CODE_TRIES, MAX_DEVICES_PER_USER, MAX_HASHES_PER_DISCOVERY, personBuckets } from "../../shared/limits.ts";
import { cases } from "./case.ts";
import { type Answer, expectRefusal, granted, lookOf } from "./http.ts";
import { type Account, nextCodeMs, type World } from "./world.ts";

const AT_ONCE = 50;
const device = { name: "phone" };

function guess(world: World, phone: string, code: string): Promise<Answer> {
  return world.http.ask(signIn, { body: { phone, code, device } });
}

/** So many codes, none of which is right. */
function wrongCodes(code: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => String((Number(code) + 1 + index) % 1_000_000).padStart(6, "0"));
}

function statuses(answers: readonly Answer[]): Record<number, number> {
  const groups = Map.groupBy(answers, ({ status }) => status);
  return Object.fromEntries([...groups].map(([status, { length }]) => [status, length]));
}

const codes = cases("Identity", {
  "brute force: a code dies after five wrong guesses, and the right one comes too late": async (world) => {
    const phone = world.newPhone();
    const code = await world.askCode(phone);
    for (const [index, wrong] of wrongCodes(code, MAX_CODE_TRIES).entries()) {
      const { triesLeft } = expectRefusal(await guess(world, phone, wrong), 403, "code_wrong");
      assert.equal(triesLeft, MAX_CODE_TRIES - 1 - index);
    }
    const { triesLeft, proof } = expectRefusal(await guess(world, phone, code), 403, "code_wrong");
    assert.deepEqual({ triesLeft, proof }, { triesLeft: 0, proof: undefined });
  },

  [`brute force, ${AT_ONCE} wrong guesses at once: five are looked at`]: async (world) => {
    const phone = world.newPhone();
    const code = await world.askCode(phone);
    const answers = await Promise.all(wrongCodes(code, AT_ONCE).map((wrong) => guess(world, phone, wrong)));
    const left = answers.map((answer) => expectRefusal(answer, 403, "code_wrong").triesLeft ?? 0);
    assert.deepEqual(left.toSorted().slice(-MAX_CODE_TRIES), [0, 1, 2, 3, 4]);
    expectRefusal(await guess(world, phone, code), 403, "code_wrong");
  },

  [`${AT_ONCE} right guesses at once make one session and one account`]: async (world) => {
    const phone = world.newPhone();
    const code = await world.askCode(phone);
    const answers = await Promise.all(Array.from({ length: AT_ONCE }, () => guess(world, phone, code)));
    assert.deepEqual(statuses(answers), { 200: 1, 403: AT_ONCE - 1 });
    for (const answer of answers) if (answer.status !== 200) expectRefusal(answer, 403, "code_wrong");
  },

  "a code is good once, for its own number, and dead when a session was made with it": async (world) => {
    const [phone, another] = [world.newPhone(), world.newPhone()];
    const code = await world.askCode(phone);
    await world.askCode(another);
    expectRefusal(await guess(world, another, code), 403, "code_wrong");
    world.signedIn(phone, granted(signIn, await guess(world, phone, code)));
    expectRefusal(await guess(world, phone, code), 403, "code_wrong");
  },

  "codes that are no six digits": async (world) => {
    const phone = world.newPhone();
    const code = await world.askCode(phone);
    for (const odd of [
      "",
      "12345",
      "1234567",
      " 123456",
      "12345a",
      "１２３４５６",
      `${code}\n`,
      Number(code),
      [code],
      { $gt: "" },
      null,
    ]) {
      expectRefusal(await world.http.ask(signIn, { body: { phone, code: odd, device } }), 400, "bad_frame");
    }
    world.signedIn(phone, granted(signIn, await guess(world, phone, code)));
  },

  "send abuse: a number gets one code a minute, however it is written and whoever asks at once": async (world) => {
    const phone = world.newPhone();
    const [country, area, rest, last] = [phone.slice(0, 2), phone.slice(2, 5), phone.slice(5, 8), phone.slice(8)];
    const written = [
      phone,
      `${country} ${area} ${rest} ${last}`,
      `${country}(${area})${rest}-${last}`,
      `${country}.${area}.${rest}.${last}`,
    ];
    const asks = Array.from({ length: 20 }, (_, index) => written[index % written.length]);
    const answers = await Promise.all(asks.map((number) => world.http.ask(requestCode, { body: { phone: number } })));
    assert.deepEqual(statuses(answers), { 200: 1, 429: 19 });
    for (const answer of answers.filter(({ status }) => status === 429)) {
      expectRefusal(answer, 429, "rate_limited");
      assert.ok(Number(answer.headers.get("retry-after")) > 30, "says when the next one may be asked for");
    }
    world.secrets.add("code", await world.codes.waitFor(phone));
    await sleep(500);
    assert.equal(world.codes.codesFor(phone).length, 1);
  },

  "no code for what is no number, or costs more than others": async (world) => {
    const odd = ["12015550100", "+0000000000", "+12015550", "0049170", "+1 201 555 0100 9999", "tel:+12015550100"];
    const costly = ["+19005550100", "+448712345678", "+4990012345678"];
    for (const phone of [...odd, ...costly, "+1201555010O", "+1201555010;ext=1", "‮+12015550100"]) {
      expectRefusal(await world.http.ask(requestCode, { body: { phone } }), 400, "phone_invalid");
    }
    for (const phone of ["", "+", "x".repeat(40), 7, null, ["+12015550100"], { $ne: "" }]) {
      const answer = await world.http.ask(requestCode, { body: { phone } });
      assert.equal(answer.status, 400, `${JSON.stringify(phone)}: ${answer.text}`);
    }
  },

  "a wrong guess looks alike for a number with an account and for one that never asked": async (world) => {
    const { phone } = await world.signUp();
    const known = await guess(world, phone, "000000");
    expectRefusal(known, 403, "code_wrong");
    assert.deepEqual(lookOf(known), lookOf(await guess(world, world.newPhone(), "000000")));
  },

  "what the proof of a right code is good for is used up once": async (world) => {
    const phone = world.newPhone();
    const answer = await world.trySignIn(phone, { device: { name: "phone", id: "01ARZ3NDEKTSV4RRFFQ69G5FAV" } });
    const { proof } = expectRefusal(answer, 404, "not_found");
    const complete = () => world.http.ask(completeSignIn, { body: { proof, device } });
    const answers = await Promise.all(Array.from({ length: 20 }, complete));
    assert.deepEqual(statuses(answers), { 200: 1, 401: 19 });
    expectRefusal(await complete(), 401, "unauthenticated");
  },
});

const sweeps = cases("Identity", {
  "a contact sweep ends with 429": async (world) => {
    const account = await world.signUp();
    let asked = 0;
    const digests = () =>
      Array.from({ length: MAX_HASHES_PER_DISCOVERY }, () =>
        createHash("sha256").update(`+4917${asked++}`).digest("base64url"),
      );
    const sweep = () => world.http.ask(discoverContacts, world.as(account, { body: { digests: digests() } }));
    for (let left = personBuckets.discovery.capacity; left > 0; left -= MAX_HASHES_PER_DISCOVERY) {
      assert.deepEqual(granted(discoverContacts, await sweep()), { found: [] });
    }
    expectRefusal(await sweep(), 429, "rate_limited");
  },

  "discovery takes no more than it says, and nothing that is no digest": async (world) => {
    const account = await world.signUp();
    const digest = createHash("sha256").update("x").digest("base64url");
    const bodies = [
      [],
      Array(MAX_HASHES_PER_DISCOVERY + 1).fill(digest),
      [digest.slice(1)],
      [`${digest}=`],
      [7],
      {},
      digest,
      null,
    ];
    for (const digests of bodies) {
      expectRefusal(await world.http.ask(discoverContacts, world.as(account, { body: { digests } })), 400, "bad_frame");
    }
  },

  "who does not want to be found by number is not": async (world) => {
    const [hidden, finder] = [await world.signUp(), await world.signUp()];
    const digests = [createHash("sha256").update(hidden.phone).digest("base64url")];
    const find = () => world.http.get(discoverContacts, world.as(finder, { body: { digests } }));
    assert.equal((await find()).found.length, 1);
    const update = { method: "PATCH", body: JSON.stringify({ discoverable: false }) };
    const headers = { authorization: `Bearer ${hidden.accessToken}`, "content-type": "application/json" };
    assert.equal((await world.http.send("/v1/me", { ...update, headers })).status, 204);
    assert.deepEqual(await find(), { found: [] });
  },

  "a username sweep ends with 429, and so does one of links and profiles": async (world) => {
    const sweeps = [
      (account: Account, index: number) =>
        world.http.ask(findUsername, world.as(account, { body: { username: `name_${index}` } })),
      (account: Account) => world.http.ask(openUserLink, world.as(account, { body: { link: "A".repeat(43) } })),
      (account: Account) => world.http.ask(viewPerson, world.as(account, { params: { user: account.user } })),
    ];
    for (const sweep of sweeps) {
      const account = await world.signUp();
      const asks = Array.from({ length: personBuckets.lookup.capacity + 20 }, (_, index) => sweep(account, index));
      const limited = (await Promise.all(asks)).filter(({ status }) => status === 429);
      assert.ok(limited.length >= 15, `${limited.length} were refused`);
      for (const answer of limited) expectRefusal(answer, 429, "rate_limited");
    }
  },

  "nobody takes usernames by the dozen": async (world) => {
    const account = await world.signUp();
    const reserve = (index: number) => {
      const username = `grab_${account.user.slice(-6).toLowerCase()}_${index}`;
      return world.http.ask(reserveUsername, world.as(account, { body: { username } }));
    };
    for (let index = 0; index < personBuckets.username.capacity; index++)
      assert.equal((await reserve(index)).status, 200);
    expectRefusal(await reserve(99), 429, "rate_limited");
  },

  "a flood of requests in one's own name ends with 429, and is nobody else's matter": async (world) => {
    const [account, other] = [await world.signUp(), await world.signUp()];
    const asks = Array.from({ length: personBuckets.account.capacity + 60 }, () =>
      world.http.ask(getMe, world.as(account)),
    );
    const limited = (await Promise.all(asks)).filter(({ status }) => status === 429);
    assert.ok(limited.length > 0, "nothing was refused");
    for (const answer of limited) expectRefusal(answer, 429, "rate_limited");
    assert.equal((await world.http.ask(getMe, world.as(other))).status, 200);
  },
});

const pin = "271828";

/** Somebody with a PIN, whose number then has another owner: the new one gets the codes and does not know the PIN. */
async function recycled(world: World): Promise<Account> {
  const owner = await world.signUp();
  await world.http.get(setPin, world.as(owner, { body: { pin } }));
  await sleep(nextCodeMs);
  return owner;
}

/** The refusal's proof, with which the next try goes on. */
function proofIn(answer: Answer, code: "pin_required" | "pin_wrong"): string {
  const { proof, canReset } = expectRefusal(answer, 403, code);
  assert.equal(canReset, false, "somebody who was here a minute ago can be given up");
  assert.ok(proof, "the refusal has no proof");
  return proof;
}

const later = cases(
  "Identity",
  {
    "a recycled number meets the PIN, and cannot give the account up": async (world) => {
      const owner = await recycled(world);
      const proof = proofIn(await world.trySignIn(owner.phone), "pin_required");
      const complete = (body: object) => world.http.ask(completeSignIn, { body: { proof, device, ...body } });
      proofIn(await complete({}), "pin_required");
      proofIn(await complete({ reset: true }), "pin_required");
      proofIn(await complete({ revokeOthers: true }), "pin_required");
      proofIn(await complete({ device: { name: "phone", id: owner.device } }), "pin_required");
      proofIn(await complete({ pin: "000000" }), "pin_wrong");
      assert.equal((await world.http.get(getMe, world.as(owner))).hasPin, true);
      const session = granted(completeSignIn, await complete({ pin }));
      assert.equal(world.signedIn(owner.phone, session).user, owner.user);
    },

    "who holds a device for a moment neither changes the PIN nor removes it": async (world) => {
      const owner = await world.signUp();
      await world.http.get(setPin, world.as(owner, { body: { pin } }));
      const tries = (given: object) => [
        world.http.ask(setPin, world.as(owner, { body: { pin: "000000", ...given } })),
        world.http.ask(removePin, world.as(owner, { body: given })),
      ];
      for (const answer of await Promise.all(tries({}))) expectRefusal(answer, 403, "pin_required");
      for (const answer of await Promise.all(tries({ current: "000000" }))) expectRefusal(answer, 403, "pin_wrong");
      await world.http.get(setPin, world.as(owner, { body: { pin: "314159", current: pin } }));
      await world.http.get(removePin, world.as(owner, { body: { current: "314159" } }));
      assert.equal((await world.http.get(getMe, world.as(owner))).hasPin, false);
    },

    "PIN brute force ends with 429, for the right one too, also in changing it and in removing the account": async (
      world,
    ) => {
      const owner = await recycled(world);
      const proof = proofIn(await world.trySignIn(owner.phone), "pin_required");
      const complete = (tried: string) => world.http.ask(completeSignIn, { body: { proof, device, pin: tried } });
      const tries = Array.from({ length: AT_ONCE }, (_, index) => complete(String(100_000 + index)));
      assert.deepEqual(statuses(await Promise.all(tries)), {
        403: personBuckets.pin.capacity,
        429: AT_ONCE - personBuckets.pin.capacity,
      });
      expectRefusal(await complete(pin), 429, "rate_limited");
      const removal = world.as(owner, { body: { confirm: "remove my account", pin } });
      expectRefusal(await world.http.ask(deleteAccount, removal), 429, "rate_limited");
      const change = world.as(owner, { body: { pin: "000000", current: pin } });
      expectRefusal(await world.http.ask(setPin, change), 429, "rate_limited");
      assert.equal((await world.http.get(getMe, world.as(owner))).user, owner.user);
    },

    "asking for a code looks alike for a known number and an unknown one, and the known one's owner is told": async (
      world,
    ) => {
      const owner = await world.signUp();
      const line = await world.connect(owner);
      await sleep(nextCodeMs);
      const [known, unknown] = [owner.phone, world.newPhone()];
      const answers = [];
      for (const phone of [known, unknown]) answers.push(await world.http.ask(requestCode, { body: { phone } }));
      const looks = answers.map((answer) => {
        const { expiresAt, nextSendAt, triesLeft } = granted(requestCode, answer);
        const keys = Object.keys(JSON.parse(answer.text)).toSorted();
        return {
          status: answer.status,
          headers: [...answer.headers.keys()],
          keys,
          triesLeft,
          life: Math.round((expiresAt - nextSendAt) / 60_000),
        };
      });
      // The pause grows with every code of a number, whoever asked for them; nothing else may differ.
      assert.deepEqual({ ...looks[0], life: 0 }, { ...looks[1], life: 0 });
      for (const phone of [known, unknown]) world.secrets.add("code", world.codes.codesFor(phone).at(-1) ?? "none");
      await line.next("alert", ({ kind }) => kind === "code_requested");
      await line.close();
    },

    "a sixth device is refused, unless it removes the others, and then theirs is over": async (world) => {
      const owner = await world.signUp();
      const others = [owner];
      while (others.length < MAX_DEVICES_PER_USER) others.push(await world.link(owner));
      await sleep(nextCodeMs);
      const { proof } = expectRefusal(await world.trySignIn(owner.phone), 409, "too_many_devices");
      const body = { proof, device, revokeOthers: true };
      const session = await world.http.get(completeSignIn, { body });
      assert.equal(world.signedIn(owner.phone, session).user, owner.user);
      for (const other of others) expectRefusal(await world.http.ask(getMe, world.as(other)), 401, "unauthenticated");
    },

    "a device of somebody else cannot be signed in again as one's own": async (world) => {
      const [mallory, victim] = [await world.signUp(), await world.signUp()];
      await sleep(nextCodeMs);
      const answer = await world.trySignIn(mallory.phone, { device: { name: "phone", id: victim.device } });
      expectRefusal(answer, 404, "not_found");
      assert.equal((await world.http.get(getMe, world.as(victim))).user, victim.user);
    },

    "a number whose account was removed starts anew, with nothing of the old one": async (world) => {
      const former = await world.signUp();
      await world.http.get(setPin, world.as(former, { body: { pin } }));
      await world.remove(former, { pin });
      await sleep(nextCodeMs);
      const heir = await world.signUp(former.phone);
      assert.equal(heir.isNew, true);
      assert.notEqual(heir.user, former.user);
      await world.http.get(removePin, world.as(heir, { body: {} }));
      expectRefusal(await world.http.ask(getMe, world.as(former)), 401, "unauthenticated");
    },
  },
  { isSlow: true },
);

export const identity = [...codes, ...sweeps, ...later];
