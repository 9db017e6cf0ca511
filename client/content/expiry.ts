import type { Content } from "../content.ts";
import type { LocalContent } from "./local.ts";

/** When a disappearing message is gone, ms since 1970; undefined for one that stays. `at`: when the server stored it. */
export function expiresAt(content: Content | LocalContent, at: number): number | undefined {
  const seconds = "expiresAfter" in content ? content.expiresAfter : undefined;
  return seconds === undefined ? undefined : at + seconds * 1_000;
}
