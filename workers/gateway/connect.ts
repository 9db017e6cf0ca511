import type { Context, Handler } from "hono";
import * as v from "valibot";
import type { Env } from "../../durable-objects/runtime/env.ts";
import { ErrorCode, Refusal } from "../../shared/errors.ts";
import { SUBPROTOCOL, TICKET_PREFIX } from "../../shared/protocol/version.ts";
import { CONNECT_HEADER, type Connect } from "../../shared/rpc.ts";
import { isAllowedOrigin } from "./allowed-origins.ts";
import { verifyToken } from "./auth/tokens.ts";
import type { GatewayTypes } from "./context.ts";
import { locationHintOf, placeOf } from "./location.ts";
import { problem } from "./problem.ts";

/** Opens a device's socket: checks who asks and from where, then hands the upgrade to the person's own object. */
export const connect: Handler<GatewayTypes> = async (c) => {
  if (new URL(c.req.url).search !== "") throw new Refusal("bad_frame");
  checkOrigin(c);
  if (c.req.header("upgrade")?.toLowerCase() !== "websocket") {
    c.header("upgrade", "websocket");
    return problem(c, "bad_frame", { status: 426 });
  }
  const ticket = await verifyToken(c.env.TOKEN_KEYS, "ticket", offeredTicket(c.req.header("sec-websocket-protocol")));
  const location = locationHintOf(c.req.raw);
  const response = await openSocket(c.env, {
    user: ticket.sub,
    device: ticket.device,
    family: ticket.family,
    ticket: ticket.jti,
    ticketExpiresAt: ticket.expiresAt,
    ...location,
    ...placeOf(c.req.raw),
    requestId: c.var.requestId,
  });
  if (!response.webSocket) throw await refusalOf(response);
  return new Response(null, { status: 101, webSocket: response.webSocket, headers: response.headers });
};

/** Browsers always name the page's origin, and cookies come from browsers only; other clients send neither. */
function checkOrigin(c: Context<GatewayTypes>): void {
  const origin = c.req.header("origin");
  const isForeign = origin === undefined ? c.req.header("cookie") !== undefined : !isAllowedOrigin(c.env, origin);
  if (isForeign) throw new Refusal("forbidden_origin");
}

/** The client offers our protocol and, as a second one, its ticket. Only the protocol is ever selected. */
function offeredTicket(header = ""): string {
  const offered = header.split(",").map((name) => name.trim());
  if (!offered.includes(SUBPROTOCOL)) throw new Refusal("bad_frame");
  const [ticket, ...rest] = offered.filter((name) => name.startsWith(TICKET_PREFIX));
  if (ticket === undefined || rest.length > 0) throw new Refusal("unauthenticated");
  return ticket.slice(TICKET_PREFIX.length);
}

/** The object sees nothing that the client wrote: what it needs to know stands in the header that is made here. */
function openSocket(env: Env, call: Connect): Promise<Response> {
  const location = call.locationHint ? { locationHint: call.locationHint as DurableObjectLocationHint } : {};
  return env.USER.getByName(call.user, location).fetch("https://user/connect", {
    headers: {
      upgrade: "websocket",
      "sec-websocket-protocol": SUBPROTOCOL,
      [CONNECT_HEADER]: JSON.stringify(call),
    },
  });
}

/** The object answers a refusal with its code alone. */
async function refusalOf(response: Response): Promise<Refusal> {
  const code = v.safeParse(ErrorCode, await response.text());
  return new Refusal(code.success ? code.output : "unavailable");
}
