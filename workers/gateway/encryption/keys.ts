import type * as encryption from "../../../shared/api/encryption.ts";
import { Refusal } from "../../../shared/errors.ts";
import type { Serve } from "../serve.ts";
import { fromBase64url, toBase64url } from "./base64url.ts";
import { inspectKeyPackage } from "./inspect-key-package.ts";

/** One by one: the first that is bad ends it. */
export const uploadKeys: Serve<typeof encryption.uploadKeys> = async ({ c, caller, body }) => {
  const { user, device } = caller;
  const { accountKey, reset: isReset } = body;
  const packages = [];
  for (const { keyPackage: text, lastResort: isLastResort } of body.packages) {
    const keyPackage = fromBase64url(text);
    const inspected = await inspectKeyPackage(keyPackage, { user, device, accountKey }, Date.now());
    packages.push({ ...inspected, isLastResort, keyPackage });
  }
  const reply = await c.env.USER.getByName(user).putKeys({ device, accountKey, isReset, packages });
  // The device was removed a moment ago.
  if (!reply.ok) throw new Refusal(reply.code === "not_found" ? "unauthenticated" : reply.code);
  return { left: reply.left };
};

export const viewKeys: Serve<typeof encryption.viewKeys> = async ({ c, caller: { user, device } }) => {
  return c.env.USER.getByName(user).askKeys({ device });
};

/** Of somebody who has blocked the caller as of anybody: a block must not show (docs/protocol.md R12). */
export const claimKeyPackages: Serve<typeof encryption.claimKeyPackages> = async ({ c, caller, params, body }) => {
  const requester = caller.user;
  const reply = await c.env.USER.getByName(params.user).claimKeyPackages({ requester, ...body });
  if (!reply.ok) throw new Refusal(reply.code, reply.retry);
  const packages = reply.packages.map(({ device, keyPackage }) => ({ device, keyPackage: toBase64url(keyPackage) }));
  return { accountKey: reply.accountKey, packages, missing: reply.missing };
};
