import { type Env, isDevelopment } from "./env.ts";
import { log } from "./log.ts";

/**
 * Crash tests stop an object at a named place: it commits, says so in the log and does nothing of what should follow, as
 * if the machine had gone at that moment. Only on a developer's machine.
 * @param point such as "between-commit-and-fan-out"; the variable FAILPOINT reads `<point>:<probability>`
 */
export function isStoppedAt(point: string, env: Env): boolean {
  if (!isDevelopment(env) || !env.FAILPOINT) return false;
  const [name, probability] = env.FAILPOINT.split(":");
  if (name !== point || Math.random() >= Number(probability)) return false;
  log("warn", "failpoint", { code: point });
  return true;
}
