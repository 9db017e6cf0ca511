import { ulid } from "ulid";
import { beforeEach, describe, expect, it } from "vitest";
import * as people from "../../shared/api/people.ts";
import { directConversation } from "../../shared/ids.ts";
import { MAX_EXCEPTIONS_PER_AUDIENCE } from "../../shared/limits.ts";
import type { View } from "../../workers/gateway/database/privacy.ts";
import { isIn, visibleParts } from "../../workers/gateway/people/audience.ts";
import { type Account, signUp } from "./accounts.ts";
import { ask, OPERATORS, PAYLOADS, refusalOf } from "./asking.ts";
import { newDevice } from "./device.ts";
import { openGroup } from "./objects.ts";

describe("who is in an audience", () => {
  it.each([
    ["everyone", false, false, true],
    ["everyone", true, false, true],
    ["everyone", true, true, true],
    ["contacts", false, false, false],
    ["contacts", true, false, true],
    ["contacts", true, true, true],
    ["except", false, false, false],
    ["except", true, false, true],
    ["except", true, true, false],
    ["except", false, true, false],
    ["nobody", false, false, false],
    ["nobody", true, false, false],
    ["nobody", true, true, false],
  ] as const)("%s, a contact: %s, excepted: %s → %s", (audience, isContact, isExcepted, expected) => {
    expect(isIn(audience, { isContact, isExcepted })).toBe(expected);
  });
});

describe("which parts somebody sees", () => {
  const open: View = {
    name: "",
    about: "",
    username: null,
    seenAudience: "everyone",
    aboutAudience: "everyone",
    isContact: false,
    exceptions: [],
    viewerSeenAudience: "contacts",
  };

  it.each([
    ["all of what is for everyone", {}, false, { about: true, seen: true }],
    ["nothing if they are blocked", {}, true, { about: false, seen: false }],
    ["nothing if they are blocked, contact or not", { isContact: true }, true, { about: false, seen: false }],
    [
      "nobody's presence who shows theirs to nobody",
      { viewerSeenAudience: "nobody" },
      false,
      { about: true, seen: false },
    ],
    ["each part by its own audience", { seenAudience: "contacts" }, false, { about: true, seen: false }],
    ["each part by its own audience", { aboutAudience: "nobody" }, false, { about: false, seen: true }],
    [
      "each part by its own exceptions",
      { seenAudience: "except", aboutAudience: "except", isContact: true, exceptions: ["about", "groups"] },
      false,
      { about: false, seen: true },
    ],
  ] as const)("%s", (_, changes, isHidden, expected) => {
    expect(visibleParts({ ...open, ...changes }, isHidden)).toEqual(expected);
  });
});

describe("privacy over HTTP", () => {
  let alice: Account;
  let bob: Account;

  beforeEach(async () => {
    [alice, bob] = [await signUp(), await signUp()];
    await ask(people.updateMe, alice, { body: { name: "Alice", about: "here" } });
  });

  const towards = ({ user }: { user: string }) => ({ params: { user } });
  const set = (account: Account, body: object) => ask(people.setPrivacy, account, { body });
  const view = (viewer: Account, owner: Account) => ask(people.viewPerson, viewer, towards(owner));
  const nameAlone = () => ({ user: alice.user, name: "Alice" });

  it("begins with contacts for everything, and changes what is named", async () => {
    const contacts = { audience: "contacts", except: [] };
    const all = { seen: contacts, picture: contacts, about: contacts, groups: contacts };
    expect(await ask(people.getPrivacy, alice)).toEqual(all);
    const about = { audience: "except", except: [bob.user] };
    await set(alice, { about });
    await set(alice, { groups: { audience: "nobody" } });
    await set(alice, {});
    expect(await ask(people.getPrivacy, alice)).toEqual({ ...all, about, groups: { audience: "nobody", except: [] } });
    expect(await ask(people.getPrivacy, bob)).toEqual(all);
    await set(alice, { about: { audience: "contacts" } });
    expect(await ask(people.getPrivacy, alice)).toMatchObject({ about: contacts });
  });

  it("excepts people who exist, each once, and so many", async () => {
    const except = [bob.user, bob.user];
    await set(alice, { seen: { audience: "except", except }, about: { audience: "except", except } });
    expect(await ask(people.getPrivacy, alice)).toMatchObject({
      seen: { except: [bob.user] },
      about: { except: [bob.user] },
      picture: { except: [] },
    });
    const unknown = { seen: { audience: "except", except: [bob.user, ulid()] } };
    expect(await refusalOf(people.setPrivacy, alice, { body: unknown })).toBe("not_found");
    expect(await ask(people.getPrivacy, alice)).toMatchObject({ seen: { except: [bob.user] } });
    const crowd = Array.from({ length: MAX_EXCEPTIONS_PER_AUDIENCE + 1 }, () => ulid());
    const bad = [...PAYLOADS, ...OPERATORS].flatMap((value) => [
      { seen: value },
      { seen: { audience: value } },
      { seen: { audience: "except", except: [value] } },
    ]);
    for (const body of [...bad, { seen: { audience: "except", except: crowd } }]) {
      expect(await refusalOf(people.setPrivacy, alice, { body })).toBe("bad_frame");
    }
  });

  it("shows a stranger the name, a contact the rest", async () => {
    const seen = { isOnline: false, lastSeenAt: expect.any(Number) };
    expect(await view(bob, alice)).toEqual(nameAlone());
    await ask(people.addContact, alice, towards(bob));
    expect(await view(bob, alice)).toEqual({ ...nameAlone(), about: "here", ...seen });
    await set(alice, { about: { audience: "except", except: [bob.user] } });
    expect(await view(bob, alice)).toEqual({ ...nameAlone(), ...seen });
    // Whom the viewer has among their contacts is no matter.
    await ask(people.removeContact, alice, towards(bob));
    await ask(people.addContact, bob, towards(alice));
    expect(await view(bob, alice)).toEqual(nameAlone());
  });

  it("shows who is online, and when they were last", async () => {
    await set(alice, { seen: { audience: "everyone" } });
    const device = await (await newDevice(alice.user)).connect();
    expect(await view(bob, alice)).toMatchObject({ isOnline: true });
    await device.leave();
    const { isOnline, lastSeenAt } = await view(bob, alice);
    expect(isOnline).toBe(false);
    expect(Math.abs(Date.now() - lastSeenAt!)).toBeLessThan(60_000);
  });

  it("hides everybody's presence from who shows theirs to nobody", async () => {
    await set(alice, { seen: { audience: "everyone" } });
    expect(await view(bob, alice)).toHaveProperty("isOnline");
    await set(bob, { seen: { audience: "nobody" } });
    expect(await view(bob, alice)).toEqual(nameAlone());
  });

  it("shows a blocked person what they would see if nothing were shown to anybody", async () => {
    await ask(people.reserveUsername, alice, { body: { username: "alice_of_privacy" } });
    await ask(people.confirmUsername, alice, { body: { username: "alice_of_privacy" } });
    await ask(people.addContact, alice, towards(bob));
    const audience = { audience: "nobody" };
    await set(alice, { seen: audience, about: audience, picture: audience, groups: audience });
    const closed = await view(bob, alice);
    const open = { audience: "everyone" };
    await set(alice, { seen: open, about: open, picture: open, groups: open });
    expect(await view(bob, alice)).toMatchObject({ about: "here", isOnline: false });
    await ask(people.block, alice, towards(bob));
    expect(await view(bob, alice)).toEqual(closed);
    await ask(people.unblock, alice, towards(bob));
    expect(await view(bob, alice)).toMatchObject({ about: "here", isOnline: false });
  });

  it("shows a stranger who has written nothing more than the name until they are accepted", async () => {
    await set(alice, { seen: { audience: "everyone" } });
    const device = await (await newDevice(bob.user)).connect();
    const chat = directConversation(alice.user, bob.user);
    await openGroup(chat);
    await device.send(chat, "hello");
    expect(await view(bob, alice)).toEqual(nameAlone());
    await ask(people.acceptRequest, alice, towards(bob));
    expect(await view(bob, alice)).toMatchObject({ isOnline: false });
    await device.leave();
  });

  it("hides nothing from oneself", async () => {
    const audience = { audience: "nobody" };
    await set(alice, { seen: audience, about: audience });
    expect(await view(alice, alice)).toMatchObject({ about: "here", isOnline: false });
  });

  it("knows nobody who does not exist", async () => {
    expect(await refusalOf(people.viewPerson, bob, towards({ user: ulid() }))).toBe("not_found");
  });
});
