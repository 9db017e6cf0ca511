import { readLocal } from "../../client/content/local.ts";

/** What people write here: of a kind of its own, so that a text may be as long as any content. */
export function contentOf(text: string): Uint8Array {
  return Buffer.from(JSON.stringify({ kind: "sim", text }));
}

/** What stands at a place of a device: what somebody wrote, what it could not read, or nothing for it. */
export function kindOf(content: Uint8Array): "message" | "unreadable" | "pass" {
  const local = readLocal(JSON.parse(Buffer.from(content).toString()));
  if (!local) return "message";
  return local.kind === "unreadable" && local.reason !== "before_joining" ? "unreadable" : "pass";
}
