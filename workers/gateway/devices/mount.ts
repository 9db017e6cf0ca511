import type { Hono } from "hono";
import { listDevices, renameDevice, revokeDevice } from "../../../shared/api/devices.ts";
import { Refusal } from "../../../shared/errors.ts";
import type { GatewayTypes } from "../context.ts";
import { serve } from "../serve.ts";
import { mountLinking } from "./linking.ts";

/** A person's devices are known by their own object alone: another's id is no device of theirs, and is not found. */
export function mountDevices(gateway: Hono<GatewayTypes>): void {
  serve(gateway, listDevices, async ({ c, caller }) => {
    const devices = await c.env.USER.getByName(caller.user).listDevices();
    return {
      devices: devices
        .toSorted((a, b) => a.addedAt - b.addedAt)
        .map((listed) => ({ ...listed, isCurrent: listed.device === caller.device })),
    };
  });
  serve(gateway, renameDevice, async ({ c, caller, params, body }) => {
    mustBeFound(await c.env.USER.getByName(caller.user).renameDevice({ device: params.device, name: body.name }));
    return undefined;
  });
  serve(gateway, revokeDevice, async ({ c, caller, params, requestId }) => {
    mustBeFound(await c.env.USER.getByName(caller.user).revokeDevice({ device: params.device, requestId }));
    return undefined;
  });
  mountLinking(gateway);
}

function mustBeFound({ found }: { found: boolean }): void {
  if (!found) throw new Refusal("not_found");
}
