import { and, eq } from "drizzle-orm";
import { type DrizzleD1Database, drizzle } from "drizzle-orm/d1";
import type { Handler } from "hono";
import { ulid } from "ulid";
import * as v from "valibot";
import { type Env, isDevelopment } from "../../../durable-objects/runtime/env.ts";
import { Refusal } from "../../../shared/errors.ts";
import { DeviceId, type UserId } from "../../../shared/ids.ts";
import { MAX_DEVICE_NAME_CHARS } from "../../../shared/limits.ts";
import type { GatewayTypes } from "../context.ts";
import { locationHintOf } from "../location.ts";
import { readJson } from "../read-json.ts";
import { device, user } from "../schema.ts";
import { issueToken } from "./tokens.ts";

/**
 * Sign-in by nothing but a name, for a developer's own machine. Three locks: both variables below decide whether the
 * route exists at all, and it answers only to a loopback host — a page elsewhere whose name points here is refused.
 */
export function isDevSignInEnabled(env: Env): boolean {
  return isDevelopment(env) && env.DEV_SIGN_IN === "enabled";
}

const loopbackHosts: ReadonlySet<string> = new Set(["127.0.0.1", "localhost", "[::1]"]);

const shortText = v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(MAX_DEVICE_NAME_CHARS));
const SignIn = v.object({
  name: shortText,
  deviceName: v.optional(shortText, "Unnamed device"),
  /** Signs this device in again instead of adding one. */
  device: v.optional(DeviceId),
});

export const devSignIn: Handler<GatewayTypes> = async (c) => {
  if (!loopbackHosts.has(new URL(c.req.url).hostname)) throw new Refusal("not_found");
  const { name, deviceName, device: knownDevice } = await readJson(c, SignIn);
  const db = drizzle(c.env.DB);
  const userId = await findOrCreateUser(db, name);
  if (knownDevice) await requireDevice(db, userId, knownDevice);
  const deviceId = knownDevice ?? ulid();
  // The user object owns devices and their number; the database only lists what it took.
  const stub = c.env.USER.getByName(userId, locationHintOf(c.req.raw));
  const registered = await stub.registerDevice({ device: deviceId, name: deviceName, requestId: c.var.requestId });
  if (!registered.ok) throw new Refusal(registered.code);
  await db
    .insert(device)
    .values({ id: deviceId, user: userId, name: deviceName, createdAt: Date.now() })
    .onConflictDoNothing();
  const access = await issueToken(c.env.TOKEN_KEYS, "access", { user: userId, device: deviceId });
  return c.json({ user: userId, device: deviceId, accessToken: access.token, accessExpiresAt: access.expiresAt });
};

async function findOrCreateUser(db: DrizzleD1Database, name: string): Promise<UserId> {
  // Two first sign-ins may race: the name is unique, and both read whichever row won.
  await db.insert(user).values({ id: ulid(), name, createdAt: Date.now() }).onConflictDoNothing();
  const row = await db.select({ id: user.id }).from(user).where(eq(user.name, name)).get();
  if (!row) throw new Refusal("unavailable");
  return row.id;
}

async function requireDevice(db: DrizzleD1Database, userId: UserId, deviceId: DeviceId): Promise<void> {
  const owned = and(eq(device.id, deviceId), eq(device.user, userId));
  const row = await db.select({ id: device.id }).from(device).where(owned).get();
  if (!row) throw new Refusal("not_found");
}
