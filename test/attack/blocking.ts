import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { block, listRequests, setPrivacy, unblock, updateMe, viewPerson } from "../../shared/api/people.ts";
import { directConversation } from "../../shared/ids.ts";
import { cases } from "./case.ts";
import type { Line } from "./line.ts";
import type { Account, World } from "./world.ts";

/** Long enough for a receipt or a message to arrive, if it does. */
const QUIET_MS = 400;

const everything = { seen: { audience: "everyone" }, about: { audience: "everyone" } };
const nothing = { seen: { audience: "nobody" }, about: { audience: "nobody" } };

async function show(world: World, account: Account, privacy: object): Promise<void> {
  await world.http.get(updateMe, world.as(account, { body: { name: "Robin", about: "at sea" } }));
  await world.http.get(setPrivacy, world.as(account, { body: privacy }));
}

async function fieldsSeen(world: World, viewer: Account, { user }: Account): Promise<string[]> {
  return Object.keys(await world.http.get(viewPerson, world.as(viewer, { params: { user } }))).toSorted();
}

/** Everything that a line has got, but for ids, times and places, which differ anyway. */
function kindsOf(line: Line): string[] {
  return line.frames.map((frame) => `${frame.type}: ${Object.keys(frame).toSorted().join(" ")}`);
}

async function write(line: Line, from: Account, to: Account, text: string): Promise<void> {
  const place = await line.send(directConversation(from.user, to.user), text);
  assert.equal(typeof place, "number", `refused with ${place}`);
}

export const blocking = cases("Blocking", {
  "the blocked cannot notice: the same ✓, and nobody who is away looks different": async (world) => {
    const [blocker, blocked] = await world.friends();
    const [away, other] = await world.friends();
    await world.http.get(block, world.as(blocker, { params: { user: blocked.user } }));
    const [lineOfBlocker, lineOfBlocked] = [await world.connect(blocker), await world.connect(blocked)];
    const lineOfOther = await world.connect(other);
    await write(lineOfBlocked, blocked, blocker, "can you read me?");
    await write(lineOfOther, other, away, "can you read me?");
    lineOfBlocked.up({ type: "typing", conversation: directConversation(blocked.user, blocker.user) });
    lineOfOther.up({ type: "typing", conversation: directConversation(other.user, away.user) });
    await sleep(QUIET_MS);
    assert.deepEqual(kindsOf(lineOfBlocked), kindsOf(lineOfOther));
    assert.deepEqual(lineOfBlocker.received, []);
    assert.deepEqual(lineOfBlocker.of("typing"), []);
    await Promise.all([lineOfBlocker, lineOfBlocked, lineOfOther].map((line) => line.close()));
  },

  "the blocked see the profile of somebody who shows nothing to anybody": async (world) => {
    const [blocker, blocked] = await world.friends();
    const [hidden] = await world.friends();
    await show(world, blocker, everything);
    await show(world, hidden, nothing);
    const line = await world.connect(blocker);
    const before = await fieldsSeen(world, blocked, blocker);
    assert.deepEqual(before, ["about", "isOnline", "lastSeenAt", "name", "user"]);
    await world.http.get(block, world.as(blocker, { params: { user: blocked.user } }));
    assert.deepEqual(await fieldsSeen(world, blocked, blocker), await fieldsSeen(world, blocked, hidden));
    await line.close();
  },

  "what was written meanwhile never comes, not even after the block": async (world) => {
    const [blocker, blocked] = await world.friends();
    const line = await world.connect(blocked);
    await write(line, blocked, blocker, "before");
    await world.http.get(block, world.as(blocker, { params: { user: blocked.user } }));
    await write(line, blocked, blocker, "meanwhile");
    await world.http.get(unblock, world.as(blocker, { params: { user: blocked.user } }));
    await write(line, blocked, blocker, "after");
    const lineOfBlocker = await world.connect(blocker);
    await lineOfBlocker.sync("all");
    await lineOfBlocker.text("after");
    const texts = new Set(lineOfBlocker.received.map(({ text }) => text));
    assert.deepEqual([...texts].toSorted(), ["after", "before"]);
    await Promise.all([line.close(), lineOfBlocker.close()]);
  },

  "a stranger gets ✓ and no more until they are accepted, read or not": async (world) => {
    const [stranger, host] = [await world.signUp(), await world.signUp()];
    await show(world, host, everything);
    const [lineOfStranger, lineOfHost] = [await world.connect(stranger), await world.connect(host)];
    const chat = directConversation(stranger.user, host.user);
    await write(lineOfStranger, stranger, host, "we do not know each other");
    const { seq } = await lineOfHost.text("we do not know each other");
    lineOfHost.up({ type: "read", conversation: chat, seq });
    lineOfHost.up({ type: "typing", conversation: chat });
    await lineOfHost.ping();
    await sleep(QUIET_MS);
    assert.deepEqual(lineOfStranger.of("receipt"), [], "the stranger learned that it arrived");
    assert.deepEqual(lineOfStranger.of("typing"), []);
    const seen = await fieldsSeen(world, stranger, host);
    assert.ok(!seen.includes("isOnline") && !seen.includes("lastSeenAt"), `the stranger sees ${seen}`);
    const { requests } = await world.http.get(listRequests, world.as(host));
    assert.deepEqual(
      requests.map(({ user }) => user),
      [stranger.user],
    );
    await world.accept(host, stranger);
    await lineOfStranger.next("receipt", ({ read }) => read === seq);
    assert.ok((await fieldsSeen(world, stranger, host)).includes("isOnline"));
    assert.deepEqual((await world.http.get(listRequests, world.as(host))).requests, []);
    await Promise.all([lineOfStranger.close(), lineOfHost.close()]);
  },

  "who shows nobody when they are there sees nobody": async (world) => {
    const [one, other] = await world.friends();
    await show(world, one, nothing);
    await show(world, other, everything);
    const line = await world.connect(other);
    const seen = await fieldsSeen(world, one, other);
    assert.ok(!seen.includes("isOnline") && !seen.includes("lastSeenAt"), `they see ${seen}`);
    await line.close();
  },

  "an exception is one, and a contact's contact is none": async (world) => {
    const [owner, excepted] = await world.friends();
    const [stranger] = [await world.signUp()];
    await show(world, owner, {
      seen: { audience: "except", except: [excepted.user] },
      about: { audience: "contacts" },
    });
    const line = await world.connect(owner);
    assert.deepEqual(await fieldsSeen(world, excepted, owner), ["about", "name", "user"]);
    assert.deepEqual(await fieldsSeen(world, stranger, owner), ["name", "user"]);
    await line.close();
  },
});
