import { createMiddleware } from "hono/factory";
import { Refusal } from "../../shared/errors.ts";
import type { GatewayTypes } from "./context.ts";

const credentialName = /token|ticket|authorization|bearer|proof|phone|^(?:pin|code)$/i;
/** The first letters of every JSON object in base64url, hence of every signed token. */
const credentialValue = /eyJ[\w-]+\./;

/** URLs end up in histories, proxies and logs. A client that puts a secret there shall notice on its first try. */
export const refuseCredentialsInUrl = createMiddleware<GatewayTypes>(async (c, next) => {
  const { pathname, searchParams } = new URL(c.req.url);
  const parts = [...searchParams].flat();
  if ([...searchParams.keys()].some((name) => credentialName.test(name))) throw new Refusal("bad_frame");
  if ([pathname, ...parts].some((part) => credentialValue.test(part))) throw new Refusal("bad_frame");
  await next();
});
