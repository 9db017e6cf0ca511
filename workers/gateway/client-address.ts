import type { Context } from "hono";
import { isDevelopment } from "../../durable-objects/runtime/env.ts";
import type { GatewayTypes } from "./context.ts";

/** All whose address nobody vouches for count as one: addresses that are made up could be as many as one likes. */
export const UNKNOWN_ADDRESS = "unknown";

/** Who is limited by address. In IPv6 a /64 counts as one: the rest is a host's to choose (RFC 4291 §2.5.4). */
export function clientAddress(c: Context<GatewayTypes>): string {
  const address = vouchedAddress(c);
  return address === undefined ? UNKNOWN_ADDRESS : networkOf(address);
}

/**
 * The address, only from whoever saw the connection itself. Cloudflare's edge replaces the CF-Connecting-IP that a client
 * sends, and is known by the data centre that it names in `cf`. The bare engine passes headers on as they came, and says
 * in `cf` whom it is connected with. Under `wrangler dev` a client can write all of this.
 */
function vouchedAddress(c: Context<GatewayTypes>): string | undefined {
  if (isDevelopment(c.env)) return undefined;
  const { clientIp, colo } = (c.req.raw.cf ?? {}) as { clientIp?: string; colo?: string };
  if (clientIp !== undefined) return clientIp.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  return colo === undefined ? undefined : c.req.header("cf-connecting-ip");
}

function networkOf(address: string): string {
  if (!address.includes(":")) return address;
  // IPv4 in the form of an IPv6 address.
  if (address.includes(".")) return address.slice(address.lastIndexOf(":") + 1);
  const [head = [], tail = []] = address.split("::").map((part) => part.split(":").filter((group) => group !== ""));
  const zeros = Array<string>(Math.max(0, 8 - head.length - tail.length)).fill("0");
  const network = [...head, ...zeros, ...tail].slice(0, 4);
  return network.map((group) => Number.parseInt(group, 16).toString(16)).join(":");
}
