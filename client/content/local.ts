import * as v from "valibot";
import { UserId } from "../../shared/ids.ts";
import type { Content } from "../content.ts";

/**
 * What devices put into their own stores in the place of what was sealed. Nobody can send these: they would put words in the
 * system's mouth.
 */
const Group = v.object({
  kind: v.literal("group"),
  /**
   * Whose device made the commit, or invited this one, as its signature shows. Absent where this device only sees how the
   * group stands, against how it stood when it was in it last: who did what meanwhile, nobody has proved to it.
   */
  by: v.optional(UserId),
  added: v.array(UserId),
  removed: v.array(UserId),
});
/** People joined a conversation or left it; with nobody named, only devices did. */
export type GroupEvent = v.InferOutput<typeof Group>;

const reasons = [
  /** From before this device became a member. */
  "before_joining",
  /** This device had lost its place in the group. */
  "lost_place",
  /** Somebody else has sealed it than the server says. */
  "forged",
  "undecryptable",
  "malformed",
] as const;
export type UnreadableReason = (typeof reasons)[number];

const Unreadable = v.object({ kind: v.literal("unreadable"), reason: v.optional(v.picklist(reasons), "malformed") });
/** Stands for a message that could not be opened. */
export type UnreadableContent = v.InferOutput<typeof Unreadable>;

const erasures = [
  /** For everyone: that it was there is shown. */
  "deleted",
  "expired",
  /** Not to be seen on this device any more, or never by itself. */
  "hidden",
] as const;
export type Erasure = (typeof erasures)[number];

const Erased = v.object({ kind: v.literal("erased"), reason: v.picklist(erasures) });
/** Stands where something was that is not to be kept: nothing of it is left. */
export type ErasedContent = v.InferOutput<typeof Erased>;

const Local = v.variant("kind", [Group, Unreadable, Erased]);
export type LocalContent = v.InferOutput<typeof Local>;

const localKinds: ReadonlySet<string> = new Set<LocalContent["kind"]>(["group", "unreadable", "erased"]);

export function isLocalKind(kind: string): kind is LocalContent["kind"] {
  return localKinds.has(kind);
}

/** Nothing is to be seen of it, not even that it was there. */
export function hasVanished(content: Content | LocalContent): boolean {
  return content.kind === "erased" && content.reason !== "deleted";
}

export function encodeLocal(content: LocalContent): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(content));
}

/** Undefined if it is not of these kinds. */
export function readLocal(value: unknown): LocalContent | undefined {
  const read = v.safeParse(Local, value);
  return read.success ? read.output : undefined;
}
