import * as v from "valibot";

const Text = v.object({ kind: v.literal("text"), text: v.string() });

/** What a message says. Kinds that this version does not know are kept as they are, for a later one. */
export type Content = TextContent | OtherContent;
export type TextContent = v.InferOutput<typeof Text>;
export interface OtherContent {
  readonly kind: string;
  readonly [field: string]: unknown;
}

/** Stands for a message that could not be opened. */
export const unreadable: Content = { kind: "unreadable" };

export function isText(content: Content): content is TextContent {
  return v.is(Text, content);
}

export function encodeContent(content: Content): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(content));
}

/** @throws if these are not the bytes of any content */
export function decodeContent(bytes: Uint8Array): Content {
  return v.parse(AnyContent, JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)));
}

const AnyContent = v.looseObject({ kind: v.string() });
