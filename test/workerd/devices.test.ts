import { createExecutionContext } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { ulid } from "ulid";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ChatError } from "../../client/chat-error.ts";
import { readLinkCode } from "../../client/link-code.ts";
import { approveLink, type NewDevice, type OldDevice, openLink, viewLink } from "../../client/linking.ts";
import { keyedHash } from "../../durable-objects/runtime/keyed-hash.ts";
import * as api from "../../shared/api/devices.ts";
import type { AnswerOf, Endpoint } from "../../shared/api/endpoint.ts";
import { endpoints } from "../../shared/api/index.ts";
import { getMe } from "../../shared/api/people.ts";
import { connectTicket, refreshSession } from "../../shared/api/session.ts";
import type { Session } from "../../shared/api/sign-in.ts";
import { closeCodes, type ErrorCode } from "../../shared/errors.ts";
import {
  DEVICE_LINK_TTL_MS,
  MAX_DEVICE_NAME_CHARS,
  MAX_DEVICES_PER_USER,
  MAX_LINK_MESSAGE_BYTES,
  MAX_LINK_MESSAGES,
  personBuckets,
  publicBuckets,
} from "../../shared/limits.ts";
import { SUBPROTOCOL, TICKET_PREFIX } from "../../shared/protocol/version.ts";
import type { RegisterDevice } from "../../shared/rpc.ts";
import { UNKNOWN_ADDRESS } from "../../workers/gateway/client-address.ts";
import { buildGateway } from "../../workers/gateway/gateway.ts";
import { type Account, type Asked, HOST, ORIGIN, requestOf, signUp } from "./accounts.ts";
import { ask, OPERATORS, PAYLOADS, refusalOf } from "./asking.ts";
import { eventually, TestDevice } from "./device.ts";
import { alarmOf, fireAlarm, tablesOf } from "./objects.ts";

const gateway = buildGateway();
const sealed = "c2VhbGVk";
const rendezvous = (link: string) => env.RENDEZVOUS.getByName(link);
let alice: Account;
let bob: Account;

beforeEach(async () => {
  const address = await keyedHash(env.PEPPER, "address", UNKNOWN_ADDRESS);
  await fireAlarm(env.LIMITER.getByName(`device_link_ip:${address}`));
  [alice, bob] = [await signUp(), await signUp()];
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** Straight to the gateway: some tests here ask so often that the way there would count. */
async function call(endpoint: Endpoint, asked: Asked): Promise<Response> {
  return gateway.fetch(requestOf(endpoint, asked), env, createExecutionContext());
}

async function answerOf<E extends Endpoint>(endpoint: E, asked: Asked): Promise<AnswerOf<E>> {
  const response = await call(endpoint, asked);
  expect(response.status).toBe(200);
  return (await response.json()) as AnswerOf<E>;
}

/** The code with which something is refused, whoever asks. */
const refused = (endpoint: Endpoint, token: string, asked: Asked) =>
  refusalOf(endpoint, { ...alice, accessToken: token }, asked);

async function opened(deviceName = "Tablet") {
  const { link, token, expiresAt } = await answerOf(api.openDeviceLink, { body: { deviceName } });
  return { link, token, expiresAt, params: { link } };
}
type Opened = Awaited<ReturnType<typeof opened>>;

async function approved(by = alice): Promise<Opened> {
  const link = await opened();
  await ask(api.approveDeviceLink, by, { params: link.params, body: { sealed } });
  return link;
}

const completed = ({ token, params }: Opened): Promise<Session> =>
  answerOf(api.completeDeviceLink, { token, params, body: {} });

/** Another device of the same person. */
async function another(owner = alice): Promise<Account> {
  const { refreshToken = "", ...session } = await completed(await approved(owner));
  return { ...session, refreshToken };
}

const devicesOf = async (account: Account) => (await ask(api.listDevices, account)).devices;

/** Signed in already, and now connected. */
function connected({ user, device }: Account): Promise<TestDevice> {
  return Object.assign(new TestDevice(user), { device }).connect();
}

function upgrade(ticket: string): Promise<Response> {
  const protocols = `${SUBPROTOCOL}, ${TICKET_PREFIX}${ticket}`;
  const headers = { upgrade: "websocket", "sec-websocket-protocol": protocols, origin: ORIGIN };
  return exports.default.fetch(new Request(`${HOST}/v1/connect`, { headers }));
}

/** Which endpoints do not turn this token away. */
async function opensTo(token: string): Promise<string[]> {
  const params = {
    device: alice.device,
    user: bob.user,
    link: ulid(),
    conversation: ulid(),
    seq: "1",
    archive: ulid(),
    number: "1",
  };
  const asDevice = endpoints.filter(({ access }) => access === "device");
  const answers = await Promise.all(
    asDevice.map(async (endpoint) => {
      const response = await call(endpoint, { token, params, ...(endpoint.body && { body: {} }) });
      return response.ok || (await response.json<{ code: string }>()).code !== "unauthenticated" ? [endpoint.name] : [];
    }),
  );
  expect(asDevice.length).toBeGreaterThan(20);
  return answers.flat();
}

describe("the list of devices", () => {
  it("has every device of the caller, the oldest first, and none of anybody else", async () => {
    const tablet = await another();
    const [first, second, ...more] = await devicesOf(tablet);
    expect(first).toMatchObject({ device: alice.device, name: "test", isOnline: false, isCurrent: false });
    expect(second).toMatchObject({ device: tablet.device, name: "Tablet", isOnline: false, isCurrent: true });
    expect(second!.addedAt).toBeGreaterThanOrEqual(first!.addedAt);
    expect(more).toEqual([]);
    expect((await devicesOf(bob)).map(({ device }) => device)).toEqual([bob.device]);
  });

  it("says who is online and who was seen when", async () => {
    const tablet = await another();
    expect(await devicesOf(alice)).toEqual([
      expect.not.objectContaining({ lastSeenAt: expect.anything() }),
      expect.not.objectContaining({ lastSeenAt: expect.anything() }),
    ]);
    const socket = await connected(tablet);
    expect((await devicesOf(alice))[1]).toMatchObject({ isOnline: true, lastSeenAt: expect.any(Number) });
    await socket.leave();
    await eventually(async () => {
      expect((await devicesOf(alice))[1]).toMatchObject({ isOnline: false, lastSeenAt: expect.any(Number) });
    });
  });

  it("costs from the person's account bucket", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { capacity } = personBuckets.account;
    const asked = Array.from({ length: capacity + 5 }, () => call(api.listDevices, { token: alice.accessToken }));
    const statuses = (await Promise.all(asked)).map(({ status }) => status);
    expect(statuses.toSorted()).toEqual([...Array(capacity).fill(200), ...Array(5).fill(429)]);
    expect((await call(api.listDevices, { token: bob.accessToken })).status).toBe(200);
  });
});

describe("renaming", () => {
  it("is seen by every device of the person, for every one of them", async () => {
    const tablet = await another();
    await ask(api.renameDevice, tablet, { params: { device: alice.device }, body: { name: "  Phone " } });
    await ask(api.renameDevice, tablet, { params: { device: tablet.device }, body: { name: "Slate" } });
    expect((await devicesOf(alice)).map(({ name }) => name)).toEqual(["Phone", "Slate"]);
  });

  it("takes a text for a text", async () => {
    for (const payload of PAYLOADS) {
      await ask(api.renameDevice, alice, { params: { device: alice.device }, body: { name: payload } });
      expect((await devicesOf(alice))[0]).toMatchObject({ name: payload.trim() });
    }
  });

  it("refuses what is no name", async () => {
    for (const name of ["", "  ", "x".repeat(MAX_DEVICE_NAME_CHARS + 1), ...OPERATORS]) {
      const asked = { params: { device: alice.device }, body: { name } };
      expect(await refusalOf(api.renameDevice, alice, asked)).toBe("bad_frame");
    }
    expect((await devicesOf(alice))[0]).toMatchObject({ name: "test" });
  });
});

it("finds no device under an id that is nobody's, another person's or none", async () => {
  for (const device of [ulid(), bob.device, "x", `${alice.device}%2F..`, alice.device.toLowerCase()]) {
    const params = { device };
    expect(await refusalOf(api.renameDevice, alice, { params, body: { name: "Mine" } })).toBe("not_found");
    expect(await refusalOf(api.revokeDevice, alice, { params })).toBe("not_found");
  }
  expect(await devicesOf(bob)).toEqual([expect.objectContaining({ device: bob.device, name: "test" })]);
});

describe("revoking", () => {
  it("R6 closes the device's socket at once, and tells the others", async () => {
    const tablet = await another();
    const [phone, slate] = [await connected(alice), await connected(tablet)];
    await ask(api.revokeDevice, alice, { params: { device: tablet.device } });
    await eventually(() => expect(slate.closed).toMatchObject({ code: closeCodes.revoked }), 1_000);
    expect(slate.of("bye")).toMatchObject([{ code: "revoked" }]);
    const removed = await phone.next("alert", ({ kind }) => kind === "device_removed");
    expect(removed).toMatchObject({ device: tablet.device, name: "Tablet" });
    expect(phone.closed).toBeUndefined();
    expect((await devicesOf(alice)).map(({ device }) => device)).toEqual([alice.device]);
    expect(await refusalOf(api.revokeDevice, alice, { params: { device: tablet.device } })).toBe("not_found");
  });

  it("makes room for another", async () => {
    const others = [];
    while (others.length < MAX_DEVICES_PER_USER - 1) others.push(await another());
    await ask(api.revokeDevice, alice, { params: { device: others[0]!.device } });
    await another();
    expect(await devicesOf(alice)).toHaveLength(MAX_DEVICES_PER_USER);
  });

  it("leaves the device's access token of no use, whatever it asks", async () => {
    const tablet = await another();
    await ask(api.revokeDevice, tablet, { params: { device: tablet.device } });
    expect(await opensTo(tablet.accessToken)).toEqual([connectTicket.name]);
  });

  it("R6 leaves the device's tickets and its refresh token of no use", async () => {
    const tablet = await another();
    const before = await ask(connectTicket, tablet);
    await ask(api.revokeDevice, alice, { params: { device: tablet.device } });
    const after = await ask(connectTicket, tablet);
    for (const { ticket } of [before, after]) expect((await upgrade(ticket)).status).toBe(401);
    const { refreshToken } = tablet;
    expect(await refusalOf(refreshSession, tablet, { body: { refreshToken } })).toBe("unauthenticated");
  });
});

describe("linking a device", () => {
  it("leads from the code to a device that is signed in, past a server that sees sealed bytes alone", async () => {
    const phone = await connected(alice);
    const code = await openLink({ http, deviceName: "Tablet" });
    const scanned = readLinkCode(code.qr);
    expect(await viewLink({ session: sessionOf(alice) }, scanned)).toMatchObject({ deviceName: "Tablet" });
    const old = await approveLink({ session: sessionOf(alice) }, scanned, new TextEncoder().encode("account key"));
    const { session, payload, channel } = await code.session();
    expect(new TextDecoder().decode(payload)).toBe("account key");
    expect(session).toMatchObject({ user: alice.user, isNew: false });

    const tablet = { ...session, refreshToken: session.refreshToken! };
    expect((await ask(getMe, tablet)).user).toBe(alice.user);
    await answerOf(refreshSession, { body: { refreshToken: tablet.refreshToken } });
    expect((await devicesOf(alice)).map(({ device }) => device)).toEqual([alice.device, session.device]);
    const added = await phone.next("alert", ({ kind }) => kind === "device_added");
    expect(added).toMatchObject({ device: session.device, name: "Tablet" });

    await channel.send(new TextEncoder().encode("thanks"));
    for await (const answer of old) {
      expect(new TextDecoder().decode(answer)).toBe("thanks");
      break;
    }
  });

  it("tells all other devices of the person, now or when they connect, and nobody else", async () => {
    const tablet = await another();
    const [phone, stranger] = [await connected(alice), await connected(bob)];
    const { device } = await another();
    const slate = await connected(tablet);
    for (const told of [phone, slate]) {
      const alert = await told.next("alert", (frame) => frame.device === device);
      expect(alert).toMatchObject({ kind: "device_added", name: "Tablet" });
    }
    const itself = await connected({ ...alice, device });
    for (const silent of [stranger, itself]) {
      await silent.settled();
      expect(silent.of("alert")).toEqual([]);
    }
  });

  it("shows where the new device is, as far as the network tells", async () => {
    const request = requestOf(api.openDeviceLink, { body: { deviceName: "Tablet" } });
    const cf = { city: "Berlin", country: "DE" };
    const response = await exports.default.fetch(new Request(request, { cf } as RequestInit));
    const { link, token, expiresAt } = (await response.json()) as Opened;
    const params = { link };
    const view = { deviceName: "Tablet", place: "Berlin, DE", expiresAt, state: "waiting" };
    expect(await ask(api.viewDeviceLink, bob, { params })).toEqual(view);
    await ask(api.approveDeviceLink, alice, { params, body: { sealed } });
    await completed({ link, token, expiresAt, params });
    expect((await devicesOf(alice))[1]).toMatchObject({ place: "Berlin, DE" });
  });

  it("sets a cookie instead of answering the refresh token, where that is asked for", async () => {
    const { token, params } = await approved();
    const response = await call(api.completeDeviceLink, { token, params, body: { cookie: true } });
    expect(await response.json()).not.toHaveProperty("refreshToken");
    expect(response.headers.get("set-cookie")).toMatch(/HttpOnly.*SameSite=Strict/i);
  });

  it("passes messages on between the two, and to nobody else", async () => {
    const { token, params } = await approved();
    const tablet = await another();
    const [toOld, toNew] = ["dG8gb2xk", "dG8gbmV3"];
    await call(api.sendAsNewDevice, { token, params, body: { sealed: toOld } });
    await ask(api.sendAsOldDevice, alice, { params, body: { sealed: toNew } });
    const body = { after: 0 };
    expect(await ask(api.pollAsOldDevice, alice, { params, body })).toEqual({
      state: "approved",
      messages: [{ number: 1, sealed: toOld }],
    });
    expect(await answerOf(api.pollAsNewDevice, { token, params, body })).toEqual({
      state: "approved",
      messages: [sealed, toNew].map((text, index) => ({ number: index + 1, sealed: text })),
    });
    for (const other of [bob, tablet]) {
      expect(await refusalOf(api.pollAsOldDevice, other, { params, body })).toBe("not_found");
      expect(await refusalOf(api.sendAsOldDevice, other, { params, body: { sealed } })).toBe("not_found");
      expect(await refusalOf(api.viewDeviceLink, other, { params })).toBe("not_found");
    }
  });

  it("is bounded in messages, in what one of them carries, and in what it may look like", async () => {
    const { token, params } = await approved();
    const send = (text: unknown) => call(api.sendAsNewDevice, { token, params, body: { sealed: text } });
    const largest = "A".repeat(Math.ceil((MAX_LINK_MESSAGE_BYTES * 4) / 3));
    for (const bad of ["", "=", "a b", `${largest}A`, ...OPERATORS]) expect((await send(bad)).status).toBe(400);
    expect((await send(largest)).status).toBe(204);
    for (let count = 1; count < MAX_LINK_MESSAGES; count++) expect((await send(`m${count}`)).status).toBe(204);
    expect(await refused(api.sendAsNewDevice, token, { params, body: { sealed } })).toBe("too_many");
    for (const after of [-1, MAX_LINK_MESSAGES + 1, 0.5, "0", null, Number.MAX_SAFE_INTEGER + 1]) {
      expect((await call(api.pollAsNewDevice, { token, params, body: { after } })).status).toBe(400);
    }
  });
});

describe("a link", () => {
  it("is approved by one device: a second one is told that it is taken", async () => {
    const { params } = await approved();
    expect(await refusalOf(api.approveDeviceLink, bob, { params, body: { sealed } })).toBe("taken");
    expect(await refusalOf(api.approveDeviceLink, alice, { params, body: { sealed: "b3RoZXI" } })).toBe("taken");
    await ask(api.approveDeviceLink, alice, { params, body: { sealed } });
  });

  it("signs in once, and not before it was approved", async () => {
    const link = await opened();
    const { token, params } = link;
    expect(await refused(api.completeDeviceLink, token, { params, body: {} })).toBe("not_found");
    await ask(api.approveDeviceLink, alice, { params, body: { sealed } });
    await completed(link);
    expect(await refused(api.completeDeviceLink, token, { params, body: {} })).toBe("not_found");
    expect(await devicesOf(alice)).toHaveLength(2);
  });

  it("signs one device in when fifty ask at the same time", async () => {
    const { token, params } = await approved();
    const asked = Array.from({ length: 50 }, () => call(api.completeDeviceLink, { token, params, body: {} }));
    const statuses = (await Promise.all(asked)).map(({ status }) => status);
    expect(statuses.toSorted()).toEqual([200, ...Array(49).fill(404)]);
    expect(await devicesOf(alice)).toHaveLength(2);
  });

  it("is worth nothing any more when the device that approved it was removed", async () => {
    const tablet = await another();
    const { token, params } = await approved(tablet);
    await ask(api.revokeDevice, alice, { params: { device: tablet.device } });
    expect(await refused(api.completeDeviceLink, token, { params, body: {} })).toBe("not_found");
    expect(await devicesOf(alice)).toHaveLength(1);
  });

  it("does not bring back a person who was removed while it completed", async () => {
    const { token, params } = await approved();
    const getByName = (user: string) => {
      const stub = env.USER.getByName(user);
      const registerDevice = async (asked: RegisterDevice) => {
        await stub.removePerson({ requestId: "r" });
        await eventually(async () => expect(await stub.isRegistered()).toBe(false));
        return stub.registerDevice(asked);
      };
      return new Proxy(stub, {
        get: (_, name) => (name === "registerDevice" ? registerDevice : stub[name as keyof typeof stub]),
      });
    };
    const USER = { getByName } as unknown as typeof env.USER;
    const request = requestOf(api.completeDeviceLink, { token, params, body: {} });
    const response = await gateway.fetch(request, { ...env, USER }, createExecutionContext());
    expect(response.status).toBe(404);
    expect(await tablesOf(env.USER.getByName(alice.user))).toEqual([]);
  });

  it("cannot be approved by whoever has no room, and whoever has none any more is told when it completes", async () => {
    const waiting = await approved();
    while ((await devicesOf(alice)).length < MAX_DEVICES_PER_USER) await another();
    const { params } = await opened();
    expect(await refusalOf(api.approveDeviceLink, alice, { params, body: { sealed } })).toBe("too_many_devices");
    expect(await ask(api.viewDeviceLink, alice, { params })).toMatchObject({ state: "waiting" });
    const { token } = waiting;
    expect(await refused(api.completeDeviceLink, token, { params: waiting.params, body: {} })).toBe("too_many_devices");
    expect(await devicesOf(alice)).toHaveLength(MAX_DEVICES_PER_USER);
  });

  it.each(["waiting", "approved"])(
    "that is %s ends after ten minutes, whether its alarm is late or not",
    async (state) => {
      vi.useFakeTimers({ toFake: ["Date"] });
      const { link, token, params } = state === "waiting" ? await opened() : await approved();
      expect(await alarmOf(rendezvous(link))).toBe(Date.now() + DEVICE_LINK_TTL_MS);
      vi.setSystemTime(Date.now() + DEVICE_LINK_TTL_MS);
      const over = async () => {
        const body = { after: 0, sealed };
        for (const endpoint of [api.viewDeviceLink, api.approveDeviceLink, api.sendAsOldDevice, api.pollAsOldDevice]) {
          const asked = endpoint.body ? { params, body } : { params };
          expect(await refusalOf(endpoint, alice, asked)).toBe("not_found");
        }
        for (const endpoint of [api.sendAsNewDevice, api.pollAsNewDevice, api.completeDeviceLink]) {
          expect(await refused(endpoint, token, { params, body })).toBe("unauthenticated");
        }
      };
      await over();
      await fireAlarm(rendezvous(link));
      expect(await tablesOf(rendezvous(link))).toEqual([]);
      await over();
    },
  );

  it("that was never opened is not found, and looking for it writes nothing", async () => {
    const link = ulid();
    const [params, body] = [{ link }, { after: 0, sealed }];
    for (const endpoint of [api.viewDeviceLink, api.approveDeviceLink, api.sendAsOldDevice, api.pollAsOldDevice]) {
      const asked = endpoint.body ? { params, body } : { params };
      expect(await refusalOf(endpoint, alice, asked)).toBe("not_found");
    }
    expect(await tablesOf(rendezvous(link))).toEqual([]);
    expect(await alarmOf(rendezvous(link))).toBeNull();
  });

  it("is opened so often from one address, and no more", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { capacity } = publicBuckets.device_link_ip;
    const statuses = [];
    for (let count = 0; count <= capacity; count++) {
      statuses.push((await call(api.openDeviceLink, { body: { deviceName: "Tablet" } })).status);
    }
    expect(statuses).toEqual([...Array(capacity).fill(200), 429]);
  });

  it("is approved so often by one person, and no more", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const approve = () =>
      call(api.approveDeviceLink, { token: alice.accessToken, params: { link: ulid() }, body: { sealed } });
    const statuses = [];
    for (let count = 0; count <= personBuckets.device_link.capacity; count++) statuses.push((await approve()).status);
    expect(statuses).toEqual([...Array(personBuckets.device_link.capacity).fill(404), 429]);
  });
});

describe("a link's token", () => {
  const asNew = [api.sendAsNewDevice, api.pollAsNewDevice, api.completeDeviceLink];
  const body = { after: 0, sealed };

  it("speaks for its own link alone", async () => {
    const [mine, theirs] = [await approved(bob), await approved()];
    for (const endpoint of asNew) {
      for (const link of [theirs.link, ulid(), "x"]) {
        expect(await refused(endpoint, mine.token, { params: { link }, body })).toBe("not_found");
      }
    }
    expect(await answerOf(api.pollAsNewDevice, { ...theirs, body })).toMatchObject({ messages: [{ number: 1 }] });
  });

  it("cannot be replaced by another token, or by none", async () => {
    const { token, params } = await approved();
    const { ticket } = await ask(connectTicket, alice);
    for (const endpoint of asNew) {
      for (const wrong of [alice.accessToken, alice.refreshToken, ticket, `${token}x`, "x"]) {
        expect(await refused(endpoint, wrong, { params, body })).toBe("unauthenticated");
      }
      expect((await call(endpoint, { params, body })).status).toBe(401);
    }
  });

  it("opens nothing else", async () => {
    expect(await opensTo((await approved()).token)).toEqual([]);
  });
});

/** The requests of the SDK, without a network in between. */
async function requestAsSdk(endpoint: Endpoint, asked: Asked): Promise<unknown> {
  const response = await call(endpoint, asked);
  if (!response.ok) throw new ChatError(((await response.json()) as { code: ErrorCode }).code);
  return response.status === 204 ? undefined : response.json();
}
const http = { cookie: false, call: requestAsSdk } as unknown as NewDevice["http"];
const sessionOf = ({ accessToken: token }: Account) =>
  ({
    call: (endpoint: Endpoint, asked: Asked) => requestAsSdk(endpoint, { token, ...asked }),
  }) as unknown as OldDevice["session"];
