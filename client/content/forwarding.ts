import { MAX_FORWARD_HOPS } from "../../shared/limits.ts";
import type { Content } from "../content.ts";
import type { ContentOf, KnownContent } from "./kinds.ts";

/** What can be passed on. */
export type Forwardable = Exclude<
  KnownContent,
  ContentOf<"reaction" | "edit" | "deletion" | "vote" | "pin" | "timer" | "ask" | "again">
>;

const forwardableKinds: ReadonlySet<string> = new Set<Forwardable["kind"]>([
  "text",
  "image",
  "video",
  "audio",
  "voice",
  "document",
  "sticker",
  "location",
  "contact",
  "poll",
]);

/**
 * The same for another conversation: without what it was an answer to, whom it named and how long it was to stay there.
 * A file is not uploaded again. Undefined for what cannot be passed on: events, what is unknown, what is to be seen once.
 */
export function forward(content: Content): Forwardable | undefined {
  if (!isForwardable(content) || ("viewOnce" in content && content.viewOnce)) return undefined;
  const forwarded = Math.min((content.forwarded ?? 0) + 1, MAX_FORWARD_HOPS);
  const passedOn = { ...content, forwarded, reply: undefined, expiresAfter: undefined };
  return "mentions" in passedOn ? { ...passedOn, mentions: undefined } : passedOn;
}

/** Whether it is to be labelled as passed on many times, rather than as passed on. */
export function isForwardedOften(content: Content): boolean {
  return isForwardable(content) && content.forwarded === MAX_FORWARD_HOPS;
}

function isForwardable(content: Content): content is Forwardable {
  return forwardableKinds.has(content.kind);
}
