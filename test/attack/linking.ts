import assert from "node:assert/strict";
import { ulid } from "ulid";
import {
  approveDeviceLink,
  completeDeviceLink,
  listDevices,
  pollAsNewDevice,
  pollAsOldDevice,
  revokeDevice,
  sendAsNewDevice,
  sendAsOldDevice,
  viewDeviceLink,
} from "../../shared/api/devices.ts";
import { MAX_DEVICES_PER_USER, MAX_LINK_MESSAGE_BYTES, MAX_LINK_MESSAGES } from "../../shared/limits.ts";
import { cases } from "./case.ts";
import { expectRefusal, lookOf } from "./http.ts";
import type { Account, World } from "./world.ts";

const sealed = (text: string): { sealed: string } => ({ sealed: Buffer.from(text).toString("base64url") });
const fromStart = { after: 0 };

/** A new device at a meeting place, and who has let it in there. */
async function meeting(world: World): Promise<{ owner: Account; token: string; params: { link: string } }> {
  const owner = await world.signUp();
  const { link, token } = await world.openLink();
  const params = { link };
  await world.http.get(approveDeviceLink, world.as(owner, { params, body: sealed("come in") }));
  return { owner, token, params };
}

export const linking = cases("Linking", {
  "nobody is let in before somebody approves": async (world) => {
    const { link, token } = await world.openLink();
    const params = { link };
    expectRefusal(await world.http.ask(completeDeviceLink, { token, params, body: {} }), 404, "not_found");
    expectRefusal(await world.http.ask(sendAsNewDevice, { token, params, body: sealed("hi") }), 404, "not_found");
    const { state, messages } = await world.http.get(pollAsNewDevice, { token, params, body: fromStart });
    assert.deepEqual({ state, messages }, { state: "waiting", messages: [] });
  },

  "what two devices say to each other is nobody else's: not another person's, not another device's of the same": async (
    world,
  ) => {
    const { owner, token, params } = await meeting(world);
    await world.http.get(sendAsNewDevice, { token, params, body: sealed("thank you") });
    const others = [await world.signUp(), await world.link(owner)];
    for (const other of others) {
      for (const [endpoint, body] of [
        [pollAsOldDevice, fromStart],
        [sendAsOldDevice, sealed("x")],
      ] as const) {
        const answer = await world.http.ask(endpoint, world.as(other, { params, body }));
        expectRefusal(answer, 404, "not_found");
        const nowhere = await world.http.ask(endpoint, world.as(other, { params: { link: ulid() }, body }));
        assert.deepEqual(lookOf(answer), lookOf(nowhere));
      }
    }
    const { messages } = await world.http.get(pollAsOldDevice, world.as(owner, { params, body: fromStart }));
    assert.equal(messages.length, 1);
  },

  "a link's token is good for that link alone": async (world) => {
    const [mine, theirs] = [await meeting(world), await meeting(world)];
    const { params } = theirs;
    const asked = { token: mine.token, params };
    expectRefusal(await world.http.ask(pollAsNewDevice, { ...asked, body: fromStart }), 404, "not_found");
    expectRefusal(await world.http.ask(sendAsNewDevice, { ...asked, body: sealed("x") }), 404, "not_found");
    expectRefusal(await world.http.ask(completeDeviceLink, { ...asked, body: {} }), 404, "not_found");
    const { devices } = await world.http.get(listDevices, world.as(theirs.owner));
    assert.equal(devices.length, 1);
  },

  "somebody else comes too late to approve, and changes nothing": async (world) => {
    const { owner, token, params } = await meeting(world);
    const late = await world.signUp();
    expectRefusal(await world.http.ask(approveDeviceLink, world.as(late, { params, body: sealed("x") })), 409, "taken");
    const again = world.as(owner, { params, body: sealed("something else") });
    expectRefusal(await world.http.ask(approveDeviceLink, again), 409, "taken");
    const session = await world.http.get(completeDeviceLink, { token, params, body: {} });
    assert.equal(world.signedIn(owner.phone, session).user, owner.user);
  },

  "of many who approve at once one does": async (world) => {
    const { link } = await world.openLink();
    const params = { link };
    const people = await Promise.all(Array.from({ length: 6 }, () => world.signUp()));
    const answers = await Promise.all(
      people.map((person) =>
        world.http.ask(approveDeviceLink, world.as(person, { params, body: sealed(person.user) })),
      ),
    );
    assert.deepEqual(answers.map(({ status }) => status).toSorted(), [204, ...Array(5).fill(409)]);
  },

  "a device signs in once, however often and at once it asks": async (world) => {
    const { owner, token, params } = await meeting(world);
    const ask = () => world.http.ask(completeDeviceLink, { token, params, body: {} });
    const answers = await Promise.all(Array.from({ length: 10 }, ask));
    const [granted, ...rest] = answers.filter(({ status }) => status === 200);
    assert.ok(granted && rest.length === 0, `${rest.length + 1} sessions`);
    world.signedIn(owner.phone, JSON.parse(granted.text));
    for (const answer of answers) if (answer !== granted) expectRefusal(answer, 404, "not_found");
    expectRefusal(await ask(), 404, "not_found");
    assert.equal((await world.http.get(listDevices, world.as(owner))).devices.length, 2);
  },

  "who was let in by a device that is removed before it signed in stays out": async (world) => {
    const owner = await world.signUp();
    const stolen = await world.link(owner);
    const { link, token } = await world.openLink();
    const params = { link };
    await world.http.get(approveDeviceLink, world.as(stolen, { params, body: sealed("come in") }));
    await world.http.get(revokeDevice, world.as(owner, { params: { device: stolen.device } }));
    expectRefusal(await world.http.ask(completeDeviceLink, { token, params, body: {} }), 404, "not_found");
    assert.equal((await world.http.get(listDevices, world.as(owner))).devices.length, 1);
  },

  "no more devices than a person may have": async (world) => {
    const owner = await world.signUp();
    for (let count = 1; count < MAX_DEVICES_PER_USER; count++) await world.link(owner);
    const { link } = await world.openLink();
    const answer = await world.http.ask(approveDeviceLink, world.as(owner, { params: { link }, body: sealed("x") }));
    expectRefusal(answer, 409, "too_many_devices");
  },

  "no more messages than a meeting may have, and none longer": async (world) => {
    const { token, params } = await meeting(world);
    const send = (body: object) => world.http.ask(sendAsNewDevice, { token, params, body });
    const tooLong = await send({ sealed: "A".repeat(Math.ceil((MAX_LINK_MESSAGE_BYTES * 4) / 3) + 4) });
    assert.ok([400, 409, 413].includes(tooLong.status), `${tooLong.status}`);
    for (let count = 0; count < MAX_LINK_MESSAGES; count++) assert.equal((await send(sealed(`${count}`))).status, 204);
    expectRefusal(await send(sealed("one more")), 409, "too_many");
  },

  "a link that does not exist, or is no link": async (world) => {
    const account = await world.signUp();
    for (const link of [ulid(), "x", "..", account.user, "' OR 1=1 --"]) {
      const answer = await world.http.ask(viewDeviceLink, world.as(account, { params: { link } }));
      expectRefusal(answer, 404, "not_found");
      const body = sealed("x");
      expectRefusal(
        await world.http.ask(approveDeviceLink, world.as(account, { params: { link }, body })),
        404,
        "not_found",
      );
    }
  },
});
