import type { Context } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { REFRESH_TOKEN_TTL_MS } from "../../../shared/limits.ts";
import type { GatewayTypes } from "../context.ts";

const NAME = "sandpiper-refresh";

/**
 * No script can read it, no other site's page can send it, and it goes to nothing but the session (RFC 6265bis). The
 * prefix keeps unencrypted pages of the same host from setting it. On a developer's machine, which answers without TLS,
 * browsers take the attribute Secure from loopback addresses but not the prefix.
 */
const optionsFor = (c: Context<GatewayTypes>) => {
  const prefix = new URL(c.req.url).protocol === "https:" ? ({ prefix: "secure" } as const) : {};
  return { path: "/v1/session", httpOnly: true, secure: true, sameSite: "Strict", ...prefix } as const;
};

export function setRefreshCookie(c: Context<GatewayTypes>, token: string): void {
  setCookie(c, NAME, token, { ...optionsFor(c), maxAge: REFRESH_TOKEN_TTL_MS / 1_000 });
}

export function refreshCookieOf(c: Context<GatewayTypes>): string | undefined {
  return getCookie(c, NAME, optionsFor(c).prefix);
}

export function clearRefreshCookie(c: Context<GatewayTypes>): void {
  deleteCookie(c, NAME, optionsFor(c));
}
