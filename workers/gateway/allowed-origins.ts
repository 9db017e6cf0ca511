import type { Env } from "../../durable-objects/runtime/env.ts";

/** Whether pages of this origin may ask. "null" is the origin of many, hence of nobody (RFC 6454 §4). */
export function isAllowedOrigin(env: Env, origin: string): boolean {
  return origin !== "" && origin !== "null" && (env.ALLOWED_ORIGINS ?? "").split(" ").includes(origin);
}
