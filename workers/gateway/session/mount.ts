import type { Hono } from "hono";
import { removePin, setPin } from "../../../shared/api/people.ts";
import { connectTicket, refreshSession, signOut } from "../../../shared/api/session.ts";
import { issueTicket } from "../connect-ticket.ts";
import type { GatewayTypes } from "../context.ts";
import { serve } from "../serve.ts";
import { pinVerifier, requirePin } from "../sign-in/pin.ts";
import { refresh } from "./refresh.ts";
import { clearRefreshCookie } from "./refresh-cookie.ts";

export function mountSession(gateway: Hono<GatewayTypes>): void {
  serve(gateway, refreshSession, refresh);
  serve(gateway, connectTicket, issueTicket);
  serve(gateway, signOut, async ({ c, caller, requestId }) => {
    await c.env.USER.getByName(caller.user).revokeDevice({ device: caller.device, requestId });
    clearRefreshCookie(c);
    return undefined;
  });
  serve(gateway, setPin, async (call) => {
    const { c, caller, body } = call;
    await requirePin(call, body.current);
    const verifier = await pinVerifier(c.env, caller.user, body.pin);
    await c.env.USER.getByName(caller.user).setPin({ verifier });
    return undefined;
  });
  serve(gateway, removePin, async (call) => {
    const { c, caller, body } = call;
    await requirePin(call, body.current);
    await c.env.USER.getByName(caller.user).setPin({ verifier: null });
    return undefined;
  });
}
