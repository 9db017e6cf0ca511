import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { ulid } from "ulid";
import { listDevices, renameDevice, revokeDevice } from "../../shared/api/devices.ts";
import { endpoints } from "../../shared/api/index.ts";
import {
  acceptRequest,
  addContact,
  block,
  confirmUsername,
  findUsername,
  getMe,
  openUserLink,
  releaseUsername,
  removeLink,
  report,
  reserveUsername,
  rotateLink,
  setPrivacy,
  viewPerson,
} from "../../shared/api/people.ts";
import { directConversation } from "../../shared/ids.ts";
import { sealedBytes } from "../sealed.ts";
import { cases } from "./case.ts";
import { FIRST_EPOCH } from "./groups.ts";
import { expectRefusal, lookOf, paramsFor } from "./http.ts";
import type { Line } from "./line.ts";
import type { World } from "./world.ts";

/** Long enough for what was set off to arrive, if it does. */
const QUIET_MS = 300;

type FrameName = "send" | "ack" | "read" | "sync" | "typing";

/** Asks for something in a conversation, and gives all of the answer that could tell one conversation from another. */
async function probe(line: Line, type: FrameName, conversation: string): Promise<unknown> {
  const before = line.of("error").length;
  if (type === "send")
    line.up({ type, id: line.newId(), conversation }, sealedBytes(conversation, FIRST_EPOCH, "let me in"));
  else if (type === "sync")
    line.up({ type, request: 9, cursors: [[conversation, 0, 0]], scope: "listed", more: false });
  else if (type === "typing") line.up({ type, conversation });
  else line.up({ type, conversation, seq: 1 });
  // A group's id does not say who is in it, and typing is not worth asking: there it is passed over.
  const isSilent = type === "typing" && !conversation.includes(".");
  if (!isSilent) await line.until(`an answer to ${type}`, () => line.of("error").length > before || undefined);
  await line.ping();
  return line
    .of("error")
    .slice(before)
    .map(({ conversation: _, id: __, ...rest }) => rest);
}

const conversations = cases("Authorisation", {
  "another's conversation is not found, whatever is asked there, and looks like one that does not exist": async (
    world,
  ) => {
    const [alice, bob] = await world.friends();
    const [lineOfAlice, eve] = [await world.connect(alice), await world.connect(await world.signUp())];
    const chat = directConversation(alice.user, bob.user);
    assert.equal(await lineOfAlice.send(chat, "private"), 2);
    const absent = directConversation(...([ulid(), ulid()] as const));
    for (const type of ["send", "ack", "read", "sync", "typing"] as const) {
      const look = await probe(eve, type, chat);
      assert.deepEqual(look, await probe(eve, type, absent), `${type} tells that it exists`);
      assert.match(JSON.stringify(look), /not_found/, type);
    }
    await sleep(QUIET_MS);
    assert.deepEqual(eve.received, []);
    assert.deepEqual(lineOfAlice.of("receipt"), [], "a stranger's ack came through as a receipt");
    assert.deepEqual(lineOfAlice.of("typing"), []);
    const lineOfBob = await world.connect(bob);
    assert.deepEqual(
      lineOfBob.received.map(({ text }) => text),
      ["private"],
    );
    await Promise.all([lineOfAlice.close(), eve.close(), lineOfBob.close()]);
  },

  "a group that does not exist is not found": async (world) => {
    const eve = await world.connect(await world.signUp());
    for (const type of ["send", "ack", "read", "sync"] as const) {
      assert.match(JSON.stringify(await probe(eve, type, ulid())), /not_found/, type);
    }
    assert.deepEqual(await probe(eve, "typing", ulid()), []);
    await eve.close();
  },

  "a message to a person who does not exist is not found": async (world) => {
    const account = await world.signUp();
    const line = await world.connect(account);
    assert.equal(await line.send(directConversation(account.user, ulid()), "anybody?"), "not_found");
    await line.close();
  },

  "a receipt in another's name is one's own": async (world) => {
    const [alice, mallory] = await world.friends();
    const [lineOfAlice, lineOfMallory] = [await world.connect(alice), await world.connect(mallory)];
    const chat = directConversation(alice.user, mallory.user);
    assert.equal(await lineOfMallory.send(chat, "read this"), 2);
    await lineOfAlice.text("read this");
    for (const type of ["ack", "read"]) {
      lineOfMallory.raw(JSON.stringify({ type, conversation: chat, seq: 1, user: alice.user, device: alice.device }));
    }
    await lineOfMallory.ping();
    await sleep(QUIET_MS);
    const asAlice = lineOfMallory.of("receipt").filter(({ user, read }) => user === alice.user && read > 0);
    assert.deepEqual(asAlice, [], "it counted as read by the other one");
    await Promise.all([lineOfAlice.close(), lineOfMallory.close()]);
  },
});

const devices = cases("Authorisation", {
  "a device of another person cannot be renamed or removed, and looks like one that does not exist": async (world) => {
    const [mallory, victim] = [await world.signUp(), await world.signUp()];
    const line = await world.connect(victim);
    for (const [endpoint, body] of [
      [renameDevice, { name: "mine" }],
      [revokeDevice, undefined],
    ] as const) {
      const looks = [victim.device, ulid()].map(async (device) => {
        const answer = await world.http.ask(endpoint, world.as(mallory, { params: { device }, body }));
        expectRefusal(answer, 404, "not_found");
        return lookOf(answer);
      });
      assert.deepEqual(await looks[0], await looks[1]);
    }
    const { devices } = await world.http.get(listDevices, world.as(victim));
    assert.deepEqual(
      devices.map(({ device, name }) => [device, name]),
      [[victim.device, "phone"]],
    );
    assert.equal(line.closed, undefined);
    await line.close();
  },

  "a removed device comes back by nothing that it has": async (world) => {
    const owner = await world.signUp();
    const lost = await world.link(owner);
    await world.http.get(revokeDevice, world.as(owner, { params: { device: lost.device } }));
    const endpointsOfDevices = endpoints.filter(({ access }) => access === "device");
    for (const endpoint of endpointsOfDevices) {
      if (endpoint.name === "connectTicket") continue;
      const params = { ...paramsFor(ulid()), device: owner.device, user: owner.user };
      const answer = await world.http.ask(endpoint, world.as(lost, { params, body: endpoint.body && {} }));
      assert.equal(answer.status, 401, `${endpoint.name}: ${answer.status}`);
      expectRefusal(answer, 401, "unauthenticated");
    }
  },

  "everything that asks for a device refuses who is nobody": async (world) => {
    for (const endpoint of endpoints) {
      if (endpoint.access === "anyone") continue;
      const params = paramsFor(ulid());
      expectRefusal(await world.http.ask(endpoint, { params }), 401, "unauthenticated");
      expectRefusal(
        await world.http.ask(endpoint, { params, body: endpoint.body && {}, token: "x" }),
        401,
        "unauthenticated",
      );
    }
  },

  "who somebody is is in the token, whatever headers and body say": async (world) => {
    const [mallory, victim] = [await world.signUp(), await world.signUp()];
    const headers = {
      "x-user-id": victim.user,
      "x-user": victim.user,
      "x-device-id": victim.device,
      "x-forwarded-user": victim.user,
      "x-remote-user": victim.user,
      "sandpiper-connect": JSON.stringify({ user: victim.user, device: victim.device }),
      "x-http-method-override": "DELETE",
      "x-original-url": `/v1/users/${victim.user}`,
      "x-rewrite-url": `/v1/users/${victim.user}`,
    };
    const me = await world.http.get(getMe, world.as(mallory, { headers }));
    assert.equal(me.user, mallory.user);
    expectRefusal(await world.http.ask(getMe, { headers }), 401, "unauthenticated");
    const body = { name: "tablet", user: victim.user, device: victim.device };
    const params = { device: mallory.device };
    await world.http.get(renameDevice, world.as(mallory, { params, body }));
    const { devices } = await world.http.get(listDevices, world.as(victim));
    assert.deepEqual(
      devices.map(({ name }) => name),
      ["phone"],
    );
  },
});

const people = cases("Authorisation", {
  "people who do not exist are not found, by whatever way": async (world) => {
    const account = await world.signUp();
    const params = { user: ulid() };
    for (const endpoint of [viewPerson, addContact, acceptRequest, block]) {
      expectRefusal(await world.http.ask(endpoint, world.as(account, { params })), 404, "not_found");
    }
    const unknown: [Parameters<typeof world.http.ask>[0], object][] = [
      [report, { user: ulid(), reason: "spam" }],
      [findUsername, { username: "nobody_at_all" }],
      [openUserLink, { link: "A".repeat(43) }],
      [setPrivacy, { seen: { audience: "except", except: [ulid()] } }],
    ];
    for (const [endpoint, body] of unknown) {
      expectRefusal(await world.http.ask(endpoint, world.as(account, { body })), 404, "not_found");
    }
  },

  "what is no id names nothing": async (world) => {
    const account = await world.signUp();
    const ids = [
      "x",
      ulid().toLowerCase(),
      `${ulid()}x`,
      "..",
      "%00",
      "' OR 1=1 --",
      "8".repeat(26),
      "__proto__",
      "null",
    ];
    for (const id of ids) {
      for (const endpoint of [viewPerson, addContact, block]) {
        const answer = await world.http.ask(endpoint, world.as(account, { params: { user: id } }));
        expectRefusal(answer, 404, "not_found");
      }
      const answer = await world.http.ask(revokeDevice, world.as(account, { params: { device: id } }));
      expectRefusal(answer, 404, "not_found");
    }
  },

  "others' conversations cannot be reported as one's own": async (world) => {
    const [alice, bob] = await world.friends();
    const eve = await world.signUp();
    const conversation = directConversation(alice.user, bob.user);
    const body = { user: bob.user, reason: "spam", conversation };
    expectRefusal(await world.http.ask(report, world.as(eve, { body })), 404, "not_found");
  },

  "a link that was replaced or given up leads nowhere, and none can be told from another": async (world) => {
    const [owner, finder] = [await world.signUp(), await world.signUp()];
    const open = (link: string) => world.http.ask(openUserLink, world.as(finder, { body: { link } }));
    const first = await world.http.get(rotateLink, world.as(owner));
    assert.equal((await open(first.link)).status, 200);
    const second = await world.http.get(rotateLink, world.as(owner));
    const replaced = await open(first.link);
    expectRefusal(replaced, 404, "not_found");
    await world.http.get(removeLink, world.as(owner));
    const given = await open(second.link);
    expectRefusal(given, 404, "not_found");
    assert.deepEqual(lookOf(given), lookOf(await open("A".repeat(43))));
    assert.deepEqual(lookOf(given), lookOf(replaced));
  },

  "a username is one person's: reserved, confirmed, and for a while after they gave it up": async (world) => {
    const [owner, other] = [await world.signUp(), await world.signUp()];
    const body = { username: `kay_${owner.user.slice(-8).toLowerCase()}` };
    const asOther = world.as(other, { body });
    await world.http.get(reserveUsername, world.as(owner, { body }));
    expectRefusal(await world.http.ask(reserveUsername, asOther), 409, "taken");
    expectRefusal(await world.http.ask(confirmUsername, asOther), 409, "taken");
    await world.http.get(confirmUsername, world.as(owner, { body }));
    expectRefusal(await world.http.ask(reserveUsername, asOther), 409, "taken");
    await world.http.get(releaseUsername, world.as(owner));
    expectRefusal(await world.http.ask(reserveUsername, asOther), 409, "taken");
    expectRefusal(await world.http.ask(confirmUsername, asOther), 409, "taken");
    expectRefusal(await world.http.ask(findUsername, asOther), 404, "not_found");
  },

  "of many who want a username at once one gets it": async (world) => {
    const wanting = await Promise.all(Array.from({ length: 8 }, () => world.signUp()));
    const body = { username: `lee_${wanting[0]!.user.slice(-8).toLowerCase()}` };
    const tries = await Promise.all(
      wanting.map((account) => world.http.ask(reserveUsername, world.as(account, { body }))),
    );
    assert.deepEqual(tries.map(({ status }) => status).toSorted(), [200, ...Array(7).fill(409)]);
    const confirmed = await Promise.all(
      wanting.map((account) => world.http.ask(confirmUsername, world.as(account, { body }))),
    );
    assert.deepEqual(confirmed.map(({ status }) => status).toSorted(), [204, ...Array(7).fill(409)]);
  },

  "a person who removed their account is nowhere any more": async (world) => {
    const [leaving, friend] = await world.friends();
    const [line, chat] = [await world.connect(friend), directConversation(leaving.user, friend.user)];
    assert.equal(await line.send(chat, "are you there?"), 2);
    const { link } = await world.http.get(rotateLink, world.as(leaving));
    const username = `ann_${leaving.user.slice(-8).toLowerCase()}`;
    await world.http.get(reserveUsername, world.as(leaving, { body: { username } }));
    await world.http.get(confirmUsername, world.as(leaving, { body: { username } }));
    await world.remove(leaving);
    const params = { user: leaving.user };
    for (const endpoint of [viewPerson, addContact, block]) {
      expectRefusal(await world.http.ask(endpoint, world.as(friend, { params })), 404, "not_found");
    }
    const [byName, byLink] = [world.as(friend, { body: { username } }), world.as(friend, { body: { link } })];
    expectRefusal(await world.http.ask(findUsername, byName), 404, "not_found");
    expectRefusal(await world.http.ask(openUserLink, byLink), 404, "not_found");
    assert.equal(await line.send(chat, "hello?"), "not_found");
    await expectForgotten(world, friend, leaving.user);
    await line.close();
  },
});

/** Nothing of what a friend has at hand names the person who left. */
async function expectForgotten(world: World, friend: Parameters<World["as"]>[0], gone: string): Promise<void> {
  const lists = ["listContacts", "listRequests", "listBlocked", "getPrivacy"];
  for (const endpoint of endpoints.filter(({ name }) => lists.includes(name))) {
    assert.doesNotMatch((await world.http.ask(endpoint, world.as(friend))).text, new RegExp(gone), endpoint.name);
  }
  const line = await world.connect(friend);
  await line.sync("all");
  assert.deepEqual(
    line.received.filter(({ user }) => user === gone),
    [],
  );
  await line.close();
}

export const authorisation = [...conversations, ...devices, ...people];
