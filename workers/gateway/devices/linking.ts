import type { Context, Hono } from "hono";
import { ulid } from "ulid";
import { keyedHash } from "../../../durable-objects/runtime/keyed-hash.ts";
import * as api from "../../../shared/api/devices.ts";
import { Refusal } from "../../../shared/errors.ts";
import type { DeviceLinkId } from "../../../shared/ids.ts";
import { MAX_DEVICES_PER_USER } from "../../../shared/limits.ts";
import type { LinkRefusal } from "../../../shared/rpc.ts";
import { takePublic } from "../auth/admission.ts";
import { issueToken, type LinkCaller } from "../auth/tokens.ts";
import { clientAddress } from "../client-address.ts";
import type { GatewayTypes } from "../context.ts";
import { placeOf } from "../location.ts";
import { type Call, serve } from "../serve.ts";
import { sessionAnswer } from "../session/session-answer.ts";

/** Linking a device (docs/protocol.md §8): what the two devices say to each other passes through, sealed. */
export function mountLinking(gateway: Hono<GatewayTypes>): void {
  serve(gateway, api.openDeviceLink, openLink);
  serve(gateway, api.viewDeviceLink, async ({ c, params }) => granted(await rendezvous(c, params.link).view()).view);
  serve(gateway, api.approveDeviceLink, approveLink);
  serve(gateway, api.completeDeviceLink, completeLink);
  mountNewSide(gateway);
  mountOldSide(gateway);
}

function mountNewSide(gateway: Hono<GatewayTypes>): void {
  serve(gateway, api.sendAsNewDevice, async ({ c, caller, params, body }) => {
    granted(await ownRendezvous(c, caller, params).send({ side: "new", ...body }));
    return undefined;
  });
  serve(gateway, api.pollAsNewDevice, async ({ c, caller, params, body }) => {
    const { state, messages } = granted(await ownRendezvous(c, caller, params).poll({ side: "new", ...body }));
    return { state, messages };
  });
}

/** The object knows which device has approved; to all others there is nothing. */
function mountOldSide(gateway: Hono<GatewayTypes>): void {
  serve(gateway, api.sendAsOldDevice, async ({ c, caller, params, body }) => {
    const { user, device } = caller;
    granted(await rendezvous(c, params.link).send({ side: "old", user, device, ...body }));
    return undefined;
  });
  serve(gateway, api.pollAsOldDevice, async ({ c, caller, params, body }) => {
    const { user, device } = caller;
    const poll = { side: "old", user, device, ...body } as const;
    const { state, messages } = granted(await rendezvous(c, params.link).poll(poll));
    return { state, messages };
  });
}

async function openLink({ c, body }: Call<typeof api.openDeviceLink>) {
  await takePublic(c.env, "device_link_ip", await keyedHash(c.env.PEPPER, "address", clientAddress(c)));
  const link = ulid();
  const { expiresAt } = await rendezvous(c, link).open({ deviceName: body.deviceName, ...placeOf(c.req.raw) });
  const { token } = await issueToken(c.env.TOKEN_KEYS, "link", { sub: link });
  return { link, token, expiresAt };
}

/** Says at once that there is no room, to the person who can make some; signing in would find out too late. */
async function approveLink({ c, caller, params, body }: Call<typeof api.approveDeviceLink>) {
  const { user, device } = caller;
  const devices = await c.env.USER.getByName(user).listDevices();
  if (devices.length >= MAX_DEVICES_PER_USER) throw new Refusal("too_many_devices");
  granted(await rendezvous(c, params.link).approve({ user, device, ...body }));
  return undefined;
}

/** The device that approved must still be the person's: one that was removed since lets nobody in any more. */
async function completeLink({ c, caller, params, body, requestId }: Call<typeof api.completeDeviceLink>) {
  const {
    user,
    device: approver,
    deviceName: name,
    place,
  } = granted(await ownRendezvous(c, caller, params).complete());
  const person = c.env.USER.getByName(user);
  const devices = await person.listDevices();
  if (!devices.some((listed) => listed.device === approver)) throw new Refusal("not_found");
  const device = ulid();
  const mustExist = true;
  const registered = await person.registerDevice({ device, name, ...(place && { place }), mustExist, requestId });
  if (!registered.ok) throw new Refusal(registered.code);
  return sessionAnswer(c, { user, device, session: registered.session, isNew: false, cookie: body.cookie });
}

function rendezvous(c: Context<GatewayTypes>, link: DeviceLinkId) {
  return c.env.RENDEZVOUS.getByName(link);
}

/** A link's token speaks for that link alone. @throws Refusal not_found */
function ownRendezvous(c: Context<GatewayTypes>, caller: LinkCaller, { link }: { link: DeviceLinkId }) {
  if (caller.link !== link) throw new Refusal("not_found");
  return rendezvous(c, link);
}

/** @throws Refusal with the code that the object refused with */
function granted<Reply extends { ok: true } | LinkRefusal>(reply: Reply): Extract<Reply, { ok: true }> {
  if (!reply.ok) throw new Refusal(reply.code);
  return reply as Extract<Reply, { ok: true }>;
}
